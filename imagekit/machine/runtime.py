"""Where sockets and pid files of machines live: a short private directory that does not outlive the host's boot.

The path of a unix socket has at most 107 bytes on Linux and 103 on macOS (unix(7)), which a store deep in a home
directory exceeds easily.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path

from imagekit.errors import HostFailed

_SOCKET_PATH_BYTES = 103
_ABANDONED_SECONDS = 3600
_LONGEST_NAME = len("/agent.sock") + 1 + 12


def find_runtime_dir() -> Path:
    """Return this user's private directory for sockets, made when missing.

    ``$XDG_RUNTIME_DIR/imagekit`` when there is one, else ``imagekit-UID`` in the temporary directory. Raises
    :class:`HostFailed` when somebody else owns that name or may write there, since they could take over a machine.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    candidates = [Path(runtime) / "imagekit"] if runtime and Path(runtime).is_dir() else []
    candidates += [Path(base) / f"imagekit-{os.getuid()}" for base in (tempfile.gettempdir(), "/tmp")]
    for candidate in candidates:
        if len(os.fsencode(candidate)) + _LONGEST_NAME <= _SOCKET_PATH_BYTES:
            return _make_private(candidate)
    raise HostFailed(
        "no directory for sockets has a short enough path",
        hint="set XDG_RUNTIME_DIR to a directory of under 60 letters",
    )


def find_machine_dir(identity: str) -> Path:
    """Return where the sockets of the machine known by ``identity`` belong; the directory may not exist yet."""
    return find_runtime_dir() / hashlib.sha256(identity.encode()).hexdigest()[:12]


def make_machine_dir(identity: str) -> Path:
    """Return :func:`find_machine_dir`, private and made when missing; what killed machines have left is removed."""
    wanted = find_machine_dir(identity)
    sweep_machine_dirs(wanted.parent)
    return _make_private(wanted)


def sweep_machine_dirs(runtime: Path) -> None:
    """Remove directories of machines that ended without cleaning up: an hour old, and no process of theirs lives."""
    for directory in runtime.iterdir():
        with contextlib.suppress(OSError):  # another imagekit may sweep or end at this moment
            old = time.time() - directory.lstat().st_mtime > _ABANDONED_SECONDS
            if old and stat.S_ISDIR(directory.lstat().st_mode) and not _has_process(directory / "qemu.pid"):
                shutil.rmtree(directory)


def _has_process(pidfile: Path) -> bool:
    """Say whether the process that ``pidfile`` names exists; QEMU removes its file when it ends in order."""
    try:
        os.kill(int(pidfile.read_text()), 0)
    except (FileNotFoundError, ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _make_private(path: Path) -> Path:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = path.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise HostFailed(
            f"{path} is not a private directory of this user",
            hint="remove it, or set XDG_RUNTIME_DIR to a directory that only you can write",
        )
    return path
