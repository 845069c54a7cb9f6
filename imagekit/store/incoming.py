"""Where a version is made before it has a name, and the sweeping of what dead makers left there.

The maker holds an flock on its directory, which ends with the process even on ``kill -9``. Between ``mkdir`` and
``flock`` lies a moment; the process id and start time in the directory's name cover it.
"""

import contextlib
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from imagekit.durable import make_directory

_NAME = re.compile(r"(\d{1,10})-(\d{1,20})-[0-9a-f]{8}")


@contextlib.contextmanager
def open_incoming(incoming: Path) -> Iterator[Path]:
    """Make a directory that is this process's own and remove what is left of it at the end of the block.

    A crash leaves the directory, unlocked: the next writer sweeps it.
    """
    make_directory(incoming)
    pid = os.getpid()
    staging = incoming / f"{pid}-{_read_start_time(pid) or 0}-{secrets.token_hex(4)}"
    staging.mkdir()
    try:
        descriptor = os.open(staging, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield staging
        finally:
            os.close(descriptor)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def sweep_incoming(incoming: Path) -> tuple[str, ...]:
    """Remove what dead processes left; return the names removed. What cannot be removed stops nobody and stays."""
    swept = []
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(incoming)):  # noqa: PTH208 - names are what is needed
            match = _NAME.fullmatch(name)
            if match and not _lives(int(match[1]), int(match[2])) and _remove_unlocked(incoming / name):
                swept.append(name)
    return tuple(swept)


def _remove_unlocked(leftover: Path) -> bool:
    """Remove a directory unless a process holds its lock (one in another PID namespace, or on another host)."""
    try:
        descriptor = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(leftover)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _lives(pid: int, start: int) -> bool:
    """Say whether the process that made the name still runs; its id alone may belong to a younger process by now."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it runs, as somebody else
    now = _read_start_time(pid)
    return now is None or start in (0, now)


def _read_start_time(pid: int) -> int | None:
    """Return a process's start in clock ticks since boot (proc_pid_stat(5), field 22); None where there is no /proc."""
    try:
        # The second field is the program's name in parentheses and may itself hold spaces and parentheses.
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return int(fields[19])
    except (OSError, IndexError, ValueError):
        return None
