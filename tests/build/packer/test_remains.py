"""Records of builds: locked while they run, found when they are dead, and nothing else touched."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagekit.build.packer.processes import MARK, end_processes, find_in_listing, find_processes
from imagekit.build.packer.remains import find_remains, open_build, remove_remains
from imagekit.build.packer.room import PREFIX, open_room
from imagekit.build.workspace import open_workspace
from imagekit.errors import Refused
from imagekit.host import start
from imagekit.host.local import end

_ID = "template-0123"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return an empty working directory."""
    (tmp_path / "workspace").mkdir()
    return tmp_path / "workspace"


@pytest.fixture
def sleeper() -> Iterator[Any]:
    """Start a process with a build's mark, with a child."""
    running = start(["sh", "-c", "sleep 60; :"], environment={MARK: _ID})
    yield running
    end(running, grace=0)


def leave_record(state: Path, place: Path, **changes: object) -> Path:
    """Write what a build that was killed leaves, with some fields of its record changed."""
    with open_build(state, _ID, workspace=place) as build:
        build.keep("to look at it")
    (place / "kept").unlink()
    path = state / "packer" / f"{_ID}.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"kept": ""} | changes))
    return path


def test_living_build_is_left_alone(tmp_path: Path, workspace: Path) -> None:
    """While a build holds its record nobody finds it; when it ends well nothing is left of it."""
    with open_build(tmp_path, _ID, workspace=workspace, vm_id=9101, node="pve1") as build:
        build.note(process=7, seed_volume="local:iso/seed.iso")
        assert find_remains(tmp_path) == ()
        with pytest.raises(Refused, match="already"), open_build(tmp_path, _ID, workspace=workspace):
            pass
    assert list((tmp_path / "packer").iterdir()) == []


def test_record_is_private_and_complete(tmp_path: Path, workspace: Path) -> None:
    """The record on disk has what was noted, readable by its owner alone."""
    with open_build(tmp_path, _ID, workspace=workspace) as build:
        build.note(vm_id=9101, node="pve1")
        path = tmp_path / "packer" / f"{_ID}.json"
        said = json.loads(path.read_text())
        assert (said["vm_id"], said["node"], said["workspace"]) == (9101, "pve1", str(workspace))
        assert path.stat().st_mode & 0o77 == 0


@pytest.mark.parametrize("name", ["", "a", "../../x", "UPPER", "a b c d", "x" * 100])
def test_id_is_a_plain_word(tmp_path: Path, workspace: Path, name: str) -> None:
    """An id that could be a path or an option is refused."""
    with pytest.raises(Refused), open_build(tmp_path, name, workspace=workspace):
        pass


def test_failure_with_a_vm_keeps_the_record(tmp_path: Path, workspace: Path) -> None:
    """When a build fails while something is noted on the cluster, the next run hears of it; else it is forgotten."""
    with pytest.raises(ValueError, match="x"), open_build(tmp_path, _ID, workspace=workspace, vm_id=9101, node="pve1"):
        raise ValueError("x")
    [remains] = find_remains(tmp_path)
    assert remains.record.on_cluster
    assert "VM 9101 on pve1" in remains.describe()
    remove_remains(remains)
    workspace.mkdir()
    with pytest.raises(ValueError, match="x"), open_build(tmp_path, _ID, workspace=workspace) as build:
        raise ValueError("x")
    assert build.id == _ID
    assert list((tmp_path / "packer").iterdir()) == []


def test_end_of_a_build_ends_its_processes(tmp_path: Path, workspace: Path, sleeper: Any) -> None:
    """What a build left running is ended with it, by force if need be."""
    with open_build(tmp_path, _ID, workspace=workspace):
        assert sleeper.pid in find_processes(_ID)
    assert find_processes(_ID) == ()


def test_kept_build_stays(tmp_path: Path, workspace: Path, sleeper: Any) -> None:
    """A kept build's processes run on, and it is found with its reason."""
    with open_build(tmp_path, _ID, workspace=workspace) as build:
        build.keep("provisioning failed")
    [remains] = find_remains(tmp_path)
    assert "kept: provisioning failed" in remains.describe()
    assert sleeper.pid in remains.processes
    assert remains.directories == (workspace,)
    remove_remains(remains)
    assert find_processes(_ID) == ()
    assert not workspace.exists()


