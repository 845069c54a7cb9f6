"""Ctrl-C while Packer runs: the first asks it to clean up, the second ends everything at once.

The command line's own handler unwinds on the first signal and ignores the rest, which is right everywhere else; here
it would leave nobody to hear the second.
"""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Counts the signals that ask for an end, and hands the first on afterwards."""

    def __init__(self) -> None:
        self.count = 0
        self._first: int | None = None

    def deliver(self) -> None:
        """Let the handler that was there before have the first signal; raises :class:`KeyboardInterrupt` if any came.

        To be called when the handlers are back, so that the command line can guard its own clean-up.
        """
        if self._first is not None:
            signal.raise_signal(self._first)
            raise KeyboardInterrupt

    def hear(self, number: int, _frame: FrameType | None) -> None:
        """Count one signal; the handler."""
        self.count += 1
        self._first = number if self._first is None else self._first


@contextlib.contextmanager
def hear_interrupts() -> Iterator[Interrupts]:
    """Count SIGINT, SIGTERM and SIGHUP through the block instead of being interrupted by them.

    A signal that is ignored (nohup) or has its default action stays as it is, and so does everything in a thread,
    where Python allows no handlers.
    """
    interrupts = Interrupts()
    before: dict[int, Callable[[int, FrameType | None], object]] = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                before[number] = handler
                signal.signal(number, interrupts.hear)
    try:
        yield interrupts
    finally:
        for heard, handler in before.items():
            signal.signal(heard, handler)
