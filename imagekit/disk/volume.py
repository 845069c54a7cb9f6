"""The volumes of a disk: what is on each partition, and on each logical volume inside them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imagekit.disk.guid import format_uuid
from imagekit.disk.probe import READ_KINDS, CannotRead, FilesystemKind, describe_kind, probe_filesystem
from imagekit.disk.window import Readable, Window
from imagekit.errors import ImageDamaged

if TYPE_CHECKING:
    from imagekit.disk.lvm.volumes import LogicalVolume
    from imagekit.disk.partitions.gpt import Partition, PartitionTable
    from imagekit.disk.probe import Filesystem

# Where each kind keeps its UUID (16 bytes) and label (offset, length): xfs(5) superblock, btrfs on-disk format,
# mkswap(8)'s header. What is read has them from its own reader.
_NAMES = {
    FilesystemKind.XFS: (32, (108, 12)),
    FilesystemKind.BTRFS: (0x10020, (0x1012B, 256)),
    FilesystemKind.SWAP: (0x40C, (0x41C, 16)),
}
_LUKS_UUID = (0xA8, 40)


@dataclass(frozen=True, slots=True)
class Volume:
    """One filesystem (or what stands in its place) on the disk.

    ``uuid`` and ``label`` are empty where the kind has none or is not read; ``filesystem`` is ``None`` for a kind that
    cannot be opened, with the reason in ``problem``. ``window`` has its bytes, ``None`` when they are not all there.

    A logical volume has no ``partition``: its ``name`` is ``LVM group/volume``, ``device_names`` are its paths below
    ``/dev``, and ``group`` the volume group, which the physical volumes under it have too.
    """

    partition: "Partition | None"
    kind: FilesystemKind
    uuid: str = ""
    label: str = ""
    filesystem: "Filesystem | None" = None
    problem: str = ""
    name: str = ""
    device_names: tuple[str, ...] = ()
    group: str = ""
    window: Readable | None = None

    @property
    def device(self) -> str:
        """What to call it in a report."""
        if self.name:
            return self.name
        return "whole disk" if self.partition is None else f"partition {self.partition.number}"

    @property
    def is_logical(self) -> bool:
        """Say whether it is a logical volume of LVM."""
        return bool(self.device_names)

    @property
    def contents(self) -> str:
        """What to say that it holds, in a few words."""
        if self.window is None:
            return f"what cannot be read: {self.problem}"
        said = describe_kind(self.kind)
        if self.kind is FilesystemKind.LVM and self.group:
            said += f" of the group {self.group}"
        return f"{said}: {self.problem}" if self.problem and self.kind in (*READ_KINDS, FilesystemKind.LVM) else said


@contextlib.contextmanager
def open_volumes(disk: Readable, table: "PartitionTable | None") -> Iterator[tuple[Volume, ...]]:
    """Open every filesystem of ``disk`` for the length of the block: by partition, then the logical volumes.

    A disk without a table may be one filesystem, or one physical volume, from its first byte. What cannot be opened is
    a volume with a ``problem``; only bytes of the disk itself that cannot be had raise
    :class:`imagekit.errors.ImageDamaged`.
    """
    with contextlib.ExitStack() as opened:
        volumes = []
        if table is None:
            volumes.append(_open_volume(Window(disk, 0, disk.size), None, opened))
        for partition in table.partitions if table is not None else ():
            if partition.offset + partition.length <= disk.size:
                window = Window(disk, partition.offset, partition.length)
                volumes.append(_open_volume(window, partition, opened))
            else:
                volumes.append(Volume(partition, FilesystemKind.UNKNOWN, problem="it ends past the end of the disk"))
        if any(volume.kind is FilesystemKind.LVM for volume in volumes):
            volumes = _open_groups(volumes, opened)
        yield tuple(volumes)


def _open_volume(window: Readable, partition: "Partition | None", opened: contextlib.ExitStack) -> Volume:
    kind = probe_filesystem(window)
    filesystem: Filesystem
    try:
        match kind:
            case FilesystemKind.EXT4:
                from imagekit.disk.ext4.filesystem import open_ext4

                filesystem = open_ext4(window)
                name = filesystem.uuid
            case FilesystemKind.VFAT:
                from imagekit.disk.fat.filesystem import open_fat

                filesystem = open_fat(window)
                name = filesystem.serial
            case FilesystemKind.XFS:
                from imagekit.disk.xfs.filesystem import open_xfs

                filesystem = open_xfs(window)
                opened.callback(filesystem.close)
                name = filesystem.uuid
            case _:
                name, label = _read_names(window, kind)
                problem = "" if kind is FilesystemKind.LVM else CannotRead(kind).message
                return Volume(partition, kind, name, label, problem=problem, window=window)
        return Volume(partition, kind, str(name), filesystem.label, filesystem, window=window)
    except ImageDamaged as damage:
        return Volume(partition, kind, problem=damage.message, window=window)


def _open_groups(volumes: list[Volume], opened: contextlib.ExitStack) -> list[Volume]:
    """Return the volumes with the physical ones' facts filled in, followed by the logical ones."""
    from imagekit.disk.lvm.volumes import open_lvm

    places = [index for index, volume in enumerate(volumes) if volume.kind is FilesystemKind.LVM]
    lvm = open_lvm([window for index in places if (window := volumes[index].window) is not None])
    for index, physical in zip(places, lvm.physical, strict=True):
        volumes[index] = replace(volumes[index], uuid=physical.uuid, group=physical.group, problem=physical.problem)
    return [*volumes, *(_open_logical(logical, opened) for logical in lvm.logical)]


def _open_logical(logical: "LogicalVolume", opened: contextlib.ExitStack) -> Volume:
    name, devices = f"LVM {logical.group}/{logical.name}", logical.device_names
    if logical.window is None:
        return Volume(
            None, FilesystemKind.UNKNOWN, problem=logical.problem, name=name, device_names=devices, group=logical.group
        )
    volume = _open_volume(logical.window, None, opened)
    if volume.kind is FilesystemKind.LVM:
        volume = replace(volume, problem="LVM inside LVM is not read")
    return replace(volume, name=name, device_names=devices, group=logical.group)


def _read_names(window: Readable, kind: FilesystemKind) -> tuple[str, str]:
    """Return UUID and label of a kind that is recognised but not read, so that references to it are not lost."""
    if kind is FilesystemKind.LUKS and window.size >= sum(_LUKS_UUID):
        return window.read(*_LUKS_UUID).split(b"\0")[0].decode("ascii", "replace"), ""
    if kind not in _NAMES:
        return "", ""
    at, (label_at, label_length) = _NAMES[kind]
    if window.size < max(at + 16, label_at + label_length):
        return "", ""
    label = window.read(label_at, label_length).split(b"\0")[0].decode("utf-8", "surrogateescape")
    return format_uuid(window.read(at, 16)), label
