"""Loopback ports for machines: nobody listens there, no clone is promised it, no other process is about to use it.

A port is held by a lock on a file named after it, so it is free again when its process ends, however it ends.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from imagekit.errors import HostFailed

# Below Linux's and macOS's ranges for outgoing connections, so none of those can take a promised port.
_PORTS = range(22022, 24022)


@contextlib.contextmanager
def reserve_port(directory: Path, recorded: Callable[[], Collection[int]], *, wanted: int = 0) -> Iterator[int]:
    """Hold a free port of 127.0.0.1 for the length of the block; lock files are in ``directory``.

    ``recorded`` tells the ports that stopped machines are promised; it is asked after the lock is held, so a clone
    published meanwhile by another process is seen. ``wanted`` is tried first, recorded or not. Raises
    :class:`HostFailed` when every port is taken.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    for port in (*((wanted,) if wanted else ()), *_PORTS):
        with _lock(directory / f"port-{port}") as held:
            if held and (port == wanted or port not in recorded()) and is_free(port):
                yield port
                return
    raise HostFailed(
        f"every port from {_PORTS.start} to {_PORTS.stop - 1} on 127.0.0.1 is taken",
        hint="remove clones that are not needed: imagekit clone --help",
    )


def is_free(port: int) -> bool:
    """Say whether a program could listen on ``port`` of 127.0.0.1 now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As QEMU does: a connection that lingers after its machine ended is no obstacle, a listener is.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[bool]:
    """Say whether the lock on ``path`` could be had, and hold it. The file stays: removing it would race."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
