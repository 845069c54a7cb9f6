"""Run programs on this machine: argument lists only, an environment made on purpose, nothing left running.

Every child leads its own process group, so Ctrl-C on the terminal reaches imagekit alone, which then ends the group in
order: SIGTERM, a moment to clean up, SIGKILL. On Linux each child also gets a parent-death signal from ``setpriv``
(util-linux), so that not even ``kill -9`` of imagekit leaves a build or a virtual machine behind.
"""

import contextlib
import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from imagekit.errors import ToolFailed
from imagekit.host.tools import find_tool

_INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TERM", "SSL_CERT_FILE", "SSL_CERT_DIR", "XDG_RUNTIME_DIR")
_DETAIL_LINES = 25
_GRACE_SECONDS = 5.0
_OUTPUT_BYTES = 64 << 20
_ERROR_BYTES = 1 << 20
_LINE_BYTES = 1 << 20  # Nix's JSON log has a build's whole environment on one line


@dataclass(frozen=True, slots=True)
class Completed:
    """What a finished program said; of ``errors`` the end is kept, 1 MiB."""

    output: bytes
    errors: str
    status: int


class Tail:
    """Collect a stream, keeping its last ``limit`` bytes, and hand lines to a listener; of a line the last MiB."""

    def __init__(self, limit: int, on_line: Callable[[str], None] | None = None) -> None:
        self.cut = False
        self._limit = limit
        self._kept = bytearray()
        self._line = bytearray()
        self._on_line = on_line

    def write(self, data: bytes) -> int:
        self._kept += data
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]
            self.cut = True
        if self._on_line is not None:
            *ends, rest = data.split(b"\n")
            for part in ends:
                self._line += part
                self._hand_over(self._on_line)
            self._line += rest
            if len(self._line) > 2 * _LINE_BYTES:
                del self._line[:-_LINE_BYTES]
        return len(data)

    def finish(self) -> None:
        """Hand over what is left: a last line without an end."""
        if self._line and self._on_line is not None:
            self._hand_over(self._on_line)

    def _hand_over(self, on_line: Callable[[str], None]) -> None:
        line = self._line[-_LINE_BYTES:].decode(errors="replace").rstrip("\r")
        self._line.clear()
        on_line(line)

    def value(self) -> bytes:
        return bytes(self._kept)


def make_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of a child: a short list of ours, a fixed locale, and what the caller adds."""
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    environment.update({"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"})
    environment.update({name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")})
    environment.update(extra or {})
    return environment


def _guarded(argv: Sequence[str]) -> list[str]:
    """Prefix ``setpriv --pdeathsig`` where util-linux offers it (setpriv(1), PR_SET_PDEATHSIG in prctl(2))."""
    program = find_tool(argv[0])
    if sys.platform == "linux" and (setpriv := find_tool("setpriv", required=False)):
        return [setpriv, "--pdeathsig", "TERM", "--", program, *argv[1:]]
    return [program, *argv[1:]]


def start(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: bytes | IO[bytes] | None = None,
    stdout: Any = None,  # noqa: ANN401 - sh takes a path, a file, or anything with write()
    stderr: Any = None,  # noqa: ANN401 - the same
) -> Any:  # noqa: ANN401 - sh.RunningCommand; sh has no types
    """Start ``argv`` in the background and return sh's running command; the caller ends it with :func:`end`.

    Raises :class:`ToolMissing` when the program is not installed.
    """
    import sh  # here: 40 ms that --help should not pay

    guarded = _guarded(argv)
    running = sh.Command(guarded[0])(
        *guarded[1:],
        _bg=True,
        _bg_exc=False,
        _new_group=True,
        _tty_out=False,
        _in=io.BytesIO(b"") if stdin is None else stdin,
        _out=stdout,
        _err=stderr,
        _env=make_environment(environment),
        _cwd=None if directory is None else os.fspath(directory),
        _ok_code=list(range(256)),
        _no_out=True,
        _no_err=True,
        _encoding="utf-8",
        _decode_errors="replace",
    )
    # sh keeps what has no line end yet, however much that is; who listens puts lines together, within a bound.
    for change in (running.process.change_out_bufsize, running.process.change_err_bufsize):
        with contextlib.suppress(AttributeError):  # an open file: sh does not read that stream
            change(0)
    return running


def end(running: Any, grace: float = _GRACE_SECONDS) -> None:  # noqa: ANN401 - sh has no types
    """End a process group that :func:`start` made: SIGTERM, up to ``grace`` seconds, then SIGKILL; never raises."""
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        if not running.is_alive():
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, number)
        deadline = time.monotonic() + wait
        while running.is_alive() and time.monotonic() < deadline:
            time.sleep(0.02)


@contextlib.contextmanager
def _ended(running: Any) -> Iterator[None]:  # noqa: ANN401 - sh has no types
    """End the process when the block is left by any exception, Ctrl-C first of all."""
    try:
        yield
    except BaseException:
        end(running)
        raise


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    stdin: bytes | IO[bytes] | None = None,
    on_line: Callable[[str], None] | None = None,
    timeout: float | None = None,
    check: bool = True,
) -> Completed:
    """Run ``argv`` to its end and return what it said.

    ``stdin`` is data or an open file, else empty; ``on_line`` hears each line of standard error while it is written;
    ``timeout`` is in seconds. With ``check`` a status other than 0 and a death by signal raise :class:`ToolFailed`, as
    a timeout and an output over 64 MiB always do; :class:`ToolMissing` when there is no such program.
    """
    out, err = Tail(_OUTPUT_BYTES), Tail(_ERROR_BYTES, on_line)
    running = start(
        argv,
        environment=environment,
        directory=directory,
        stdin=stdin,
        stdout=out,
        stderr=err,
    )
    deadline = None if timeout is None else time.monotonic() + timeout
    with _ended(running):
        status = await_end(running, deadline)
        err.finish()
    if status is None:
        end(running)
        raise ToolFailed(f"{Path(argv[0]).name} did not end within {timeout:g} s", detail=_last_lines(err))
    if check and status != 0:
        how = f"was killed by signal {-status}" if status < 0 else f"failed with status {status}"
        raise ToolFailed(f"{Path(argv[0]).name} {how}", detail=_last_lines(err) or _last_lines(out))
    if out.cut:
        raise ToolFailed(f"{Path(argv[0]).name} wrote more than {_OUTPUT_BYTES >> 20} MiB to its standard output")
    return Completed(out.value(), err.value().decode(errors="replace"), status)


def await_end(running: Any, deadline: float | None) -> int | None:  # noqa: ANN401 - sh has no types
    """Poll for the end, so that a signal is answered at once; the exit status, negative for a signal, None if late.

    ``deadline`` is of time.monotonic(), None for ever.
    """
    pause = 0.001
    while running.is_alive():
        if deadline is not None and time.monotonic() > deadline:
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return read_status(running)


def read_status(running: Any) -> int:  # noqa: ANN401 - sh has no types
    """Return the exit status of a process of :func:`start` that has ended, negative for the signal that killed it."""
    try:
        running.wait()
    except Exception as problem:  # sh raises one class for each signal number; only its number matters here
        status = getattr(problem, "exit_code", None)
        if not isinstance(status, int):
            raise
        return status
    return int(running.exit_code)


def _last_lines(tail: Tail) -> str:
    """Return the end of what was said, at most 25 lines: enough to see the cause, short enough to read."""
    return "\n".join(tail.value().decode(errors="replace").strip().splitlines()[-_DETAIL_LINES:])
