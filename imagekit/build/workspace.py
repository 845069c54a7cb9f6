"""A build's working directory: made for one build, locked while it runs, swept when its process is gone."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from imagekit.build.cache import explain_access
from imagekit.build.mmdebstrap import remove_root
from imagekit.errors import ToolFailed

_ATTEMPTS = 20
_PAUSE_SECONDS = 0.25
_KEPT = "kept"


@contextlib.contextmanager
def open_workspace(cache: Path, name: str) -> Iterator[Path]:
    """Yield an empty directory below ``cache/builds`` and remove it afterwards, also on Ctrl-C, unless it is kept.

    A crash leaves the directory with its lock free; the next build of any image removes it.
    """
    builds = cache / "builds"
    with explain_access(cache):
        builds.mkdir(parents=True, exist_ok=True)
        directory, lock = _make_workspace(builds, name)
    try:
        yield directory
    finally:
        if not _is_kept(directory):
            remove_workspace(directory)
        os.close(lock)


def keep_workspace(directory: Path, record: Path) -> None:
    """Have ``directory`` outlive its build, and every sweep, for as long as the file ``record`` is there."""
    (directory / _KEPT).symlink_to(record.absolute())


def _is_kept(directory: Path) -> bool:
    return (directory / _KEPT).exists()  # of a link: whether there is what it leads to


def _make_workspace(builds: Path, name: str) -> tuple[Path, int]:
    """Sweep, then make a directory and lock it; one process at a time, so that nobody sweeps what is being made."""
    with (builds / "lock").open("w") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        sweep_workspaces(builds)
        directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=builds))
        # 0711: a user namespace's identities must be able to pass through to the root below.
        directory.chmod(0o711)
        lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return directory, lock


def remove_workspace(directory: Path) -> None:
    """Remove a working directory with the root in it.

    A build that was killed may have processes that are still dying and write in there, so it is tried again for a
    moment; what cannot be removed then stays for the next sweep, and does not stop the build that sweeps.
    """
    for _attempt in range(_ATTEMPTS):
        with contextlib.suppress(ToolFailed):
            remove_root(directory / "root")
            break
        time.sleep(_PAUSE_SECONDS)
    shutil.rmtree(directory, ignore_errors=True)


def sweep_workspaces(builds: Path) -> None:
    """Remove what builds that died have left: the directories whose lock nobody holds, or that have none yet.

    What is kept stays. The caller holds the lock on ``builds``, so no directory is being made at this moment.
    """
    for directory in builds.iterdir():
        if not directory.is_dir() or _is_kept(directory):
            continue
        try:
            with (directory / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove_workspace(directory)
        except FileNotFoundError:
            remove_workspace(directory)
        except BlockingIOError:
            continue
