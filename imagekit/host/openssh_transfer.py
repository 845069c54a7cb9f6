"""A large file from another machine, continued where it was when the connection is lost on the way."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from imagekit.errors import HostFailed
from imagekit.host.openssh_failure import ConnectionLost, read_last_line
from imagekit.host.openssh_login import SshLogin
from imagekit.host.openssh_process import SshProcess
from imagekit.host.openssh_script import make_command_line, make_script, quote_path
from imagekit.host.openssh_shell import CHATTER_BYTES, make_mark

_PAUSES = (1.0, 3.0, 10.0, 30.0)
_PIECE = 1 << 20


def fetch_file(
    login: SshLogin,
    path: str,
    destination: Path,
    *,
    size: int,
    measure: Callable[[], int],
    on_bytes: Callable[[int], None] | None,
) -> None:
    """Fill ``destination`` up to ``size`` bytes; ``measure`` asks for the length there before each beginning.

    After a loss without progress come pauses of 1, 3, 10 and 30 seconds; after the last one the loss is raised. What
    came stays in ``destination`` in any case, flushed to the disk.
    """
    left = list(_PAUSES)
    while True:
        before = _measure(destination)
        try:
            if (found := measure()) != size:
                raise HostFailed(f"{path} on {login.name} has {found} bytes, not {size}")
            _fetch_rest(login, path, destination, size, on_bytes)
            return
        except ConnectionLost:
            if _measure(destination) > before:
                left = list(_PAUSES)
            if not left:
                raise
            time.sleep(left.pop(0))


def _measure(destination: Path) -> int:
    return destination.stat().st_size if destination.exists() else 0


def _fetch_rest(
    login: SshLogin, path: str, destination: Path, size: int, on_bytes: Callable[[int], None] | None
) -> None:
    try:
        with destination.open("ab") as file:
            if file.tell() > size:
                file.truncate(0)
                file.seek(0)
            try:
                if file.tell() < size:
                    _receive(login, path, file, size, on_bytes)
                elif on_bytes is not None:
                    on_bytes(size)
            finally:
                file.flush()
                os.fsync(file.fileno())
    except OSError as problem:
        raise HostFailed(f"{destination} cannot be written: {problem.strerror or problem}") from problem


def _receive(login: SshLogin, path: str, file: IO[bytes], size: int, on_bytes: Callable[[int], None] | None) -> None:
    """Append the bytes from the file's length on; nothing beyond ``size`` is written."""
    have, mark = file.tell(), make_mark()
    text = make_script(f"exec tail -c +{have + 1} {quote_path(path)}", mark)
    login.connect()
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb", buffering=0) as stream:
        with os.fdopen(writer, "wb", buffering=0) as output:
            process = SshProcess(
                login.make_argv(make_command_line(len(text))),
                feed=lambda to: _send(to, text),
                hold=False,
                output=output,
            )
        with process:
            piece = _skip_chatter(stream, f"\n{mark}\n".encode())
            while piece is not None and (piece or (piece := stream.read(_PIECE))):
                if have + len(piece) > size:
                    raise HostFailed(f"{login.name} sent more of {path} than the {size} bytes it has")
                file.write(piece)
                have += len(piece)
                if on_bytes is not None:
                    on_bytes(have)
                piece = b""
            status = process.wait()
            errors = process.read_errors()
    if status is None or status < 0 or status == 255:
        raise login.explain_loss(errors)
    if piece is None:
        raise login.explain_no_shell("", errors)
    if status != 0 or have < size:
        raise HostFailed(
            f"{path} on {login.name} ended after {have} of {size} bytes", hint=read_last_line(errors) or None
        )


def _send(stream: IO[bytes], text: bytes) -> None:
    stream.write(text)


def _skip_chatter(stream: IO[bytes], mark: bytes) -> bytes | None:
    """Read up to and with ``mark`` and return what came after it; None when it never came."""
    buffer = bytearray()
    while (at := buffer.find(mark)) < 0:
        piece = stream.read(_PIECE)
        if not piece or len(buffer) > CHATTER_BYTES:
            return None
        buffer += piece
    return bytes(buffer[at + len(mark) :])
