"""Open a disk image for checking: read in place, without root, mounts or a copy.

The root filesystem is the one that holds ``/etc/os-release`` or ``/etc/fstab``. Other filesystems of the disk that its
fstab mounts are seen at their places; what cannot be read there raises :class:`imagekit.verify.view.CannotSee`.
"""

import contextlib
import uuid
from collections.abc import Iterator
from pathlib import Path

from imagekit.disk.container import Disk, open_disk
from imagekit.disk.ext4 import Ext4
from imagekit.disk.fat import Fat
from imagekit.disk.gpt import NoPartitionTable, Partition, PartitionTable, read_gpt
from imagekit.disk.probe import FilesystemKind, open_filesystem, probe_filesystem
from imagekit.disk.raw import Window
from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged, VerificationFailed
from imagekit.verify.mounts import mount_volumes
from imagekit.verify.view import ESP_TYPE, View, ViewKind, Volume

# Where each kind keeps its UUID (16 bytes) and label (offset, length): xfs(5) superblock, btrfs on-disk format,
# mkswap(8)'s header. ext4 and FAT are read by their own readers.
_NAMES = {
    FilesystemKind.XFS: (32, (108, 12)),
    FilesystemKind.BTRFS: (0x10020, (0x1012B, 256)),
    FilesystemKind.SWAP: (0x40C, (0x41C, 16)),
}
_LUKS_UUID = (0xA8, 40)


@contextlib.contextmanager
def open_disk_view(path: Path) -> Iterator[View]:
    """Open the raw disk at ``path`` for the length of the block.

    Raises :class:`VerificationFailed` when the file is no raw disk, or holds no operating system or more than one, and
    :class:`ImageDamaged` when what is needed to find that out contradicts itself.
    """
    with open_disk(path) as disk:
        table = _read_table(disk)
        volumes = _open_volumes(disk, table)
        root = _find_root(volumes)
        esp = next((volume for volume in volumes if _is_esp(volume)), None)
        tree = mount_volumes(root, volumes)
        yield View(
            ViewKind.DISK,
            tree,
            table=table,
            volumes=volumes,
            root_volume=root,
            disk=disk,
            esp=None if esp is None or esp.filesystem is None else FileTree(esp.filesystem, ignore_case=True),
        )


def _read_table(disk: Disk) -> PartitionTable | None:
    try:
        return read_gpt(disk)
    except NoPartitionTable:
        return None


def _open_volumes(disk: Disk, table: PartitionTable | None) -> tuple[Volume, ...]:
    """Open every filesystem; a disk without a table may be one filesystem from its first byte."""
    if table is None:
        return (_open_volume(disk.window(0, disk.size), None),)
    volumes = []
    for partition in table.partitions:
        if partition.offset + partition.length <= disk.size:
            volumes.append(_open_volume(disk.window(partition.offset, partition.length), partition))
        else:
            volumes.append(Volume(partition, FilesystemKind.UNKNOWN, problem="it ends past the end of the disk"))
    return tuple(volumes)


def _open_volume(window: Window, partition: Partition | None) -> Volume:
    kind = probe_filesystem(window)
    if kind in (FilesystemKind.EXT4, FilesystemKind.VFAT):
        try:
            filesystem = open_filesystem(window)
            name = filesystem.uuid if isinstance(filesystem, Ext4) else filesystem.serial
            return Volume(partition, kind, str(name), filesystem.label, filesystem)
        except ImageDamaged as damage:
            return Volume(partition, kind, problem=damage.message)
    name, label = _read_names(window, kind)
    return Volume(partition, kind, name, label, problem=f"{kind.value} is not read")


def _read_names(window: Window, kind: FilesystemKind) -> tuple[str, str]:
    """Return UUID and label of a kind that is recognised but not read, so that references to it are not lost."""
    if kind is FilesystemKind.LUKS and window.size >= sum(_LUKS_UUID):
        return window.read(*_LUKS_UUID).split(b"\0")[0].decode("ascii", "replace"), ""
    if kind not in _NAMES:
        return "", ""
    at, (label_at, label_length) = _NAMES[kind]
    if window.size < max(at + 16, label_at + label_length):
        return "", ""
    label = window.read(label_at, label_length).split(b"\0")[0].decode("utf-8", "surrogateescape")
    return str(uuid.UUID(bytes=window.read(at, 16))), label


def _is_esp(volume: Volume) -> bool:
    typed = volume.partition is not None and volume.partition.type_guid.lower() == ESP_TYPE
    return typed and isinstance(volume.filesystem, Fat)


def _find_root(volumes: tuple[Volume, ...]) -> Volume:
    """Return the volume with an operating system's files; exactly one may have them."""
    roots = [volume for volume in volumes if volume.filesystem is not None and _has_system(volume)]
    if len(roots) == 1:
        return roots[0]
    if len(roots) > 1:
        devices = " and ".join(volume.device for volume in roots)
        raise VerificationFailed(
            f"the disk holds more than one operating system, on {devices}", hint="a template has exactly one"
        )
    if damaged := [f"{each.device}: {each.problem}" for each in volumes if each.problem and _is_readable_kind(each)]:
        raise ImageDamaged(f"no filesystem with an operating system can be read ({'; '.join(damaged[:3])})")
    kinds = ", ".join(dict.fromkeys(each.kind.value for each in volumes)) or "no partitions"
    raise VerificationFailed(
        f"no operating system was found on the disk ({kinds})",
        hint="ext4 roots on a GPT disk are read; XFS, btrfs, LVM and LUKS are not",
    )


def _is_readable_kind(volume: Volume) -> bool:
    return volume.kind in (FilesystemKind.EXT4, FilesystemKind.VFAT)


def _has_system(volume: Volume) -> bool:
    assert volume.filesystem is not None
    tree = FileTree(volume.filesystem)
    return any(tree.lstat(path) is not None for path in ("/etc/os-release", "/etc/fstab", "/usr/lib/os-release"))
