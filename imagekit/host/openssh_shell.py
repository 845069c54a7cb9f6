"""Run a script on another machine through ssh(1) and tell apart what it said, how it ended, and a lost connection."""

import secrets
import time
from collections.abc import Callable
from typing import IO

from imagekit.errors import HostFailed
from imagekit.host.local import Completed, Tail
from imagekit.host.openssh_login import SshLogin
from imagekit.host.openssh_process import SshProcess
from imagekit.host.openssh_script import make_command_line, make_script

CHATTER_BYTES = 1 << 20  # what a login may print before the script speaks
_SLICE_SECONDS = 0.5


def make_mark() -> str:
    """Return a word that nothing there can know before the script says it."""
    return f"imagekit-{secrets.token_hex(8)}"


def run_script(
    login: SshLogin,
    body: str,
    mark: str,
    *,
    limit: int,
    feed: Callable[[IO[bytes]], None] | None = None,
    hold: bool = False,
    on_line: Callable[[str], None] | None = None,
    timeout: float | None = None,
) -> Completed:
    """Run ``body`` (of :mod:`imagekit.host.openssh_script`) there, with what ``feed`` writes as its input.

    ``hold`` leaves the input open to the end, as a command's watcher needs it. Raises :class:`HostFailed` for more
    than ``limit`` bytes of output and when nothing ran, its :class:`ConnectionLost` when the connection ended, and
    :class:`TimeoutError` after ``timeout`` seconds.
    """
    login.connect()
    text = make_script(body, mark)

    def write(stream: IO[bytes]) -> None:
        stream.write(text)
        stream.flush()
        if feed is not None:
            feed(stream)

    def hear(line: str) -> None:
        if on_line is not None and not line.startswith(mark):
            on_line(line)

    deadline = None if timeout is None else time.monotonic() + timeout
    output = Tail(limit + CHATTER_BYTES)
    with SshProcess(
        login.make_argv(make_command_line(len(text))), feed=write, hold=hold, output=output, on_line=hear
    ) as process:
        while (status := process.wait(_limit_slice(deadline))) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError
            if output.cut:
                break
        errors = process.read_errors()
    if isinstance(process.feed_problem, OSError):
        raise HostFailed(
            f"{process.feed_problem.filename or 'a file'} cannot be sent to {login.name}: {process.feed_problem}"
        ) from process.feed_problem
    if process.feed_problem is not None:
        raise process.feed_problem
    chatter, found, said = output.value().partition(f"\n{mark}\n".encode())
    if output.cut or len(said) > limit:
        raise HostFailed(f"{login.name} answered with more than {limit} bytes")
    if status is None or status < 0 or status == 255:  # a command's own 255 comes as 254
        raise login.explain_loss(errors)
    if not found:
        raise login.explain_no_shell(chatter.decode(errors="replace"), errors)
    return Completed(said, errors, status)


def _limit_slice(deadline: float | None) -> float:
    now = time.monotonic()
    return now + _SLICE_SECONDS if deadline is None else min(deadline + 0.001, now + _SLICE_SECONDS)
