"""Progress as a person sees it: a bar that is redrawn on a terminal, plain lines anywhere else."""

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never

import click

from imagekit.cli.output import escape_control
from imagekit.image import format_bytes
from imagekit.progress import Event, Progress

if TYPE_CHECKING:
    from tqdm import tqdm

_REDRAW_SECONDS = 0.1
_TICK_SECONDS = 1.0
_REPEAT_SECONDS = 10.0


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Yield the callback that draws on standard error; the last line is closed when the block ends."""
    bar = _Bar() if sys.stderr.isatty() else _Lines()
    try:
        yield bar.draw
    finally:
        bar.close()


class _Lines:
    """For logs and pipes: a line when a stage begins, another at most every ten seconds while something moves."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._last = Event("")
        self._said = 0.0

    def draw(self, event: Event) -> None:
        if event.note:
            click.echo(f"          {escape_control(event.note)}", err=True)
            return
        now = time.monotonic()
        begins = event.stage != self._last.stage
        if not begins and (event == self._last or now - self._said < _REPEAT_SECONDS):
            return
        self._last, self._said = event, now
        about = _describe(event, begins=begins)
        line = f"{now - self._began:7.1f}s  {escape_control(event.stage)}"
        click.echo(f"{line} ({about})" if about else line, err=True)

    def close(self) -> None:
        """Nothing is left open."""


def _describe(event: Event, *, begins: bool) -> str:
    """Return how far a stage is and with what; when a counted stage begins there is nothing to tell yet."""
    if begins and event.total > 0 and event.done == 0:
        return ""
    count = _format_count(event)
    return ", ".join(part for part in (count, escape_control(event.detail)) if part)


def _format_count(event: Event) -> str:
    if event.total <= 0:
        return f"{event.done} {event.unit}" if event.done else ""
    if event.unit == "B":
        return f"{format_bytes(event.done)} of {format_bytes(event.total)}"
    return f"{event.done} of {event.total} {event.unit}".rstrip()


class _Bar:
    """For a terminal: one tqdm bar per stage, with the last state of a finished stage left on its line.

    A clock of our own redraws it each second, since a step may run for a minute without a sign of life.
    """

    def __init__(self) -> None:
        self._stage = ""
        self._bar: tqdm[Never] | None = None
        self._drawn = 0.0
        self._lock = threading.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._tick, daemon=True).start()

    def draw(self, event: Event) -> None:
        with self._lock:
            if event.note:
                self._end_line()
                self._stage = ""  # what comes next begins a line of its own
                click.echo(escape_control(event.note), err=True)
                return
            if event.stage != self._stage:
                self._end_line()
                self._stage, self._drawn = event.stage, 0.0
                self._bar = _open_bar(event)
            if self._bar is None:
                return
            now = time.monotonic()
            if event.done < self._bar.n or now - self._drawn >= _REDRAW_SECONDS or event.done == event.total:
                self._drawn = now
                self._bar.set_postfix_str(escape_control(event.detail), refresh=False)
                self._bar.n = event.done
                self._bar.refresh()

    def close(self) -> None:
        """Stop the clock and end the current bar's line."""
        self._ended.set()
        with self._lock:
            self._end_line()

    def _tick(self) -> None:
        while not self._ended.wait(_TICK_SECONDS):
            with self._lock:
                if self._bar is not None:
                    self._bar.refresh()

    def _end_line(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _open_bar(event: Event) -> "tqdm[Never]":
    from tqdm import tqdm

    # A terminal may not know its width (0: a serial line, a container); tqdm would then draw nothing at all.
    known = os.get_terminal_size(sys.stderr.fileno()).columns > 0
    return tqdm(
        total=event.total or None,
        desc=escape_control(event.stage),
        unit=event.unit or "s",
        unit_scale=event.unit == "B",
        unit_divisor=1024,
        leave=True,
        dynamic_ncols=known,
        ncols=None if known else 80,
        nrows=None if known else 24,  # of a height of 0 tqdm would hide every bar
        file=sys.stderr,
        bar_format=None if event.total > 0 else "{desc} [{elapsed}]{postfix}",
    )
