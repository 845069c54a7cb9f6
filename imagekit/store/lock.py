"""Who may write: flock(2) on a file whose text names the holder. The lock ends with its process, however that ends.

The file is never removed: a second process could then lock a new file while the first still holds the old one.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from imagekit.durable import make_directory
from imagekit.errors import StoreError
from imagekit.store.failures import explain_os_errors

_HOLDER_BYTES = 4096
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lock: process id, machine, what it is doing, since when."""

    pid: int
    host: str
    command: str
    since: datetime

    def __str__(self) -> str:
        return f"PID {self.pid} ({self.command}) since {_format_since(self.since)} on {self.host}"


@contextlib.contextmanager
def hold_lock(path: Path, *, command: str, busy: str, hint: str, wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock at ``path`` through the block, as ``command``.

    When another holds it and keeps it for ``wait_seconds``: :class:`StoreError` with the sentence "``busy`` PID …".
    """
    with explain_os_errors("write to the store", path.parent):
        make_directory(path.parent)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with explain_os_errors("write to the store", path.parent):
            if not _try_until(descriptor, time.monotonic() + wait_seconds):
                raise StoreError(f"{busy} {_read_holder(descriptor) or 'another process'}", hint=hint)
            _write_holder(descriptor, Holder(os.getpid(), socket.gethostname(), command[:200], datetime.now(UTC)))
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # a stale text is replaced by the next holder
                os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _try_until(descriptor: int, deadline: float) -> bool:
    """Try to lock, again and again up to ``deadline`` (monotonic seconds), at least once."""
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _write_holder(descriptor: int, holder: Holder) -> None:
    """Name the holder, for people; not flushed, since it means nothing after a crash."""
    text = {"pid": holder.pid, "host": holder.host, "command": holder.command, "since": holder.since.isoformat()}
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps(text).encode(), 0)


def _read_holder(descriptor: int) -> Holder | None:
    """Return who holds the lock. Just taken, its text may not be there yet: look again for a moment."""
    for _attempt in range(10):
        try:
            told = json.loads(os.pread(descriptor, _HOLDER_BYTES, 0))
            return Holder(
                int(told["pid"]),
                _printable(told["host"]),
                _printable(told["command"]),
                datetime.fromisoformat(told["since"]),
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            time.sleep(_POLL_SECONDS)
    return None


def _printable(text: object) -> str:
    """Return at most 200 characters that a terminal cannot take for commands."""
    return "".join(character if character.isprintable() else "?" for character in str(text)[:200])


def _format_since(since: datetime) -> str:
    """Return the local time, with its day when that is not today."""
    local, today = since.astimezone(), datetime.now().astimezone().date()
    return f"{local:%H:%M}" if local.date() == today else f"{local:%Y-%m-%d %H:%M}"
