"""One user of the VM at a time: flock(2) on a file whose text names the holder, so that the next is told who it is.

The lock ends with its process, however that ends. The file is never removed: a second process could then lock a new
file while the first still holds the old one.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.progress import Event, Progress, silent

_HOLDER_BYTES = 4096
_POLL_SECONDS = 0.1


@contextlib.contextmanager
def hold_vm(directory: Path, command: str, *, wait_seconds: float = 0.0, progress: Progress = silent) -> Iterator[None]:
    """Have the VM of ``directory`` to oneself through the block, as ``command``.

    When another keeps it for ``wait_seconds``: :class:`HostFailed` that names who has it. While waiting, ``progress``
    is told once whom for.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as problem:
        raise HostFailed(f"cannot write the build VM's directory: {problem}") from None
    try:
        _wait_for(descriptor, time.monotonic() + wait_seconds, progress)
        _write_holder(descriptor, command)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # a stale text is replaced by the next holder
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, deadline: float, progress: Progress) -> None:
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _read_holder(descriptor)
            if time.monotonic() >= deadline:
                raise HostFailed(
                    f"the build VM is in use by {holder}", hint="wait until that has ended, then try again"
                ) from None
            if not told:
                progress(Event("waiting for the VM", note=f"the VM is in use by {holder}"))
                told = True
            time.sleep(_POLL_SECONDS)
        else:
            return


def _write_holder(descriptor: int, command: str) -> None:
    """Name the holder, for people; not flushed, since it means nothing after a crash."""
    text = {"pid": os.getpid(), "command": command[:200], "since": datetime.now(UTC).isoformat(timespec="seconds")}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(text).encode(), 0)


def _read_holder(descriptor: int) -> str:
    """Return who holds the lock, for a sentence. Just taken, its text may not be there yet: look again for a moment."""
    for _attempt in range(5):
        try:
            told = json.loads(os.pread(descriptor, _HOLDER_BYTES, 0))
            since = datetime.fromisoformat(told["since"]).astimezone()
            command = "".join(letter if letter.isprintable() else "?" for letter in str(told["command"])[:200])
            return f"PID {int(told['pid'])} ({command}) since {since:%H:%M}"
        except (ValueError, KeyError, TypeError, RecursionError):
            time.sleep(_POLL_SECONDS / 5)
    return "another process"
