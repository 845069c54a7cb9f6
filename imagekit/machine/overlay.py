"""Thin disks: a qcow2 file that holds what a machine writes, over a raw image that is only read."""

import os
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.host import run

_SECTOR = 512


def create_overlay(backing: Path, overlay: Path, size_bytes: int) -> None:
    """Create ``overlay`` of ``size_bytes`` over the raw disk ``backing``, which must not change while it exists.

    The backing format is written into the overlay, so QEMU never guesses it from bytes that a guest may have
    written (a raw disk can begin with a qcow2 header). Raises :class:`HostFailed` when the disk would shrink,
    :class:`ToolFailed` and :class:`ToolMissing` for qemu-img.
    """
    try:
        smallest = backing.stat().st_size
    except OSError as problem:
        raise HostFailed(f"{backing} cannot be read: {problem.strerror}") from problem
    if size_bytes < smallest:
        raise HostFailed(
            f"a disk of {size_bytes} bytes cannot be made over {backing.name}, which has {smallest}",
            hint="a clone's disk can be larger than its image, never smaller",
        )
    size = -(-size_bytes // _SECTOR) * _SECTOR
    argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", os.fspath(backing.resolve())]
    run([*argv, os.fspath(overlay), str(size)], timeout=60)
