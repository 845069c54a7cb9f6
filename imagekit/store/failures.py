"""What the operating system's refusals mean to an operator: one sentence and a hint for each that a store can meet."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from imagekit.errors import StoreError

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({errno.EACCES, errno.EPERM})
_UNLOCKABLE = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS})


@contextlib.contextmanager
def explain_os_errors(doing: str, root: Path) -> Iterator[None]:
    """Turn an :class:`OSError` inside the block into a :class:`StoreError`; ``doing`` completes "cannot …"."""
    try:
        yield
    except OSError as problem:
        raise describe_os_error(problem, doing, root) from problem


def describe_os_error(problem: OSError, doing: str, root: Path) -> StoreError:
    """Return the error to raise for ``problem``, met while ``doing`` something to the store at ``root``."""
    where = problem.filename if isinstance(problem.filename, str) else os.fspath(root)
    match problem.errno:
        case errno.EROFS:
            return StoreError(
                f"cannot {doing}: {where} is on a read-only file system",
                hint="remount it for writing, or choose another store with IMAGEKIT_STORE",
            )
        case number if number in _FULL:
            return StoreError(
                f"cannot {doing}: no space left for {root}",
                hint="free some space, or choose another store with IMAGEKIT_STORE; nothing was left behind",
            )
        case number if number in _FORBIDDEN:
            return StoreError(f"cannot {doing}: permission denied for {where}", hint=_explain_owner(Path(where)))
        case number if number in _UNLOCKABLE:
            return StoreError(
                f"cannot {doing}: the file system of {root} has no locks",
                hint="keep the store on a local file system, or on NFS with its lock service running",
            )
        case errno.ENOTDIR:
            return StoreError(
                f"cannot {doing}: the path {where} goes through a file that is no directory",
                hint="move that file away, or choose another store with IMAGEKIT_STORE",
            )
        case _:
            reason = problem.strerror or str(problem)
            return StoreError(
                f"cannot {doing}: {where}: {reason}", hint="look at the system's log: dmesg, journalctl -k"
            )


def _explain_owner(path: Path) -> str:
    """Say who owns the nearest path that can be seen: mostly a store that an earlier sudo made."""
    for candidate in (path, *path.parents):
        with contextlib.suppress(OSError, KeyError):
            return f"{candidate} belongs to {candidate.owner()}; run as that user, or give it to yourself with chown -R"
    return "run as the user who owns the store"
