"""Talk to the child process in which a C library reads what is on an image.

The libyal libraries parse bytes that somebody else made, in C. They run in a process of their own with limits on
memory, processor time and files (``libyal_child``); it is given bytes and never a path. Whatever happens to it, a
crash, a limit, silence, an answer that cannot be right, is a :class:`LibraryFailed` here: what was asked for was not
observed.
"""

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any, Self

from imagekit.disk.child.libyal_child import LENGTHS
from imagekit.disk.window import Readable
from imagekit.errors import ImagekitError, ReaderFailed, ToolFailed
from imagekit.host.pipe import PipedProcess

PACKAGES = {"pyfsxfs": "libfsxfs-python", "pyvmdk": "libvmdk-python", "pyvhdi": "libvhdi-python"}
INSTALL = "pip install 'imagekit-homelab[formats]'"
MEMORY_BYTES = 512 << 20
CPU_SECONDS = 60
REQUEST_SECONDS = 20.0
_HEADER_BYTES = 16 << 10
_BODY_BYTES = 64 << 20
_READ_BYTES = 4 << 20
_SAID = 300
_PROGRAM = Path(__file__).with_name("libyal_child.py")


class LibraryFailed(ReaderFailed):
    """The reader of a format could not tell: it crashed, met a limit, was silent, or did not understand the bytes."""


class LibraryMissing(ReaderFailed):
    """The optional library for a format is not installed; the hint says how to get it."""

    def __init__(self, module: str, what: str) -> None:
        super().__init__(f"{what} is read with {PACKAGES[module]}, which is not installed", hint=INSTALL)


class Library:
    """One library, reading ``source`` in a child process; use as a context manager or call :meth:`close`.

    The child is started with the first question. After a failure of the process every question gets the same error.
    """

    def __init__(
        self,
        module: str,
        source: Readable,
        what: str,
        *,
        program: Path = _PROGRAM,
        cpu_seconds: int = CPU_SECONDS,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """Prepare ``module`` to read ``source``, called ``what`` in messages (``the XFS filesystem``)."""
        self._module = module
        self._source = source
        self._what = what
        self._program = program
        self._cpu_seconds = cpu_seconds
        self._request_seconds = request_seconds
        self._process: PipedProcess | None = None
        self._failure: ImagekitError | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child process; a second call does nothing, and nothing can be asked any more."""
        self._failure = self._failure or LibraryFailed(f"{self._what} was closed")
        if self._process is not None:
            self._process.close()
            self._process = None

    def ask(self, do: str, *, most: int = _BODY_BYTES, **arguments: Any) -> tuple[Any, bytes]:  # noqa: ANN401 - JSON
        """Ask for ``do`` and return the answer's value and bytes, of which there are at most ``most``.

        Raises :class:`LibraryMissing` without the library, :class:`LibraryFailed` when it cannot tell, and what
        reading ``source`` raises.
        """
        if self._failure is not None:
            raise self._failure
        try:
            if self._process is None:
                self._start()
            return self._converse({"do": do, **arguments}, most)
        except _Declined as declined:  # of this question; the next one may have an answer
            raise self._explain(str(declined)) from None
        except ToolFailed as problem:
            reason = problem.message.replace(Path(sys.executable).name, "its reader", 1)
            raise self._fail(self._explain(reason)) from problem
        except ImagekitError as problem:
            self._fail(problem)
            raise
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        self._process = PipedProcess(self._make_command())
        try:
            self._converse({"size": self._source.size}, 0)
        except _Declined as declined:
            raise self._explain(str(declined)) from None

    def _make_command(self) -> list[str]:
        """Return the command line of the child; raises :class:`LibraryMissing`."""
        try:
            found = importlib.util.find_spec(self._module)
        except (ImportError, ValueError):
            found = None
        if found is None or not found.origin:
            raise LibraryMissing(self._module, self._what)
        directory = str(Path(found.origin).parent)
        limits = [str(MEMORY_BYTES), str(self._cpu_seconds)]
        return [sys.executable, "-I", "-S", str(self._program), self._module, directory, *limits]

    def _converse(self, request: dict[str, Any], most: int) -> tuple[Any, bytes]:
        """Send one request, serve the child's reads, and return its answer."""
        assert self._process is not None
        deadline = time.monotonic() + self._request_seconds
        self._send(request, b"", deadline)
        while True:
            header, body = self._receive(most, deadline)
            if "read" in header:
                self._send({"done": True}, self._read(header["read"]), deadline)
            elif "failed" in header:
                raise _Declined(_shorten(header["failed"]))
            elif "done" in header:
                return header["done"], body
            else:
                raise self._explain("it answered something else than what it was asked")

    def _read(self, range_: object) -> bytes:
        match range_:
            case [int(offset), int(length)] if 0 <= length <= _READ_BYTES and offset >= 0:
                return self._source.read(offset, length)
            case _:
                raise self._explain("it asked for more than it may")

    def _send(self, header: dict[str, Any], body: bytes, deadline: float) -> None:
        assert self._process is not None
        text = json.dumps(header).encode()
        self._process.send(LENGTHS.pack(len(text), len(body)) + text + body, deadline)

    def _receive(self, most: int, deadline: float) -> tuple[dict[str, Any], bytes]:
        assert self._process is not None
        header_length, body_length = LENGTHS.unpack(self._process.receive(LENGTHS.size, deadline))
        if header_length > _HEADER_BYTES or body_length > most:
            raise self._explain(f"it announced {header_length} and {body_length} bytes")
        text = self._process.receive(header_length, deadline)
        body = self._process.receive(body_length, deadline)
        header = parse_json(text)
        if not isinstance(header, dict):
            raise self._explain("its answer is no message")
        return header, body

    def _explain(self, reason: str) -> LibraryFailed:
        return LibraryFailed(f"{self._what} cannot be read: {reason}")

    def _fail(self, problem: ImagekitError) -> ImagekitError:
        """Remember the error for whoever asks next, and end the child."""
        self._failure = problem
        self.close()
        return problem


class _Declined(Exception):
    """The library said that it cannot do what it was asked."""


def parse_json(text: bytes) -> object:
    """Return what ``text`` says; ``None`` when it is no JSON, too deep, or holds numbers of absurd length."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _shorten(said: object) -> str:
    """Return the beginning of a library's message: the cause comes first, then who called whom."""
    text = said if isinstance(said, str) else "for a reason that it does not tell"
    return text[:_SAID]
