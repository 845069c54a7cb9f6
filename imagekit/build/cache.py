"""What builds keep for one another, below one directory: package files, base roots, and the lock on both.

One build at a time changes package lists and package files; the others wait and say for whom. What a build then needs
is linked into its own working directory, so the lock is free again before the long part begins.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.progress import Event, Progress, silent

BASES_KEPT = 2
UNUSED_DAYS = 60
_DAY = 86400
_POLL_SECONDS = 0.1


@contextlib.contextmanager
def explain_access(cache: Path) -> Iterator[None]:
    """Turn "permission denied" into :class:`HostFailed`: a cache belongs to one user, and sudo makes another of you."""
    try:
        yield
    except PermissionError as problem:
        raise HostFailed(
            f"{problem.filename or cache} cannot be written by this user",
            hint="each user needs a cache of their own: set IMAGEKIT_CACHE, or give this one back with chown",
        ) from problem


@contextlib.contextmanager
def lock_cache(cache: Path, progress: Progress = silent) -> Iterator[None]:
    """Hold the cache's lock through the block; wait while another process has it, and tell which.

    The lock (flock(2)) ends with its process, however that ends. Its file is never removed: a second process could
    then lock a new file while the first still holds the old one.
    """
    with explain_access(cache):
        cache.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(cache / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        told = False
        while not _try_lock(descriptor):
            if not told:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
                progress(Event("waiting for another build", detail=f"process {holder} is fetching packages"))
                told = True
            time.sleep(_POLL_SECONDS)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def prune_cache(cache: Path, now: float) -> None:
    """Remove what has gone out of use: all but the newest base roots of each release, packages unused for 60 days.

    The time of a file is that of its last use, in seconds since 1970 as ``now`` is. A base that is still being written
    is left alone for a day; then its writer has died.
    """
    bases: dict[str, list[tuple[float, Path]]] = {}
    for path, used in _list_files(cache / "roots"):
        if path.suffix == ".tar":
            bases.setdefault(path.name.rsplit("-", 1)[0], []).append((used, path))
        elif used < now - _DAY:
            path.unlink(missing_ok=True)
    for found in bases.values():
        for _, path in sorted(found, reverse=True)[BASES_KEPT:]:
            path.unlink(missing_ok=True)
    for path, used in _list_files(cache / "packages"):
        if path.suffix == ".deb" and used < now - UNUSED_DAYS * _DAY:
            path.unlink(missing_ok=True)


def _list_files(directory: Path) -> list[tuple[Path, float]]:
    """Return the files of a directory with the time of their last use; what goes away meanwhile is left out."""
    found = []
    for path in directory.iterdir() if directory.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):
            if path.is_file():
                found.append((path, path.stat().st_mtime))
    return found
