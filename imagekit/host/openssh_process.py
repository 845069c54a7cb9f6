"""One ssh(1) process: bytes into it, its output to a reader, and its input held open as long as its command may run."""

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any, Self

from imagekit.host.local import Tail, await_end, end, start

_ERROR_BYTES = 1 << 20


class SshProcess:
    """A running ssh; use it as a context manager, what is left of it is ended there.

    ``feed`` writes to its input in a thread; with ``hold`` the input stays open afterwards, so that the other end sees
    it closed exactly when this process, or imagekit, is gone. Its output goes to ``output``, a collector or an open
    file.
    """

    def __init__(
        self,
        argv: Sequence[str],
        *,
        feed: Callable[[IO[bytes]], None],
        hold: bool,
        output: Tail | IO[bytes],
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.errors = Tail(_ERROR_BYTES, on_line)
        self.feed_problem: BaseException | None = None
        self._hold = hold
        self._feed = feed
        reader, self._writer = os.pipe()
        try:
            with os.fdopen(reader, "rb") as stdin:
                # make_environment leaves the agent out; ssh alone shall have it
                agent = {name: os.environ[name] for name in ("SSH_AUTH_SOCK",) if name in os.environ}
                self._running: Any = start(argv, environment=agent, stdin=stdin, stdout=output, stderr=self.errors)
        except BaseException:
            os.close(self._writer)
            raise
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def _write(self) -> None:
        stream = os.fdopen(self._writer, "wb")
        try:
            self._feed(stream)
            stream.flush()
            if self._hold:
                self._done.wait()
        except BrokenPipeError:
            pass  # ssh has ended; its status and what it said tell more
        except Exception as problem:  # a file that cannot be read, say; the caller raises it again
            self.feed_problem = problem
        finally:
            with contextlib.suppress(BrokenPipeError):
                stream.close()

    def is_alive(self) -> bool:
        """Say whether ssh still runs."""
        return bool(self._running.is_alive())

    def wait(self, deadline: float | None = None) -> int | None:
        """Return ssh's status once it has ended, None when ``deadline`` (of time.monotonic()) passes before."""
        status = await_end(self._running, deadline)
        if status is not None:
            self.errors.finish()
        return status

    def read_errors(self) -> str:
        """Return what ssh and the command have said on standard error, the last MiB."""
        return self.errors.value().decode(errors="replace")

    def close(self) -> None:
        """End ssh and close its input; safe to call twice, never raises."""
        self._done.set()
        end(self._running)
        self._thread.join(5.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
