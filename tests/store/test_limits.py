"""Disks that are full, stores that are read-only or somebody else's: a sentence, and nothing left behind."""

import errno
import os
from pathlib import Path

import pytest

from imagekit.errors import StoreError
from imagekit.image import Reference
from imagekit.store import check_space, open_store
from imagekit.store.failures import describe_os_error
from tests.store.samples import DISK_BYTES, at, list_tree, make_verified, run_program

_PRELUDE = """
import json, os, sys
from pathlib import Path
from imagekit.errors import StoreError
from imagekit.image import Reference
from imagekit.store import open_store
from tests.store.samples import at, list_tree, make_verified
def attempt(act):
    try:
        act()
    except StoreError as error:
        return [error.message, error.hint]
place, work = Path(sys.argv[1]), Path(sys.argv[2])
store = open_store(place / "store")
"""

# A real full disk: a tmpfs with room for the first version and for half of the second one.
_FILL_WHILE_COPYING = (
    _PRELUDE
    + """
store.add(make_verified(work / "disk.raw", 1), clock=at(1))
(place / "ballast").write_bytes(bytes(2 << 20))
before = list_tree(store.root)
told = attempt(lambda: store.add(make_verified(work / "disk.raw", 2), clock=at(2)))
import imagekit.store.copy
imagekit.store.copy.check_space = lambda root, needed: None  # the space went while the disk was copied
free = os.statvfs(place)
(place / "other").write_bytes(bytes(free.f_bavail * free.f_frsize - 100_000))
met = attempt(lambda: store.add(make_verified(work / "disk.raw", 2), clock=at(2)))
print(json.dumps({"told": told, "met": met, "same": list_tree(store.root) == before,
                  "source": (work / "disk.raw").exists()}))
"""
)

# The disk becomes full between the version's rename and its history line.
_FILL_BEFORE_HISTORY = (
    _PRELUDE
    + """
import imagekit.store.copy
imagekit.store.copy.check_space = lambda root, needed: None
if sys.argv[3] == "second":
    channels = ["candidate", "a", "b", "c", "d", "e"]
    version = store.add(make_verified(work / "disk.raw", 1, channels=channels), clock=at(1)).version
    for channel in channels[1:]:  # up to the end of the file's page, so that the next line needs another one
        room = 4000 - (store.root / "images/template/history.jsonl").stat().st_size - 200
        store.promote(version.reference, channel, "x" * max(0, min(room, 1000)))
before = list_tree(store.root)
rename = os.rename
def rename_and_fill(source, target):
    rename(source, target)
    if Path(target).name == "20260702-1":
        with (place / "other").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
os.rename = rename_and_fill
long = ["candidate-" + str(number) + "x" * 40 for number in range(2)]
verified = make_verified(work / "disk.raw", 2, channels=long)
met = attempt(lambda: store.add(verified, promote_to=long[1], clock=at(2)))
left = [path for path in list_tree(store.root) if path not in before]
(place / "other").unlink()
os.rename = rename
print(json.dumps({"met": met, "left": left, "versions": [str(v.id) for v in store.list_versions("template")],
                  "next": str(store.add(verified, clock=at(2)).version.id)}))
"""
)

_READ_ONLY = (
    _PRELUDE
    + """
found = store.find(Reference("template"), default_channel=None)
print(json.dumps({
    "found": str(found.reference), "bytes": len(store.disk_path(found).read_bytes()),
    "again": store.add(make_verified(work / "disk.raw", 1)).added,
    "add": attempt(lambda: store.add(make_verified(work / "disk.raw", 2))),
    "promote": attempt(lambda: store.promote(Reference("template"), "stable")),
    "build": attempt(lambda: store.lock_build("template").__enter__()),
}))
"""
)


def test_full_disk_while_copying_leaves_nothing(tmp_path: Path) -> None:
    """Too little space is told before copying; when it goes meanwhile, the copy fails and the store is as before."""
    full, work = _make_places(tmp_path)
    said = run_program(_FILL_WHILE_COPYING, full, work, mount=f"mount -t tmpfs -o size=18m tmpfs {full}")
    assert isinstance(said["told"], list)
    assert "KiB free" in said["told"][0] or "MiB free" in said["told"][0]
    assert isinstance(said["met"], list)
    assert "no space left" in said["met"][0]
    assert "IMAGEKIT_STORE" in said["met"][1]
    assert said["same"] is True
    assert said["source"] is True


