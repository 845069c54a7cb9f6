"""Getting a disk's bytes into the store: holes, zeros, short writes, and file systems that share."""

import errno
import fcntl
import hashlib
import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagekit.errors import StoreError
from imagekit.image import Architecture, Digest, DiskImage, Firmware
from imagekit.progress import silent
from imagekit.store.copy import copy_disk
from tests.store.samples import MIB, make_disk


def _copy(disk: DiskImage, target: Path) -> bytes:
    copy_disk(disk, target, silent)
    return target.read_bytes()


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(["hole", "zeros", "data"]), st.integers(1, 700_000)), min_size=1, max_size=6
    )
)
def test_copy_equals_the_source(memory: Path, pieces: list[tuple[str, int]]) -> None:
    """Whatever mixture of holes, zeros and data, in lengths that fit no block, the copy has the same bytes."""
    place = Path(tempfile.mkdtemp(dir=memory))
    path = place / "disk.raw"
    with path.open("wb") as file:
        for kind, length in pieces:
            if kind == "hole":
                file.seek(length, os.SEEK_CUR)
            else:
                file.write(bytes(length) if kind == "zeros" else b"\x5a" * length)
        file.truncate(size := file.tell())
    content = path.read_bytes()
    disk = DiskImage(path, size, Digest(hashlib.sha256(content).hexdigest()), Architecture.AMD64, Firmware.OVMF)
    assert _copy(disk, place / "copy.raw") == content


def test_written_zeros_become_holes(tmp_path: Path) -> None:
    """A disk that a builder wrote without holes takes no space for its zeros in the store."""
    path = tmp_path / "disk.raw"
    path.write_bytes(b"x" + bytes(8 * MIB))
    digest = Digest(hashlib.sha256(path.read_bytes()).hexdigest())
    disk = DiskImage(path, 8 * MIB + 1, digest, Architecture.AMD64, Firmware.OVMF)
    _copy(disk, tmp_path / "copy.raw")
    assert (tmp_path / "copy.raw").stat().st_blocks * 512 < MIB < path.stat().st_blocks * 512


def test_file_system_without_holes_is_copied_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system cannot tell holes, everything is read."""
    real = os.lseek

    def lseek(descriptor: int, position: int, whence: int) -> int:
        if whence in (os.SEEK_DATA, os.SEEK_HOLE):
            raise OSError(errno.EINVAL, "no such whence")
        return real(descriptor, position, whence)

    disk = make_disk(tmp_path / "disk.raw")
    monkeypatch.setattr(os, "lseek", lseek)
    assert _copy(disk, tmp_path / "copy.raw") == disk.path.read_bytes()


def test_short_reads_and_writes_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that reads and writes less than asked for still gives a whole copy."""
    real_read, real_write = os.preadv, os.pwrite

    def preadv(descriptor: int, buffers: list[memoryview], position: int) -> int:
        return real_read(descriptor, [buffers[0][:5000]], position)

    def pwrite(descriptor: int, data: memoryview, position: int) -> int:
        return real_write(descriptor, data[:3000], position)

    disk = make_disk(tmp_path / "disk.raw")
    monkeypatch.setattr(os, "preadv", preadv)
    monkeypatch.setattr(os, "pwrite", pwrite)
    assert _copy(disk, tmp_path / "copy.raw") == disk.path.read_bytes()


def test_shared_extents_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system clones files, the clone is taken as it is: the builder's digest is trusted."""
    disk = make_disk(tmp_path / "disk.raw")

    def clone(target: int, request: int, source: int) -> int:
        assert request == 0x40049409
        os.sendfile(target, source, 0, disk.size_bytes)
        return 0

    def refuse(*arguments: object) -> int:
        raise AssertionError("the disk was read")

    monkeypatch.setattr(fcntl, "ioctl", clone)
    monkeypatch.setattr(os, "preadv", refuse)
    assert _copy(disk, tmp_path / "copy.raw") == disk.path.read_bytes()
    assert (tmp_path / "copy.raw").stat().st_mode & 0o777 == 0o444


def test_disk_that_shrinks_meanwhile_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that ends before its size is an error, not a loop."""
    disk = make_disk(tmp_path / "disk.raw")
    monkeypatch.setattr(os, "preadv", lambda *arguments: 0)
    with pytest.raises(StoreError, match="became shorter"):
        _copy(disk, tmp_path / "copy.raw")