def test_kept_workspace_outlives_later_builds(tmp_path: Path) -> None:
    """The files of a kept machine stay when the run ends and when others sweep, until the remains are removed."""
    with open_workspace(tmp_path, "template") as place, open_build(tmp_path, _ID, workspace=place) as build:
        build.keep("to look at it")
    with open_workspace(tmp_path, "other"):
        assert place.exists()
    [remains] = find_remains(tmp_path)
    remove_remains(remains)
    assert not place.exists()


def test_only_marked_processes_are_ended(sleeper: Any) -> None:
    """A longer mark, another variable and a mark in the arguments are somebody else's; a stubborn one is ended too."""
    stubborn = start(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], environment={MARK: _ID})
    others = [
        start(["sleep", "60"], environment={MARK: f"{_ID}4"}),
        start(["sleep", "60"], environment={f"X{MARK}": _ID}),
        start(["sh", "-c", f": {MARK}={_ID}; sleep 60; :"]),
    ]
    try:
        assert end_processes(_ID, grace=0.2) == ()
        assert not sleeper.is_alive()
        assert not stubborn.is_alive()
        assert all(other.is_alive() for other in others)
    finally:
        for other in others:
            end(other, grace=0)


def test_own_process_is_never_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An imagekit that was itself started by a build does not end itself."""
    monkeypatch.setattr("imagekit.build.packer.processes._is_marked", lambda pid, build_id: pid == os.getpid())
    assert find_processes(_ID) == ()


def test_listing_is_read_by_path_and_user() -> None:
    """Where environments cannot be read, the workspace in a command line tells, of our own user only."""
    listing = (
        " 10  501 qemu -drive file=/c/builds/t-1/disk\n 11  502 qemu /c/builds/t-1/disk\n"
        " 12  501 qemu /c/builds/t-12/disk\n 13  501 packer build /c/builds/t-1\nrubbish\n"
    )
    assert find_in_listing(listing, Path("/c/builds/t-1"), 501, 99) == (10, 13)
    assert find_in_listing(listing, Path("/c/builds/t-1"), 501, 13) == (10,)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "null", '{"build_id": 5}', '{"build_id": "template-0123"}', '{"build_id": "other-0123"}'],
)
def test_broken_record_is_left_alone(tmp_path: Path, workspace: Path, text: str) -> None:
    """A record that is none, or of another version, is neither shown nor removed."""
    path = leave_record(tmp_path, workspace)
    path.write_text(text)
    assert find_remains(tmp_path) == ()
    assert path.exists()


def test_record_cannot_name_foreign_directories(tmp_path: Path, workspace: Path) -> None:
    """Whatever a record says, only directories with the build's marker or of our own making are removed."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    leave_record(tmp_path, workspace, workspace=str(foreign), temporary=str(foreign))
    [remains] = find_remains(tmp_path)
    assert remains.directories == ()
    remove_remains(remains)
    assert foreign.exists()
    link = tmp_path / f"{PREFIX}link"
    link.symlink_to(foreign)
    leave_record(tmp_path, workspace, temporary=str(link))
    [remains] = find_remains(tmp_path)
    assert remains.directories == (workspace,)


def test_removed_twice_is_no_error(tmp_path: Path, workspace: Path) -> None:
    """Two runs may offer the same remains; the second finds nothing to do, and a new build of that id is safe."""
    leave_record(tmp_path, workspace)
    [remains] = find_remains(tmp_path)
    remove_remains(remains)
    remove_remains(remains)
    workspace.mkdir()
    with open_build(tmp_path, _ID, workspace=workspace):
        remove_remains(remains)
        assert workspace.exists()


def test_room_is_private_and_goes(tmp_path: Path) -> None:
    """The private directory has mode 0700, is noted before it is used, and goes with an error too."""
    noted: list[Path] = []

    def use_room() -> None:
        with open_room(tmp_path, noted.append) as room:
            assert room.stat().st_mode & 0o77 == 0
            assert noted == [room]
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        use_room()
    assert not noted[0].exists()
