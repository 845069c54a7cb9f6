"""A build's working directory: made for one build, locked while it runs, swept when its process is gone."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from imagekit.build.mmdebstrap import remove_root


@contextlib.contextmanager
def open_workspace(cache: Path, name: str, *, keep: bool = False) -> Iterator[Path]:
    """Yield an empty directory below ``cache/builds`` and remove it afterwards, also on Ctrl-C, unless ``keep``.

    A crash leaves the directory with its lock free; the next build of any image removes it.
    """
    builds = cache / "builds"
    builds.mkdir(parents=True, exist_ok=True)
    sweep_workspaces(builds)
    directory = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=builds))
    # 0711: a user namespace's identities must be able to pass through to the root below.
    directory.chmod(0o711)
    lock = os.open(directory / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield directory
    finally:
        if not keep:
            remove_workspace(directory)
        os.close(lock)


def remove_workspace(directory: Path) -> None:
    """Remove a working directory with the root in it."""
    remove_root(directory / "root")
    shutil.rmtree(directory, ignore_errors=True)


def sweep_workspaces(builds: Path) -> None:
    """Remove what builds that died have left: the directories whose lock nobody holds."""
    for directory in builds.iterdir():
        lock_file = directory / "lock"
        if not lock_file.exists():
            continue  # another build is making this one at this moment
        with contextlib.suppress(OSError), lock_file.open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_workspace(directory)
