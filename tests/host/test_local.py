"""Running programs on this machine."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from imagekit.errors import ExitCode, ToolFailed, ToolMissing
from imagekit.host import run, start
from imagekit.host.local import Tail, end, make_environment


def test_output_and_errors_come_apart() -> None:
    """What a program prints is bytes, what it says on standard error is text, and its status is kept."""
    said = run(["sh", "-c", "printf 'a\\0b'; echo oops >&2; exit 3"], check=False)
    assert (said.output, said.errors, said.status) == (b"a\0b", "oops\n", 3)


def test_standard_input_is_given_or_empty() -> None:
    """A program gets the bytes it is given, and an end of file otherwise: it never waits for a terminal."""
    assert run(["cat"], stdin=b"x\0y").output == b"x\0y"
    assert run(["cat"]).output == b""


def test_failure_tells_program_status_and_its_words() -> None:
    """A status other than 0 is an operator's error with the end of what the program said."""
    with pytest.raises(ToolFailed, match="sh failed with status 7") as caught:
        run(["sh", "-c", "echo because >&2; exit 7"])
    assert caught.value.detail == "because"
    assert caught.value.exit_code is ExitCode.TOOL


def test_death_by_signal_is_named() -> None:
    """A program that was killed is told apart from one that failed."""
    with pytest.raises(ToolFailed, match="killed by signal 9"):
        run(["sh", "-c", "kill -9 $$"])


def test_missing_program_names_its_package() -> None:
    """A program that is not there is exit 9, and the hint installs it."""
    with pytest.raises(ToolMissing, match="nonesuch is not installed") as caught:
        run(["nonesuch"])
    assert caught.value.exit_code is ExitCode.MISSING


def test_timeout_ends_the_program() -> None:
    """A program that does not end in time is ended, with its children."""
    began = time.monotonic()
    with pytest.raises(ToolFailed, match=r"did not end within 0\.3 s"):
        run(["sh", "-c", "sleep 60 & wait"], timeout=0.3)
    assert time.monotonic() - began < 10


def test_lines_of_standard_error_are_heard() -> None:
    """A listener hears each line of standard error, without its end."""
    heard: list[str] = []
    run(["sh", "-c", "echo one >&2; printf 'two\\r\\n' >&2; echo three"], on_line=heard.append)
    assert heard == ["one", "two"]


def test_long_lines_are_heard_whole_and_endless_ones_are_bounded() -> None:
    """A line of a MiB arrives whole, of a longer one the end, and the last line needs no end."""
    heard: list[str] = []
    run(["sh", "-c", "head -c 1048576 /dev/zero | tr '\\0' x >&2; echo >&2; printf last >&2"], on_line=heard.append)
    assert [(line[:4], len(line)) for line in heard] == [("xxxx", 1 << 20), ("last", 4)]
    tail = Tail(10, heard.append)
    for _ in range(100):
        tail.write(b"y" * (1 << 20))
    tail.write(b"end\n")
    assert (len(heard[-1]), heard[-1][-4:]) == (1 << 20, "yend")


def test_large_output_is_whole_or_an_error() -> None:
    """Megabytes arrive whole; more than the limit is an error, never a silent cut."""
    assert len(run(["head", "-c", "20000000", "/dev/zero"]).output) == 20_000_000
    with pytest.raises(ToolFailed, match="more than 64 MiB"):
        run(["head", "-c", "300000000", "/dev/zero"])


def test_environment_is_made_on_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child sees a short list of variables and a fixed locale; an operator's secret is not among them."""
    monkeypatch.setenv("PROXMOX_TOKEN_SECRET", "canary")
    monkeypatch.setenv("LC_ALL", "tr_TR.UTF-8")
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    made = make_environment({"EXTRA": "1"})
    assert "canary" not in made.values()
    assert (made["LC_ALL"], made["EXTRA"], made["https_proxy"]) == ("C.UTF-8", "1", "http://proxy.example:3128")
    assert b"canary" not in run(["env"]).output


def test_arguments_are_never_read_by_a_shell(tmp_path: Path) -> None:
    """An argument with shell characters arrives as it is."""
    nasty = f"; touch {tmp_path}/made $(id) `id`"
    assert run(["printf", "%s", nasty]).output.decode() == nasty
    assert list(tmp_path.iterdir()) == []


def test_end_takes_the_whole_group() -> None:
    """Ending a program ends what it started too, also when it ignores SIGTERM."""
    running = start(["sh", "-c", "trap '' TERM; sleep 61 & wait; sleep 62"])
    time.sleep(0.3)
    end(running, grace=0.3)
    assert not running.is_alive()
    time.sleep(0.2)
    found = [path for path in Path("/proc").glob("[0-9]*/stat") if _in_group(path, running.pid)]
    assert found == []


def _in_group(stat: Path, group: int) -> bool:
    """Say whether a process that is no zombie belongs to a process group (proc_pid_stat(5): state, ppid, pgrp)."""
    try:
        state, _parent, its_group = stat.read_text().rpartition(")")[2].split()[:3]
    except OSError:
        return False
    return int(its_group) == group and state != "Z"


def test_killing_imagekit_kills_the_child(tmp_path: Path) -> None:
    """SIGKILL of the parent ends the child: the kernel sends it the parent-death signal."""
    pid_file = tmp_path / "pid"
    program = (
        "import sys; from imagekit.host import start; import time\n"
        f"running = start(['sleep', '63']); open({str(pid_file)!r}, 'w').write(str(running.pid)); time.sleep(60)"
    )
    parent = start([sys.executable, "-c", program])
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(pid_file.read_text())
    time.sleep(0.3)
    os.killpg(parent.pid, signal.SIGKILL)
    stat = Path(f"/proc/{child}/stat")
    while _in_group(stat, child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _in_group(stat, child)
    end(parent)
