"""Measure fairly: every contender in every round, one after the other, and medians compared as ratios.

Interleaving spreads what changes on the machine (caches, temperature, neighbours) over all contenders alike. The
processor time of a contender's own and child processes is taken too: on a busy machine it is steadier than the clock.
"""

import argparse
import contextlib
import os
import resource
import shlex
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from imagekit.errors import ImagekitError, ToolFailed, ToolMissing
from imagekit.host import find_tool, run

_BUSY_SHARE = 0.25


def do_nothing() -> None:
    """The preparation of a contender that needs none."""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to measure: ``prepare`` and ``tidy`` run before and after each ``work`` and are not counted."""

    name: str
    work: Callable[[], object]
    prepare: Callable[[], object] = do_nothing
    tidy: Callable[[], object] = do_nothing


@dataclass(frozen=True, slots=True)
class Timings:
    """Each round's wall-clock and processor time of one contender, in seconds, in the order of the rounds."""

    name: str
    seconds: tuple[float, ...]
    processor: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """The middle of the wall-clock times."""
        return statistics.median(self.seconds)


@dataclass(frozen=True, slots=True)
class Aim:
    """A number and the limit that it should not pass; without a limit it is only shown."""

    what: str
    value: float
    limit: float | None = None
    unit: str = "x"

    @property
    def passed(self) -> bool:
        """Say whether the number keeps its limit; one without a limit always does."""
        return self.limit is None or self.value <= self.limit

    def format_line(self) -> str:
        """Return the number, its limit and the verdict on one line."""
        if self.limit is None:
            return f"{self.what}: {self.value:.2f}{self.unit}"
        verdict = "pass" if self.passed else "FAIL"
        return f"{self.what}: {self.value:.2f}{self.unit}  (aim: at most {self.limit:g}{self.unit})  {verdict}"


def measure_interleaved(contenders: Sequence[Contender], rounds: int) -> dict[str, Timings]:
    """Run every contender ``rounds`` times, A B C A B C …, and return the times by name."""
    wall: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    processor: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(1, rounds + 1):
        for contender in contenders:
            contender.prepare()
            os.sync()  # what the one before has written shall not be this one's to wait for
            before, began = _processor_seconds(), time.monotonic()
            try:
                contender.work()
                wall[contender.name].append(time.monotonic() - began)
                processor[contender.name].append(_processor_seconds() - before)
            finally:
                contender.tidy()
            note(f"round {number} of {rounds}: {contender.name}: {format_seconds(wall[contender.name][-1])}")
    return {name: Timings(name, tuple(wall[name]), tuple(processor[name])) for name in wall}


def time_commands(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Timings]:
    """Run each command ``rounds`` times, A B C A B C …, as whole processes, and return their wall-clock times by name.

    One bash starts them and reads its own clock (``EPOCHREALTIME``, in microseconds), so that starting and waiting
    cost about a millisecond. ``{round}`` in an argument is replaced by the round's number. sync(1) goes
    before each, uncounted. Raises :class:`ToolFailed` when a command fails.
    """
    lines = ['said() { printf \'status %s of: %s\\n\' "$?" "$1" >&2; exit 1; }']
    for number in range(1, rounds + 1):
        for position, argv in enumerate(commands.values()):
            words = shlex.join(word.replace("{round}", str(number)) for word in argv)
            lines += [
                "sync",
                "began=$EPOCHREALTIME",
                f"{words} </dev/null >/dev/null || said {shlex.quote(words)}",
                f'echo "{position} $began $EPOCHREALTIME"',
            ]
    said = run(["bash"], stdin="\n".join([*lines, ""]).encode(), environment=dict(os.environ))
    times: list[list[float]] = [[] for _ in commands]
    for line in said.output.decode().splitlines():
        which, began, ended = line.split()
        times[int(which)].append(float(ended) - float(began))
    return {name: Timings(name, tuple(found)) for name, found in zip(commands, times, strict=True)}


def divide_medians(ours: Timings, theirs: Timings) -> float:
    """Return our median as a multiple of theirs."""
    return ours.median / theirs.median


