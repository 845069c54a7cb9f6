"""Where a run's time went: a step begins with its first event and ends when another one speaks."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from imagekit.cli.output import escape_control
from imagekit.progress import Event, Progress

_BEFORE = "getting ready"


@dataclass(frozen=True, slots=True)
class Step:
    """One step's name and how long it took; a step that came back is counted once, with all of its times."""

    name: str
    seconds: float


class Timings:
    """Listens to progress and adds up the time of each step; ``clock`` returns seconds that only grow.

    What happens before the first event is a step of its own, so that the steps add up to the whole run.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()  # a step may report from several threads
        self._step = _BEFORE
        self._began = clock()
        self._ended = False
        self._seconds: dict[str, float] = {}

    def wrap(self, progress: Progress) -> Progress:
        """Return a callback that minds each event's step and hands the event on to ``progress``.

        A sentence for the operator (``note``) is no sign of another step.
        """

        def listen(event: Event) -> None:
            with self._lock:
                if event.stage != self._step and not (event.note or self._ended):
                    self._count()
                    self._step = event.stage
            progress(event)

        return listen

    def end(self) -> tuple[Step, ...]:
        """End the last step and return all of them as they began; what comes later is no longer counted."""
        with self._lock:
            if not self._ended:
                self._count()
                self._ended = True
            return tuple(Step(name, seconds) for name, seconds in self._seconds.items())

    def _count(self) -> None:
        """Add the time since the present step began to what it took before."""
        now = self._clock()
        self._seconds[self._step] = self._seconds.get(self._step, 0.0) + now - self._began
        self._began = now


def describe_timings(steps: Sequence[Step]) -> list[dict[str, object]]:
    """Return the steps as JSON-ready values, in milliseconds' precision."""
    return [{"step": step.name, "seconds": round(step.seconds, 3)} for step in steps]


def render_timings(steps: Sequence[Step]) -> str:
    """Return a table of the steps, the seconds of each and its share of the whole, which is the last line."""
    total = sum(step.seconds for step in steps)
    rows = [(escape_control(step.name), step.seconds) for step in (*steps, Step("total", total))]
    width = max(len(name) for name, _ in rows)
    lines = [f"{'STEP':<{width}}  SECONDS  SHARE"]
    lines += [f"{name:<{width}}  {seconds:7.1f}  {seconds / (total or 1):5.0%}" for name, seconds in rows]
    return "\n".join(lines)
