"""A build's working directory."""

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from imagekit.build import workspace
from imagekit.build.workspace import keep_workspace, open_workspace
from imagekit.errors import ToolFailed
from imagekit.host.local import end, start

HOLD = """
import sys, time
from pathlib import Path
from imagekit.build.workspace import open_workspace
with open_workspace(Path(sys.argv[1]), "other") as directory:
    (directory / "root").mkdir()
    (directory / "root/file").touch()
    time.sleep(60)
"""


def hold_workspace(cache: Path) -> tuple[object, Path]:
    """Start a process with a workspace of its own, and return both when it is made."""
    running = start([sys.executable, "-c", HOLD, os.fspath(cache)])
    deadline = time.monotonic() + 10
    while not (found := list(cache.glob("builds/other-*/root/file"))):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return running, found[0].parent.parent


def test_workspace_is_removed(tmp_path: Path) -> None:
    """The directory is empty but for its lock, can be passed through, and goes with the block, root and all."""
    before = os.umask(0o077)
    try:
        with open_workspace(tmp_path, "template") as directory:
            assert [path.name for path in directory.iterdir()] == ["lock"]
            assert stat.S_IMODE(directory.stat().st_mode) == 0o711
            (directory / "root/deep").mkdir(parents=True)
    finally:
        os.umask(before)
    assert not directory.exists()


def test_workspace_goes_when_the_build_fails(tmp_path: Path) -> None:
    """An exception, Ctrl-C too, takes the directory with it."""
    with pytest.raises(KeyboardInterrupt), open_workspace(tmp_path, "template") as directory:
        raise KeyboardInterrupt
    assert not directory.exists()


def test_workspace_is_kept_as_long_as_its_record(tmp_path: Path) -> None:
    """A kept directory outlives its build and every sweep, until the record that it is kept for is gone."""
    record = tmp_path / "record.json"
    record.touch()
    with open_workspace(tmp_path, "template") as directory:
        (directory / "disk.raw").touch()
        keep_workspace(directory, record)
    with open_workspace(tmp_path, "template"):
        assert (directory / "disk.raw").exists()
    record.unlink()
    with open_workspace(tmp_path, "template"):
        assert not directory.exists()


def test_running_builds_are_left_alone(tmp_path: Path) -> None:
    """A directory in use is never swept; after kill -9 of its build the next one sweeps it."""
    running, directory = hold_workspace(tmp_path)
    with open_workspace(tmp_path, "template"):
        assert (directory / "root/file").exists()
    end(running, grace=0)
    assert (directory / "root/file").exists()
    with open_workspace(tmp_path, "template"):
        assert not directory.exists()


def test_half_made_directory_is_swept(tmp_path: Path) -> None:
    """A build that died before it had its lock leaves a directory without one."""
    (tmp_path / "builds/template-abc/root").mkdir(parents=True)
    with open_workspace(tmp_path, "template") as directory:
        assert sorted(path.name for path in (tmp_path / "builds").iterdir()) == sorted([directory.name, "lock"])


def test_leftover_that_is_still_written_to_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be removed yet is tried again; what cannot be removed at all is left, and the build goes on."""
    leftover = tmp_path / "builds/template-abc"
    (leftover / "root").mkdir(parents=True)
    tries: list[Path] = []

    def remove(root: Path) -> None:
        tries.append(root)
        if len(tries) < 3:
            raise ToolFailed("rm failed with status 1")

    monkeypatch.setattr(workspace, "remove_root", remove)
    monkeypatch.setattr(workspace, "_PAUSE_SECONDS", 0.0)
    with open_workspace(tmp_path, "template"):
        assert tries == [leftover / "root"] * 3

    def fail(_root: Path) -> None:
        raise ToolFailed("rm failed with status 1")

    monkeypatch.setattr(workspace, "remove_root", fail)
    (leftover / "root").mkdir(parents=True)
    with open_workspace(tmp_path, "template") as directory:
        assert directory.is_dir()
