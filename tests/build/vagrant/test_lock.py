"""One user of the VM at a time: the next is told who has it, or waits."""

import os
import threading
import time
from pathlib import Path

import pytest

from imagekit.build.vagrant.lock import hold_vm
from imagekit.errors import HostFailed
from imagekit.progress import Event


def test_second_is_told_who_has_it(tmp_path: Path) -> None:
    """The sentence names process and command of the holder."""
    holder = rf"in use by PID {os.getpid()} \(imagekit build pihole\?\[31m\) since \d\d:\d\d"
    with (
        hold_vm(tmp_path / "vm", "imagekit build pihole\x1b[31m"),
        pytest.raises(HostFailed, match=holder),
        hold_vm(tmp_path / "vm", "imagekit vm halt"),
    ):
        raise AssertionError


def test_lock_is_free_afterwards(tmp_path: Path) -> None:
    """The next gets it at once, also after an error; the file keeps no name."""
    with pytest.raises(RuntimeError), hold_vm(tmp_path / "vm", "a"):
        raise RuntimeError
    assert (tmp_path / "vm/lock").read_bytes() == b""
    with hold_vm(tmp_path / "vm", "b"):
        assert b'"command": "b"' in (tmp_path / "vm/lock").read_bytes()


def test_second_can_wait(tmp_path: Path) -> None:
    """With time to wait, it says once whom it waits for and goes on when that one is done."""
    events: list[Event] = []
    release = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with hold_vm(tmp_path / "vm", "first"):
            held.set()
            release.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(5)
    threading.Timer(0.3, release.set).start()
    with hold_vm(tmp_path / "vm", "second", wait_seconds=5, progress=events.append):
        pass
    thread.join()
    assert [event.note for event in events] == [f"the VM is in use by {_holder(events[0].note)}"]


def _holder(note: str) -> str:
    assert "(first)" in note
    return note.removeprefix("the VM is in use by ")


def test_stale_name_is_no_holder(tmp_path: Path) -> None:
    """After kill -9 the file still names somebody; nobody holds it, so the next just takes it."""
    (tmp_path / "lock").write_text('{"pid": 1, "command": "dead", "since": "2026-01-01T00:00:00+00:00"}')
    began = time.monotonic()
    with hold_vm(tmp_path, "next"):
        pass
    assert time.monotonic() - began < 1


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the directory should be is a sentence."""
    (tmp_path / "vm").write_text("")
    with pytest.raises(HostFailed, match="cannot write the build VM's directory"), hold_vm(tmp_path / "vm", "x"):
        raise AssertionError
