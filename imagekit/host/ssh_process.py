"""A program on another machine that we talk with: bytes in, framed answers out, with a bound on every wait.

Before the first answer may stand whatever a login prints; an answer begins with a line that only it can have.
"""

import shlex
import threading
import time
from typing import TYPE_CHECKING, Self

from imagekit.errors import HostFailed
from imagekit.host.ssh import SshHost, explained

if TYPE_CHECKING:
    import paramiko

_MOST_CHATTER = 1 << 20
_PIECE = 64 << 10
_LONGEST_HEADER = 256


class RemoteProcess:
    """A shell script that runs on a host and answers in frames; close it, or use a ``with`` block."""

    def __init__(self, channel: "paramiko.Channel", where: str) -> None:
        self._channel = channel
        self._where = where
        self._buffer = bytearray()
        self._said = bytearray()

    @classmethod
    def start(cls, host: SshHost, script: str, *, timeout: float) -> Self:
        """Start ``script`` with ``/bin/sh`` there within ``timeout`` seconds; raises :class:`HostFailed`."""
        channel = host.open_channel(timeout)
        # paramiko waits for ever for the answer to an exec request: closing the channel is the way out.
        watchdog = threading.Timer(timeout, channel.close)
        watchdog.daemon = True
        watchdog.start()
        try:
            with explained(host.where, "starting a script"):
                channel.exec_command(f"exec /bin/sh -c {shlex.quote(script)}")
        except BaseException:
            channel.close()
            raise
        finally:
            watchdog.cancel()
        return cls(channel, host.where)

    def send(self, data: bytes, *, timeout: float) -> None:
        """Write ``data`` to the program's standard input within ``timeout`` seconds; raises :class:`HostFailed`."""
        with explained(self._where, "sending a request"):
            self._channel.settimeout(timeout)
            self._channel.sendall(data)

    def receive(self, mark: str, *, limit: int, timeout: float) -> tuple[str, bytes]:
        r"""Return the next frame: ``\n<mark> <length> <rest>\n`` and then ``length`` bytes; (rest, bytes).

        Whatever stands before the mark is skipped, up to 1 MiB. Raises :class:`HostFailed` when the program ends, is
        late, talks too much, or announces more than ``limit`` bytes.
        """
        deadline = time.monotonic() + timeout
        start = f"\n{mark} ".encode()
        self._buffer[:0] = b"\n"  # the first line of all has no line end before it
        while (at := self._buffer.find(start)) < 0:
            if len(self._buffer) > _MOST_CHATTER:
                raise HostFailed(f"{self._where} talks without answering: more than {_MOST_CHATTER >> 20} MiB")
            self._fill(deadline)
        del self._buffer[: at + len(start)]
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > _LONGEST_HEADER:
                raise HostFailed(f"{self._where} answered with a line that makes no sense")
            self._fill(deadline)
        length, _, rest = self._buffer[:end].decode("ascii", "replace").partition(" ")
        del self._buffer[: end + 1]
        if not length.isdecimal() or len(length) > 18 or int(length) > limit:
            raise HostFailed(f"{self._where} announced an answer of {length[:18]!r} bytes; {limit} are the limit")
        while len(self._buffer) < int(length):
            self._fill(deadline)
        body = bytes(self._buffer[: int(length)])
        del self._buffer[: int(length)]
        return rest, body

    def _fill(self, deadline: float) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise HostFailed(f"{self._where} did not answer in time")
        with explained(self._where, "waiting for an answer"):
            while self._channel.recv_stderr_ready():  # unread, it would stop the program
                self._said += self._channel.recv_stderr(_PIECE)
                del self._said[:-_PIECE]
            self._channel.settimeout(min(left, 0.5))
            try:
                piece = self._channel.recv(_PIECE)
            except TimeoutError:
                return
        if not piece:
            while self._channel.recv_stderr_ready():
                self._said += self._channel.recv_stderr(_PIECE)
            lines = self._said.decode(errors="replace").strip().splitlines()
            said = "".join(each if each.isprintable() else "?" for each in lines[-1][:200]) if lines else ""
            raise HostFailed(f"{self._where} ended before it answered{f': {said}' if said else ''}")
        self._buffer += piece

    def close(self) -> None:
        """End the conversation; the program sees the end of its input. Safe to call twice."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
