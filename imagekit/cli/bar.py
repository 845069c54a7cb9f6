"""Progress as a person sees it: a bar that is redrawn on a terminal, one plain line for each stage anywhere else."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never

import click

from imagekit.cli.output import escape_control
from imagekit.progress import Event, Progress

if TYPE_CHECKING:
    from tqdm import tqdm

_REDRAW_SECONDS = 0.1
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
    """For logs and pipes: a line when a stage begins, another at most every ten seconds while its detail changes."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stage = ""
        self._detail = ""
        self._said = 0.0

    def draw(self, event: Event) -> None:
        now = time.monotonic()
        news = event.detail != self._detail and now - self._said >= _REPEAT_SECONDS
        if event.stage == self._stage and not news:
            return
        self._stage, self._detail, self._said = event.stage, event.detail, now
        detail = f" ({escape_control(event.detail)})" if event.detail else ""
        click.echo(f"{now - self._began:7.1f}s  {escape_control(event.stage)}{detail}", err=True)

    def close(self) -> None:
        """Nothing is left open."""


class _Bar:
    """For a terminal: one tqdm bar per stage, with the last state of a finished stage left on its line."""

    def __init__(self) -> None:
        self._stage = ""
        self._bar: tqdm[Never] | None = None
        self._drawn = 0.0

    def draw(self, event: Event) -> None:
        if event.stage != self._stage:
            self.close()
            self._stage = event.stage
            self._bar = self._open(event)
        if self._bar is None:
            return
        now = time.monotonic()
        if event.done < self._bar.n or now - self._drawn >= _REDRAW_SECONDS or event.done == event.total:
            self._drawn = now
            self._bar.set_postfix_str(escape_control(event.detail), refresh=False)
            self._bar.n = event.done
            self._bar.refresh()

    def close(self) -> None:
        """End the current bar's line."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _open(self, event: Event) -> "tqdm[Never]":
        from tqdm import tqdm

        counted = event.total > 0
        return tqdm(
            total=event.total or None,
            desc=escape_control(event.stage),
            unit=event.unit or "s",
            unit_scale=event.unit == "B",
            unit_divisor=1024,
            leave=True,
            file=sys.stderr,
            bar_format=None if counted else "{desc} [{elapsed}]{postfix}",
        )
