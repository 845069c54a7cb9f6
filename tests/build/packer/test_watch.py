"""What a watch makes of Packer's messages, and what it says when there are none."""

from pathlib import Path

import pytest

from imagekit.build.packer.activity import Activity
from imagekit.build.packer.mask import Masker
from imagekit.build.packer.watch import Watch
from imagekit.progress import Event


def test_way_into_the_machine_is_read(tmp_path: Path) -> None:
    """Address and port of the SSH attempts are known; control characters of a guest are gone."""
    said = tmp_path / "said"
    said.write_text(
        "1,,ui,say,==> qemu.x: Found port for communicator (SSH%!(PACKER_COMMA) WinRM%!(PACKER_COMMA) etc): 2345.\n"
        "1,,ui,say,==> qemu.x: Using SSH communicator to connect: 127.0.0.1\n"
        "1,,ui,error,==> qemu.x: \x1b[31mred\x1b[0m\\n==> qemu.x: second\n"
        "panic: not a message\n"
    )
    watch = Watch(said, "build-1", Masker(), lambda event: None)
    watch.pump()
    watch.close()
    assert (watch.address, watch.port) == ("127.0.0.1", 2345)
    assert watch.list_last_lines()[-3:] == ("red", "second", "panic: not a message")


def test_errors_are_shown_wherever_they_stand(tmp_path: Path) -> None:
    """The last errors stand before the last lines when much was said after them."""
    said = tmp_path / "said"
    lines = "".join(f"1,,ui,say,==> x.y: {number}\n" for number in range(100))
    said.write_text(f"1,,ui,error,==> x.y: the reason\n{lines}")
    watch = Watch(said, "build-1", Masker(), lambda event: None)
    watch.pump()
    assert watch.list_last_lines()[0] == "the reason"
    assert watch.list_last_lines()[-1] == "99"
    assert len(watch.list_last_lines()) == 26


def test_silence_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute without output the progress says so; a console that grows is a sign of life."""
    now = 1000.0
    monkeypatch.setattr("imagekit.build.packer.watch.time.monotonic", lambda: now)
    serial = tmp_path / "serial"
    events: list[Event] = []
    watch = Watch(tmp_path / "said", "build-1", Masker(), events.append, serial)
    watch.tick()
    assert events[-1].detail == ""
    now += 200
    watch.tick()
    assert events[-1].detail.startswith("nothing said for 3 min")
    serial.write_text("booting")
    now += 10
    watch.tick()
    assert events[-1].detail == ""


def test_activity_knows_work_from_idleness(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processor time used since the last look means busy; none means idle; before the first look nothing is known."""
    now, used = 0.0, 0.0
    monkeypatch.setattr("imagekit.build.packer.activity.time.monotonic", lambda: now)
    monkeypatch.setattr("imagekit.build.packer.activity.find_processes", lambda build_id: (1,))
    monkeypatch.setattr("imagekit.build.packer.activity._read_seconds", lambda pid: used)
    activity = Activity("build-1")
    assert activity.is_busy() is None
    now, used = 10.0, 9.0
    assert activity.is_busy() is True
    now = 20.0
    assert activity.is_busy() is False
