"""Progress: plain lines where nobody watches, a bar on a terminal, and nothing on standard output."""

import io
import os
import termios
import time

import pytest

from imagekit.cli.bar import show_progress
from imagekit.progress import Event


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose first element is the time, in seconds."""
    now = [100.0]
    monkeypatch.setattr("imagekit.cli.bar.time.monotonic", lambda: now[0])
    return now


def test_a_stage_is_one_line(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    """Without a terminal each stage is one line with the seconds since the start, however many events it has."""
    with show_progress() as progress:
        progress(Event("unpacking"))
        for done in range(50):
            progress(Event("copying", done, 50, "B", detail=f"file {done}"))
            clock[0] += 0.1
        progress(Event("verifying", 0, 30, "checks", "machine-id"))
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors == "    0.0s  unpacking\n    0.0s  copying\n    5.0s  verifying\n"


def test_a_long_stage_speaks_every_ten_seconds(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    """A stage that goes on is told again at most every ten seconds, with how far it is."""
    with show_progress() as progress:
        for second in range(35):
            progress(Event("booting two clones", done=second, unit="s", detail="clone-a: kernel"))
            clock[0] += 1.0
        for part in range(25):
            progress(Event("computing the digest", part << 20, 64 << 20, "B"))
            clock[0] += 1.0
    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().err.splitlines()]
    assert lines == [
        "booting two clones (clone-a: kernel)",
        "booting two clones (10 s, clone-a: kernel)",
        "booting two clones (20 s, clone-a: kernel)",
        "booting two clones (30 s, clone-a: kernel)",
        "computing the digest",
        "computing the digest (10.0 MiB of 64.0 MiB)",
        "computing the digest (20.0 MiB of 64.0 MiB)",
    ]


def test_nothing_new_is_nothing_to_say(capsys: pytest.CaptureFixture[str], clock: list[float]) -> None:
    """The same event again is no news, however long it takes."""
    with show_progress() as progress:
        for _ in range(5):
            progress(Event("installing packages"))
            clock[0] += 60.0
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_hostile_detail_is_written_out(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes in what an image brought into an event do not reach the log."""
    with show_progress() as progress:
        progress(Event("verifying", detail="\x1b[2J\nfaked line"))
    assert capsys.readouterr().err.splitlines() == ["    0.0s  verifying (\\x1b[2J\\nfaked line)"]


def _read(leader: int) -> str:
    """Return what was drawn so far."""
    os.set_blocking(leader, False)
    drawn = b""
    with io.FileIO(leader, closefd=False) as file:
        while part := file.read():
            drawn += part
    return drawn.decode()


@pytest.mark.parametrize("columns", [0, 100])
def test_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """On a terminal a counted stage is a bar that is redrawn in place; an uncounted one shows the time it takes."""
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (24, columns))
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with show_progress() as progress:
            progress(Event("computing the digest", 0, 4 << 20, "B"))
            progress(Event("computing the digest", 4 << 20, 4 << 20, "B"))
            progress(Event("booting two clones", done=3, unit="s", detail="clone-a: kernel\x1b[2J"))
            time.sleep(2.2)
        terminal.flush()
        drawn = _read(leader)
    os.close(leader)
    counted, booting, _ = drawn.replace("\r\n", "\n").split("\n")
    assert "\r" in counted
    assert "100%" in counted
    assert "4.00M/4.00M" in counted
    assert "clone-a: kernel\\x1b[2J" in booting
    assert "[00:00]" in booting
    assert "[00:02]" in booting, "the time must go on while nothing happens"


def _fail_while_drawing() -> None:
    with show_progress() as progress:
        progress(Event("booting two clones"))
        raise KeyboardInterrupt


def test_bar_ends_with_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """After an error nothing more is drawn, and the message begins on a line of its own."""
    leader, follower = os.openpty()
    with os.fdopen(follower, "w") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with pytest.raises(KeyboardInterrupt):
            _fail_while_drawing()
        terminal.flush()
        assert _read(leader).endswith("\n")
        time.sleep(1.2)
        terminal.flush()
        assert _read(leader) == ""
    os.close(leader)