@pytest.mark.parametrize("which", ["first", "second"])
def test_full_disk_before_the_history_line_undoes_the_version(tmp_path: Path, which: str) -> None:
    """A version that cannot be recorded disappears again; with space it gets the same number."""
    full, work = _make_places(tmp_path)
    said = run_program(_FILL_BEFORE_HISTORY, full, work, which, mount=f"mount -t tmpfs -o size=20m tmpfs {full}")
    assert isinstance(said["met"], list)
    assert "no space left" in said["met"][0]
    assert set(said["left"] if isinstance(said["left"], list) else ["?"]) <= {
        "images",
        "incoming",
        "lock",
        "format.json",
    }
    assert said["versions"] == (["20260701-1"] if which == "second" else [])
    assert said["next"] == "20260702-1"


def test_read_only_store_is_read_and_not_written(tmp_path: Path) -> None:
    """On a read-only file system versions are found, a disk that is there is accepted, and changes are refused."""
    place, work = _make_places(tmp_path)
    open_store(place / "store").add(make_verified(work / "disk.raw", 1), clock=at(1))
    before = list_tree(place)
    said = run_program(_READ_ONLY, place, work, mount=f"mount --bind {place} {place}; mount -o remount,bind,ro {place}")
    assert (said["found"], said["bytes"], said["again"]) == ("template@20260701-1", DISK_BYTES, False)
    for change in ("add", "promote", "build"):
        told = said[change]
        assert isinstance(told, list), change
        assert "read-only file system" in told[0]
        assert "remount" in told[1]
    assert list_tree(place) == before


@pytest.mark.parametrize(
    ("number", "said", "hint"),
    [
        (errno.ENOSPC, "no space left for", "IMAGEKIT_STORE"),
        (errno.EDQUOT, "no space left for", "IMAGEKIT_STORE"),
        (errno.EROFS, "is on a read-only file system", "remount"),
        (errno.ENOLCK, "has no locks", "local file system"),
        (errno.EIO, "Input/output error", "dmesg"),
    ],
)
def test_refusals_of_the_system_are_sentences(tmp_path: Path, number: int, said: str, hint: str) -> None:
    """Each refusal names what was being done and what helps."""
    error = describe_os_error(OSError(number, os.strerror(number)), "add x to the store", tmp_path)
    assert error.message.startswith("cannot add x to the store: ")
    assert said in error.message
    assert hint in (error.hint or "")


def test_permission_denied_names_the_owner(tmp_path: Path) -> None:
    """A store that belongs to somebody else says to whom."""
    problem = PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "lock"))
    error = describe_os_error(problem, "write to the store", tmp_path)
    assert error.message == f"cannot write to the store: permission denied for {tmp_path / 'lock'}"
    assert f"{tmp_path} belongs to {tmp_path.owner()}" in (error.hint or "")


def test_failing_fsync_is_a_failed_add(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drive that cannot flush has not stored the version: error, nothing left, the disk back in its place."""
    store = open_store(tmp_path / "store")
    store.add(make_verified(tmp_path / "disk.raw", 1), clock=at(1))
    before = list_tree(store.root), store.history("template")
    calls = 0

    def fail(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    verified = make_verified(tmp_path / "disk.raw", 2)
    monkeypatch.setattr(os, "fsync", fail)
    for failing in range(1, 6):  # noqa: B007 - read by the stand-in
        calls = 0
        with pytest.raises(StoreError, match="Input/output error"):
            store.add(verified, move=True, clock=at(2))
        assert (list_tree(store.root), store.history("template")) == before
        assert verified.built.disk.path.exists()
    calls = 0
    failing = 99
    assert store.add(verified, move=True, clock=at(2)).added


def test_check_space_compares_with_the_file_system(tmp_path: Path) -> None:
    """Enough space passes, even for a store that does not exist yet; too little is told with both numbers."""
    root = tmp_path / "not" / "yet"
    check_space(root, 1)
    with pytest.raises(StoreError, match=r"needs 1048576\.0 TiB and has [\d.]+ \w+ free"):
        check_space(root, 1 << 60)
    assert not root.exists()
    with pytest.raises(StoreError):
        open_store(tmp_path).find(Reference("template"), default_channel=None)


def _make_places(tmp_path: Path) -> tuple[Path, Path]:
    place, work = tmp_path / "place", tmp_path / "work"
    place.mkdir()
    work.mkdir()
    return place, work
