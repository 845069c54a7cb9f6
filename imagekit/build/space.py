"""Room on this machine's disks: asked for before a build begins, and named when it ends in the middle of one."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from imagekit.errors import HostFailed, ToolFailed

_SIGNS = ("No space left on device", "Disk quota exceeded", "not enough free space")
_NEXT_TO_NOTHING = 8 << 20
_HINT = "free some space, or set IMAGEKIT_CACHE to a directory on a larger disk"


def free_bytes(directory: Path) -> int:
    """Return how many bytes can still be written below ``directory``."""
    return shutil.disk_usage(directory).free


def require_space(directory: Path, needed: int) -> None:
    """Raise :class:`HostFailed` when fewer than ``needed`` bytes are free, or when no program may run from there."""
    if (free := free_bytes(directory)) < needed:
        raise HostFailed(f"{directory} has {free >> 20} MiB free; the build needs about {needed >> 20} MiB", hint=_HINT)
    if os.statvfs(directory).f_flag & os.ST_NOEXEC:
        raise HostFailed(
            f"{directory} is mounted noexec, but the build runs the packages' own programs there",
            hint="set IMAGEKIT_CACHE to a directory on a filesystem without noexec",
        )


def is_full(problem: ToolFailed) -> bool:
    """Say whether a program ended because a disk of this machine was full."""
    return any(sign in problem.detail for sign in _SIGNS)


@contextlib.contextmanager
def explain_space(*directories: Path) -> Iterator[None]:
    """Turn a full disk, met by us or by a program, into :class:`HostFailed` naming the fullest of ``directories``."""
    try:
        yield
    except OSError as problem:
        if problem.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise _describe_full(directories) from problem
    except ToolFailed as problem:
        # A long-winded program buries the reason; what is left on the disk tells it as well.
        if not is_full(problem) and min(map(free_bytes, directories)) > _NEXT_TO_NOTHING:
            raise
        raise _describe_full(directories) from problem


def _describe_full(directories: tuple[Path, ...]) -> HostFailed:
    fullest = min(directories, key=free_bytes)
    return HostFailed(f"there was no space left in {fullest} ({free_bytes(fullest) >> 20} MiB free now)", hint=_HINT)
