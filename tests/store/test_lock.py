"""Locks: who may write, what the other one is told, and that nothing outlives its process."""

import json
import os
import re
import socket
import sys
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imagekit.errors import StoreError
from imagekit.host.local import end, start
from imagekit.store import open_store
from imagekit.store.incoming import open_incoming, sweep_incoming
from imagekit.store.lock import hold_lock
from tests.store.samples import list_tree, make_verified, run_program

_TRY_LOCK = """
import json, sys
from pathlib import Path
from imagekit.errors import StoreError
from imagekit.store import open_store
store = open_store(Path(sys.argv[1]))
try:
    with store.lock_build("template") if sys.argv[2] == "build" else store.lock_for_writing("imagekit promote"):
        print(json.dumps({"locked": True}))
except StoreError as error:
    print(json.dumps({"locked": False, "message": error.message, "hint": error.hint}))
"""
_HOLD_LOCK = """
import sys, time
from pathlib import Path
from imagekit.store import open_store
with open_store(Path(sys.argv[1])).lock_for_writing("imagekit build template"):
    Path(sys.argv[2]).touch()
    time.sleep(60)
"""


def test_second_writer_is_told_who_holds_the_lock(tmp_path: Path) -> None:
    """Another process gets the holder's process id, command, time and host, and what to do."""
    store = open_store(tmp_path / "store")
    with store.lock_for_writing("imagekit build template"):
        said = run_program(_TRY_LOCK, store.root, "store")
    assert re.fullmatch(
        rf"the store is locked by PID {os.getpid()} \(imagekit build template\) since \d\d:\d\d "
        rf"on {re.escape(socket.gethostname())}",
        str(said["message"]),
    )
    assert said["hint"]
    assert run_program(_TRY_LOCK, store.root, "store") == {"locked": True}


def test_second_build_of_an_image_is_told_who_builds(tmp_path: Path) -> None:
    """Two builds of one image exclude each other; neither the store nor another image is locked by that."""
    store = open_store(tmp_path / "store")
    with store.lock_build("template"):
        said = run_program(_TRY_LOCK, store.root, "build")
        assert str(said["message"]).startswith(
            f"image 'template' is being built by PID {os.getpid()} (imagekit build template) since "
        )
        with store.lock_build("pihole"):
            assert store.add(make_verified(tmp_path / "disk.raw")).added
    assert run_program(_TRY_LOCK, store.root, "build") == {"locked": True}


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A writer that is killed leaves no lock behind, only its name in a file that means nothing any more."""
    store, ready = open_store(tmp_path / "store"), tmp_path / "ready"
    running = start([sys.executable, "-c", _HOLD_LOCK, os.fspath(store.root), os.fspath(ready)])
    try:
        while not ready.exists():
            assert running.is_alive()
            time.sleep(0.01)
        with pytest.raises(StoreError, match=r"locked by PID \d+ \(imagekit build template\)"):
            _enter(store.lock_for_writing("x"))
    finally:
        os.kill(running.pid, 9)
        end(running)
    assert store.add(make_verified(tmp_path / "disk.raw")).added


def test_add_waits_a_moment_and_then_says_who(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding outlasts a short writer; a long one is named, the disk stays, nothing was stored."""
    monkeypatch.setattr("imagekit.store.writing.COMMIT_PATIENCE_SECONDS", 0.1)
    verified = make_verified(tmp_path / "disk.raw")
    store, other = open_store(tmp_path / "store"), open_store(tmp_path / "store")
    with other.lock_for_writing("imagekit gc"), pytest.raises(StoreError, match=r"locked by PID \d+ \(imagekit gc\)"):
        store.add(verified, move=True)
    assert verified.built.disk.path.exists()
    assert store.list_images() == ()


def test_lock_may_be_entered_again_by_its_own_store(tmp_path: Path) -> None:
    """Inside lock_for_writing the same store still adds and moves channels, and the lock ends with the outer block."""
    store = open_store(tmp_path / "store")
    with store.lock_for_writing("imagekit nightly"):
        version = store.add(make_verified(tmp_path / "disk.raw")).version
        store.promote(version.reference, "stable")
        assert run_program(_TRY_LOCK, store.root, "store")["locked"] is False
    assert run_program(_TRY_LOCK, store.root, "store")["locked"] is True


def test_errors_of_the_caller_are_left_alone(tmp_path: Path) -> None:
    """An OSError of the work done under a lock is not blamed on the store."""
    store = open_store(tmp_path / "store")
    with pytest.raises(FileNotFoundError), store.lock_for_writing("x"), store.lock_build("template"):
        (tmp_path / "missing").read_bytes()


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"pid": 1}', '{"pid": "x", "host": 1, "command": 2, "since": 3}']
)
def test_unreadable_holder_is_another_process(tmp_path: Path, text: str) -> None:
    """A lock whose holder cannot be told is still a lock."""
    path = tmp_path / "lock"
    with hold_lock(path, command="a", busy="locked by", hint=""):
        path.write_text(text)
        with pytest.raises(StoreError, match="locked by another process"):
            _enter(hold_lock(path, command="b", busy="locked by", hint=""))


def test_holder_from_another_day_is_shown_with_its_day_and_no_escapes(tmp_path: Path) -> None:
    """An old lock shows the date, and its text cannot steer a terminal."""
    path = tmp_path / "lock"
    since = datetime(2020, 2, 3, 12, tzinfo=UTC)
    with hold_lock(path, command="a", busy="locked by", hint=""):
        path.write_text(json.dumps({"pid": 7, "host": "h", "command": "a\x1b[2J", "since": since.isoformat()}))
        with pytest.raises(StoreError) as caught:
            _enter(hold_lock(path, command="b", busy="locked by", hint=""))
    assert caught.value.message == f"locked by PID 7 (a?[2J) since {since.astimezone():%Y-%m-%d %H:%M} on h"


def test_sweep_removes_what_the_dead_left_and_nothing_else(tmp_path: Path) -> None:
    """Leftovers of dead processes go; those of live ones, locked ones and foreign names stay."""
    incoming = tmp_path / "incoming"
    with open_incoming(incoming) as mine:
        (mine / "disk.raw").write_bytes(b"x")
        for name in ("4194999-5-00000000", "notes"):
            (incoming / name).mkdir()
            (incoming / name / "disk.raw").write_bytes(b"x")
        (incoming / f"{os.getpid()}-1-00000000").mkdir()  # this process id, once, in another process
        locked = incoming / "4194998-5-00000000"
        mine.rename(locked)  # held by a live process that cannot be seen from here
        assert set(sweep_incoming(incoming)) == {"4194999-5-00000000", f"{os.getpid()}-1-00000000"}
        assert [path.name for path in sorted(incoming.iterdir())] == [locked.name, "notes"]


def test_sweep_does_not_follow_links(tmp_path: Path) -> None:
    """A link that looks like a leftover leads to no deletion elsewhere."""
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").write_text("x")
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "4194999-5-00000000").symlink_to(tmp_path / "precious")
    assert sweep_incoming(tmp_path / "incoming") == ()
    assert list_tree(tmp_path / "precious") == ["file"]


def _enter(lock: AbstractContextManager[None]) -> None:
    with lock:
        raise AssertionError("the lock was given twice")
