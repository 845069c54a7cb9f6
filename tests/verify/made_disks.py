"""Disks whose root is not plain ext4: the clean tree on XFS and on LVM."""

import os
from pathlib import Path

from tests.disk.made_lvm import DATA_START, EXTENT, Lv, write_physical, write_text
from tests.disk.made_xfs import make_xfs
from tests.verify.clean_tree import (
    ESP_BYTES,
    ESP_OFFSET,
    MIB,
    ROOT_OFFSET,
    ROOT_UUID,
    make_root_filesystem,
    partition,
    replace,
    splice,
)

XFS_BYTES = 24 * MIB


def put_root(disk: Path, root: Path, *more: tuple[int, int, str]) -> None:
    """Put a filesystem in place of the disk's root, with its partition as large as it is."""
    size = ROOT_OFFSET + root.stat().st_size + sum(length for _, length, _ in more) + MIB
    os.truncate(disk, ROOT_OFFSET)
    partition(disk, [(ESP_OFFSET, ESP_BYTES, "U"), (ROOT_OFFSET, root.stat().st_size, "L"), *more], size)
    splice(disk, ROOT_OFFSET, root)


def make_xfs_root(tree: Path, image: Path) -> Path:
    """Make the tree an XFS filesystem with the root's UUID."""
    replace(tree, "/etc/fstab", "/ ext4 rw,discard 0 1", "/ xfs defaults 0 0")
    return make_xfs(tree, image, "-m", f"uuid={ROOT_UUID}")


def make_lvm(image: Path, group: str, filesystems: dict[str, Path], *, extents: int = 40) -> Path:
    """Make a physical volume whose logical volumes hold these filesystems, each in two pieces in the wrong order."""
    volumes = []
    first = 0
    for name, path in filesystems.items():
        count = -(-path.stat().st_size // EXTENT)
        half = count // 2
        volumes.append(Lv(name, ((0, first + count - half, half), (0, first, count - half))))
        first += count
    data = write_physical(DATA_START + extents * EXTENT, write_text(tuple(volumes), group=group, extents=extents))
    for volume, path in zip(volumes, filesystems.values(), strict=True):
        content = path.read_bytes()
        for _, begin, count in volume.pieces:
            part, content = content[: count * EXTENT], content[count * EXTENT :]
            data[DATA_START + begin * EXTENT : DATA_START + begin * EXTENT + len(part)] = part
    image.write_bytes(data)
    return image


def make_ext4_root(tree: Path, image: Path) -> Path:
    """Make the tree the clean disk's ext4 filesystem."""
    make_root_filesystem(tree, image)
    return image
