"""The count of writes in a new filesystem."""

import os
import shutil
import struct
from pathlib import Path

import pytest

from imagekit.build.ext4_counter import compute_crc32c, reset_write_counter
from imagekit.build.layout import DiskLayout, plan_layout
from imagekit.definition.model import MIB, ImageDefinition
from imagekit.errors import ToolFailed
from imagekit.host import run


@pytest.fixture(scope="module")
def layout() -> DiskLayout:
    """Return a layout whose root has several copies of its superblock."""
    return plan_layout(ImageDefinition(name="tiny", size=1100 * MIB, esp=40 * MIB))


@pytest.fixture(scope="module")
def formatted(layout: DiskLayout, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sparse disk with an empty root, as mke2fs leaves it."""
    disk = tmp_path_factory.mktemp("disk") / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(layout.size)
    at = f"offset={layout.root_offset}"
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", at, os.fspath(disk), f"{layout.root_size // 1024}k"])
    return disk


def test_checksum_has_the_published_value() -> None:
    """RFC 3720 gives the CRC-32C of 32 zero bytes, and inverts it at the end."""
    assert compute_crc32c(bytes(32)) ^ 0xFFFFFFFF == 0x8A9136AA
    assert compute_crc32c(b"123456789") ^ 0xFFFFFFFF == 0xE3069283


def test_counter_is_reset_in_every_copy(formatted: Path, layout: DiskLayout, tmp_path: Path) -> None:
    """Superblock and copies say 1 KiB, and e2fsck finds checksums and all else in order."""
    disk = tmp_path / "disk.raw"
    run(["cp", "--sparse=always", os.fspath(formatted), os.fspath(disk)])
    reset_write_counter(disk, layout)
    group = 32768 * 4096
    with disk.open("rb") as file:
        for begin in (1024, *(number * group for number in (1, 3, 5, 7))):
            file.seek(layout.root_offset + begin + 0x178)
            assert struct.unpack("<Q", file.read(8)) == (1,)
    said = run(["e2fsck", "-fn", f"{disk}?offset={layout.root_offset}"], check=False)
    assert said.status == 0, said.output
    copy = run(["debugfs", "-c", "-s", "229376", "-b", "4096", "-R", "stats -h", f"{disk}?offset={layout.root_offset}"])
    assert "Lifetime writes:          1 kB" in copy.output.decode()
    shutil.rmtree(tmp_path)


def test_missing_superblock_is_told(formatted: Path, layout: DiskLayout, tmp_path: Path) -> None:
    """A copy that is not where the first superblock says is an error, not a guess."""
    disk = tmp_path / "disk.raw"
    run(["cp", "--sparse=always", os.fspath(formatted), os.fspath(disk)])
    with disk.open("r+b") as file:
        file.seek(layout.root_offset + 3 * 32768 * 4096)
        file.write(bytes(1024))
    with pytest.raises(ToolFailed, match="no superblock in group 3"):
        reset_write_counter(disk, layout)