def find_fastest(timings: Sequence[Timings]) -> Timings:
    """Return the one with the lowest median."""
    return min(timings, key=lambda one: one.median)


def format_table(timings: Sequence[Timings]) -> str:
    """Return the medians as a table, with the spread and the processor time."""
    width = max(len(one.name) for one in timings)
    lines = [f"{'':{width}}  {'median':>9}  {'fastest':>9}  {'slowest':>9}  {'cpu':>9}  rounds"]
    for one in timings:
        numbers = [one.median, min(one.seconds), max(one.seconds)]
        cells = [f"{format_seconds(number):>9}" for number in numbers]
        cells.append(f"{format_seconds(statistics.median(one.processor)) if one.processor else '':>9}")
        lines.append(f"{one.name:{width}}  {'  '.join(cells)}  {len(one.seconds):>6}")
    return "\n".join(lines)


def format_seconds(seconds: float) -> str:
    """Return a time with a unit that suits it."""
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def report(timings: Sequence[Timings], aims: Sequence[Aim]) -> int:
    """Print the table and the verdicts; return the exit status: 1 when an aim is missed."""
    table = [format_table(timings)] if timings else []
    sys.stdout.write("\n".join([*table, *(aim.format_line() for aim in aims), ""]))
    return 0 if all(aim.passed for aim in aims) else 1


def note(text: str) -> None:
    """Say on standard error how it goes."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def make_parser(document: str | None, rounds: int) -> argparse.ArgumentParser:
    """Return a command line with ``--rounds``; ``document`` is the script's own docstring."""
    parser = argparse.ArgumentParser(description=document, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=_read_rounds, default=rounds, help=f"how often each is run ({rounds})")
    return parser


def _read_rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds")
    return int(text)


@contextlib.contextmanager
def open_scratch(name: str) -> Iterator[Path]:
    """Yield a directory in ``$TMPDIR`` that is gone afterwards; others may pass through it, as builds need."""
    with tempfile.TemporaryDirectory(prefix=f"imagekit-benchmark-{name}-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o711)
        yield Path(directory)


def require_tools(*needed: tuple[str, str]) -> None:
    """Raise :class:`ToolMissing` naming all missing programs; each is given with the Debian package that brings it."""
    missing = [(name, package) for name, package in needed if not find_tool(name, required=False)]
    if missing:
        packages = " ".join(dict.fromkeys(package for _, package in missing))
        raise ToolMissing(
            f"a peer to compare with is not installed: {', '.join(name for name, _ in missing)}",
            hint=f"apt-get install -y --no-install-recommends {packages}",
        )


def keep_below(home: Path) -> dict[str, str]:
    """Return the environment in which imagekit keeps everything below ``home``, and uses the operator's mke2fs."""
    places = {name: os.fspath(home / name) for name in ("store", "cache", "state")}
    own = {f"IMAGEKIT_{name.upper()}": place for name, place in places.items()}
    given = {name: os.environ[name] for name in ("IMAGEKIT_MKE2FS", "IMAGEKIT_ACCELERATOR") if name in os.environ}
    return own | given | {"XDG_CONFIG_HOME": os.fspath(home / "config")}


def run_benchmark(work: Callable[[], int]) -> int:
    """Run a script's main function; an operator's error becomes its sentence and its exit code.

    SIGTERM unwinds as Ctrl-C does, so that machines, mounts, loop devices and scratch files go.
    """
    cpus = os.cpu_count() or 1
    if (load := os.getloadavg()[0]) > _BUSY_SHARE * cpus:
        note(f"note: this machine is busy (load {load:.1f} on {cpus} processors); expect noise")
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        return work()
    except ImagekitError as problem:
        detail = problem.detail if isinstance(problem, ToolFailed) else ""
        parts = [f"error: {problem.message}", *(f"  | {line}" for line in detail.splitlines())]
        note("\n".join([*parts, *([f"hint: {problem.hint}"] if problem.hint else [])]))
        return int(problem.exit_code)
    except KeyboardInterrupt:
        note("interrupted")
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # cleaning up shall not be interrupted by a repeat
    raise KeyboardInterrupt


def _processor_seconds() -> float:
    """Return user and system time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
