"""The operating system on a disk: which of its filesystems is the root.

It is the one that holds ``/etc/os-release`` or ``/etc/fstab``; where none does, the one with a Nix store, as on a NixOS
card that never ran.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from imagekit.disk.containers.open import Disk, open_disk
from imagekit.disk.fat.filesystem import Fat
from imagekit.disk.mounts import mount_volumes
from imagekit.disk.partitions.gpt import NoPartitionTable, PartitionTable
from imagekit.disk.partitions.table import read_partition_table
from imagekit.disk.probe import READ_KINDS, FilesystemKind
from imagekit.disk.tree import FileTree
from imagekit.disk.volume import Volume, open_volumes
from imagekit.errors import ImageDamaged, ReaderFailed, VerificationFailed

_MOST_NAMED = 8
_SYSTEM = ("/etc/os-release", "/etc/fstab", "/usr/lib/os-release")
_STORE = ("/nix/store",)
_READ = "roots on ext2, ext3, ext4 and XFS are read, on a partition, on the whole disk or on linear LVM"


@contextlib.contextmanager
def open_system(path: Path) -> Iterator[FileTree]:
    """Open the files of the operating system on the disk image at ``path`` for the length of the block.

    Raises :class:`VerificationFailed` when the file is no disk that is read, or holds no operating system or more than
    one, and :class:`ImageDamaged` when it contradicts itself.
    """
    with open_disk(path) as disk, open_system_on(disk) as tree:
        yield tree


@contextlib.contextmanager
def open_system_on(disk: Disk) -> Iterator[FileTree]:
    """Open the files of the operating system on an open disk; raises as :func:`open_system`."""
    with open_volumes(disk, read_table(disk)) as volumes:
        yield mount_volumes(find_root(volumes), volumes)


def read_table(disk: Disk) -> PartitionTable | None:
    """Return the partition table, ``None`` when the whole disk is one filesystem; raises :class:`ImageDamaged`."""
    try:
        return read_partition_table(disk)
    except NoPartitionTable:
        return None


def find_root(volumes: tuple[Volume, ...]) -> Volume:
    """Return the volume with an operating system's files.

    Raises :class:`VerificationFailed` when none has them, or more than one.
    """
    unread: dict[str, VerificationFailed] = {}
    roots = _find_holders(volumes, _SYSTEM, unread) or _find_holders(volumes, _STORE, unread)
    if len(roots) == 1:
        return roots[0]
    if len(roots) > 1:
        devices = " and ".join(volume.device for volume in roots)
        raise VerificationFailed(
            f"the disk holds more than one operating system, on {devices}", hint="a template has exactly one"
        )
    if damaged := [f"{each.device}: {each.problem}" for each in volumes if each.problem and each.kind in READ_KINDS]:
        raise ImageDamaged(f"no filesystem with an operating system can be read ({'; '.join(damaged[:3])})")
    found = [
        f"{each.device} holds {each.contents}" + (f" ({unread[each.device].message})" if each.device in unread else "")
        for each in volumes
    ]
    if len(found) > _MOST_NAMED:
        found[_MOST_NAMED:] = [f"and {len(found) - _MOST_NAMED} more"]
    hints = [problem.hint for problem in unread.values() if problem.hint]
    raise VerificationFailed(
        f"no operating system was found on the disk: {'; '.join(found) or 'it has no partitions'}",
        hint=hints[0] if hints else _explain_kinds(volumes),
    )


def _explain_kinds(volumes: tuple[Volume, ...]) -> str:
    """Return what to do about a disk on which no root was found."""
    kinds = {volume.kind for volume in volumes}
    if FilesystemKind.LUKS in kinds:
        return "an encrypted volume is never opened; build the template without encryption, clones share its key"
    if kinds == {FilesystemKind.ISO9660}:
        return "this is an installation medium, not an installed disk; install from it first"
    return _READ


def _find_holders(
    volumes: tuple[Volume, ...], paths: tuple[str, ...], unread: dict[str, VerificationFailed]
) -> list[Volume]:
    """Return the volumes that hold one of ``paths``; ``unread`` gets those whose reader failed, by device."""
    holders = []
    for volume in volumes:
        if volume.filesystem is None or isinstance(volume.filesystem, Fat):
            continue
        try:
            tree = FileTree(volume.filesystem)
            if any(tree.lstat(path) is not None for path in paths):
                holders.append(volume)
        except ReaderFailed as problem:  # another volume may have what is needed
            unread[volume.device] = problem
    return holders
