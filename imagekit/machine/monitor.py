"""QEMU's monitor and the guest agent's channel: one JSON object a line over a unix socket, both bounded.

Protocols: QEMU's "QMP protocol specification" and the guest agent's "QEMU Guest Agent Protocol Reference".
"""

import base64
import contextlib
import json
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.host import Completed

_LINE_BYTES = 8 << 20
_PAUSE = 0.5


def send_command(monitor: Path, command: str, *, timeout: float = 5.0) -> object:
    """Send one QMP ``command`` to the machine behind socket ``monitor`` and return what it returns.

    Raises :class:`HostFailed` when nobody listens there, the answer is an error, or ``timeout`` seconds pass.
    """
    deadline = time.monotonic() + timeout
    with _connected(monitor, deadline) as lines:
        lines.read()  # the greeting
        for execute in ("qmp_capabilities", command):
            lines.send({"execute": execute})
            answer = _read_answer(lines, execute)
    return answer


def ping_agent(agent: Path, *, timeout: float) -> bool:
    """Say whether the guest agent behind socket ``agent`` answers within ``timeout`` seconds."""
    try:
        with _synchronised(agent, time.monotonic() + timeout) as lines:
            lines.send({"execute": "guest-ping"})
            _read_answer(lines, "guest-ping")
    except HostFailed:
        return False
    return True


def run_through_agent(agent: Path, script: str, *, limit: int, timeout: float) -> Completed:
    """Run a POSIX shell script as root in the guest through its agent: the way in when there is no network.

    Raises :class:`HostFailed` when the agent does not answer, forbids ``guest-exec`` (RHEL does), or a bound is passed.
    """
    deadline = time.monotonic() + timeout
    with _synchronised(agent, deadline) as lines:
        arguments = {"path": "/bin/sh", "arg": ["-c", script], "capture-output": True}
        lines.send({"execute": "guest-exec", "arguments": arguments})
        pid = _member(_read_answer(lines, "guest-exec"), "pid")
        while True:
            lines.send({"execute": "guest-exec-status", "arguments": {"pid": pid}})
            status = _read_answer(lines, "guest-exec-status")
            if _member(status, "exited") is True:
                break
            if time.monotonic() > deadline:
                raise HostFailed("the guest agent did not finish a script in time")
            time.sleep(_PAUSE)
    output, errors = (_decode(_member(status, name)) for name in ("out-data", "err-data"))
    if len(output) > limit:
        raise HostFailed(f"the guest answered with more than {limit} bytes")
    code = _member(status, "exitcode")
    return Completed(output, errors.decode(errors="replace"), code if isinstance(code, int) else -1)


class _Lines:
    """JSON lines over a socket, with a deadline for all of them and a bound for each."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._buffer = bytearray()

    def send(self, message: object, *, before: bytes = b"") -> None:
        self._wait()
        self._connection.sendall(before + json.dumps(message).encode() + b"\n")

    def read(self) -> dict[str, object]:
        while b"\n" not in self._buffer:
            self._wait()
            part = self._connection.recv(65536)
            if not part:
                raise HostFailed("the machine closed its control socket")
            self._buffer += part
            if len(self._buffer) > _LINE_BYTES:
                raise HostFailed("the machine's answer is longer than any honest one")
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        try:
            # The agent puts 0xFF before the answer to a delimited sync; a guest may have left half a line before it.
            message = json.loads(line.rpartition(b"\xff")[2])
        except (ValueError, RecursionError):
            return {}
        return message if isinstance(message, dict) else {}

    def _wait(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)


@contextlib.contextmanager
def _connected(path: Path, deadline: float) -> Iterator[_Lines]:
    """Connect; anything the socket raises becomes one sentence."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            connection.connect(str(path))
            yield _Lines(connection, deadline)
    except TimeoutError as problem:
        raise HostFailed("the machine did not answer on its control socket in time") from problem
    except OSError as problem:
        raise HostFailed(f"the machine's control socket cannot be used: {problem.strerror}") from problem


@contextlib.contextmanager
def _synchronised(agent: Path, deadline: float) -> Iterator[_Lines]:
    """Connect to the agent and throw away what is left of earlier talks (``guest-sync-delimited``)."""
    with _connected(agent, deadline) as lines:
        number = secrets.randbelow(1 << 31)
        lines.send({"execute": "guest-sync-delimited", "arguments": {"id": number}}, before=b"\xff")
        while lines.read().get("return") != number:
            pass
        yield lines


def _read_answer(lines: _Lines, command: str) -> object:
    """Return the next answer; events in between are not ours."""
    while True:
        message = lines.read()
        if "return" in message:
            return message["return"]
        if "error" in message:
            raise HostFailed(f"{command} was refused: {_member(message['error'], 'desc')}"[:300])


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, dict) else None


def _decode(text: object) -> bytes:
    try:
        return base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except ValueError:
        return b""
