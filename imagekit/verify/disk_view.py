"""Open a disk image for checking: read in place, without root, mounts or a copy.

Other filesystems of the disk that its fstab mounts are seen at their places; what cannot be read there raises
:class:`imagekit.disk.mounts.MountUnreadable`, and the check that looks is not observed.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.disk.containers.open import open_disk
from imagekit.disk.fat.filesystem import Fat
from imagekit.disk.mounts import mount_volumes
from imagekit.disk.system import find_root, read_table
from imagekit.disk.tree import FileTree
from imagekit.disk.volume import Volume, open_volumes
from imagekit.progress import Progress, silent
from imagekit.verify.view import View, ViewKind

if TYPE_CHECKING:
    from imagekit.verify.vm_config import VmConfig


@contextlib.contextmanager
def open_disk_view(path: Path, *, vm_config: "VmConfig | None" = None, progress: Progress = silent) -> Iterator[View]:
    """Open the disk image at ``path``, raw or in a container, for the length of the block.

    Raises :class:`VerificationFailed` when the file is no disk that is read, or holds no operating system or more than
    one, and :class:`ImageDamaged` when what is needed to find that out contradicts itself.
    """
    with contextlib.ExitStack() as opened:
        disk = opened.enter_context(open_disk(path, progress=progress))
        table = read_table(disk)
        volumes = opened.enter_context(open_volumes(disk, table))
        root = find_root(volumes)
        esp = next((volume for volume in volumes if _is_esp(volume)), None)
        tree = mount_volumes(root, volumes)
        yield View(
            ViewKind.DISK,
            tree,
            table=table,
            volumes=volumes,
            root_volume=root,
            disk=disk,
            vm_config=vm_config,
            esp=None if esp is None or esp.filesystem is None else FileTree(esp.filesystem, ignore_case=True),
        )


def _is_esp(volume: Volume) -> bool:
    typed = volume.partition is not None and volume.partition.is_esp
    return typed and isinstance(volume.filesystem, Fat)
