"""A program that is talked to over its standard input and output, every send and receive with a deadline."""

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from imagekit.errors import ToolFailed
from imagekit.host.local import Tail, start

_PIECE = 1 << 20
_ERROR_BYTES = 16 << 10


class PipedProcess:
    """A running child and both ends of its pipes; use as a context manager, the child is killed at the end.

    It is killed with SIGKILL, for it may be stuck inside a library; it holds nothing that wants to be cleaned up.
    Should imagekit itself be killed, the child reads the end of its input and gets the signal that
    :func:`imagekit.host.local.start` arranges.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        """Start ``argv``; raises :class:`ToolMissing` when there is no such program."""
        self._name = Path(argv[0]).name
        self._errors = Tail(_ERROR_BYTES)
        child_in, self._in = os.pipe()
        self._out, child_out = os.pipe()
        try:
            with os.fdopen(child_in, "rb") as stdin, os.fdopen(child_out, "wb") as stdout:
                self._running = start(argv, stdin=stdin, stdout=stdout, stderr=self._errors)
        except BaseException:
            os.close(self._in)
            os.close(self._out)
            raise
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, data: bytes, deadline: float) -> None:
        """Write all of ``data`` before ``deadline`` (of time.monotonic()); raises :class:`ToolFailed` otherwise."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._in, rest[:_PIECE]) :]
            except BlockingIOError:
                self._await(self._in, selectors.EVENT_WRITE, deadline)
            except BrokenPipeError:
                raise self._explain_end() from None

    def receive(self, length: int, deadline: float) -> bytes:
        """Read exactly ``length`` bytes before ``deadline`` (of time.monotonic()).

        Raises :class:`ToolFailed` when they do not come in time or the program ends before.
        """
        data = bytearray()
        while len(data) < length:
            try:
                part = os.read(self._out, min(length - len(data), _PIECE))
            except BlockingIOError:
                self._await(self._out, selectors.EVENT_READ, deadline)
                continue
            if not part:
                raise self._explain_end()
            data += part
            if time.monotonic() > deadline:  # a trickle is late too
                raise self._explain_delay()
        return bytes(data)

    def close(self) -> None:
        """Kill the program and forget it; safe to call twice, never raises."""
        if not self._open:
            return
        self._open = False
        os.close(self._in)
        os.close(self._out)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._running.pid, signal.SIGKILL)
        self._wait(5.0)

    def _wait(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while self._running.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)

    def _await(self, descriptor: int, event: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, event)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise self._explain_delay()

    def _explain_delay(self) -> ToolFailed:
        return ToolFailed(f"{self._name} did not answer in time")

    def _explain_end(self) -> ToolFailed:
        """Return the error for a closed pipe: how the program ended, with the end of what it said."""
        self._wait(1.0)
        if self._running.is_alive():
            return ToolFailed(f"{self._name} closed its output")
        try:
            self._running.wait()
            status = self._running.exit_code
        except Exception as problem:  # sh raises one class for each signal number; only its number matters here
            status = getattr(problem, "exit_code", 0)
        how = f"was killed by {_name_signal(-status)}" if status < 0 else f"ended with status {status}"
        said = self._errors.value().decode(errors="replace").strip().splitlines()[-5:]
        return ToolFailed(f"{self._name} {how}", detail="\n".join(said))


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
