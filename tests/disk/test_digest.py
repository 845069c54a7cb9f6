"""The digest of a disk is that of its content, sparse or not."""

import hashlib
import os
from pathlib import Path

import pytest

from imagekit.disk.containers.raw import NotADisk
from imagekit.disk.digest import compute_digest


def test_sparse_and_full_copies_have_one_digest(tmp_path: Path) -> None:
    """Holes count as zeros: a sparse disk, its full copy and sha256 of all bytes agree."""
    size = (9 << 20) + 777
    sparse, full = tmp_path / "sparse.raw", tmp_path / "full.raw"
    with sparse.open("wb") as file:
        for place in (0, 5_000_000, size - 10):
            file.seek(place)
            file.write(os.urandom(10))
    content = sparse.read_bytes()
    full.write_bytes(content)
    assert len(content) == size
    expected = hashlib.sha256(content).hexdigest()
    assert compute_digest(sparse).hex == compute_digest(full).hex == expected


def test_disk_of_nothing_but_a_hole(tmp_path: Path) -> None:
    """A disk without any data is hashed as zeros."""
    path = tmp_path / "hole.raw"
    path.touch()
    os.truncate(path, 5 << 20)
    assert compute_digest(path).hex == hashlib.sha256(bytes(5 << 20)).hexdigest()


def test_progress_counts_up_to_the_size(tmp_path: Path) -> None:
    """The callback hears rising numbers of bytes, the last of which is the disk's size."""
    path = tmp_path / "disk.raw"
    with path.open("wb") as file:
        file.seek(6 << 20)
        file.write(b"x" * (6 << 20))
    heard: list[int] = []
    compute_digest(path, heard.append)
    assert heard == sorted(set(heard))
    assert heard[-1] == 12 << 20
    assert len(heard) >= 3


def test_container_has_no_digest(tmp_path: Path) -> None:
    """The digest names a raw disk; that of a container would name something else."""
    path = tmp_path / "disk.qcow2"
    path.write_bytes(b"QFI\xfb".ljust(1024, b"\0"))
    with pytest.raises(NotADisk, match="qcow2"):
        compute_digest(path)
