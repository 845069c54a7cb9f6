"""Nix's log as it is written, for ``--log-format internal-json -v``: a bar, and what a failure will be explained by.

Each line of standard error is ``@nix `` and a JSON object: activities start, have results and stop; messages stand
alone (nix, src/libutil/logging.hh; the numbers below are its ActivityType and ResultType, the same since 2.4). Builder
logs are other people's text: lines are cut, control characters dropped, and what is kept has a limit everywhere.
"""

import json
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from imagekit.image import format_bytes
from imagekit.machine.serial import clean_text
from imagekit.progress import Event, Progress

_ERROR, _WARNING = 0, 1  # Verbosity: lvlError, lvlWarn

_LONGEST_JSON = 1 << 20
_LONGEST_LINE = 500
_LONGEST_ERROR = 32_000
_LOG_LINES = 200
_SHOWN_LINES = 25
_LOGS_KEPT = 128
_ACTIVITIES_KEPT = 4096
_ERRORS_KEPT = 64
_NOTES_KEPT = 20
_LARGEST = 1 << 60
_PAUSE_SECONDS = 0.1

_DERIVATION = re.compile(r"/[^\s'\"]{1,4096}\.drv")
_HASH = re.compile(r"^[0-9a-df-np-sv-z]{32}-")
# What Nix says at the level of errors and that is none.
_NO_ERROR = re.compile(r"note: |\(use '--show-trace'|Try 'nix --help'|waiting for ")
# Warnings that tell an operator of an image nothing.
_NO_NOTE = re.compile(
    r"Git tree '.*' is dirty|unknown (?:setting|experimental feature)|"
    r"'.*' is a deprecated alias|ignoring (?:the )?(?:untrusted|client-specified)|not writing modified lock file"
)
# A message whose beginning was lost because it was longer than a line may be (imagekit.host.local.Tail).
_TORN = re.compile(r'"(?:raw_msg|msg|fields|id|type)":.*\}$')

EVALUATING, DOWNLOADING, BUILDING = "evaluating the flake", "fetching what Nix has ready", "building"


class _Kind(IntEnum):
    """Activities that mean something here (ActivityType)."""

    COPY_PATH = 100
    FILE_TRANSFER = 101
    COPY_PATHS = 103
    BUILDS = 104
    BUILD = 105
    SUBSTITUTE = 108
    BUILD_WAITING = 111


class _Result(IntEnum):
    """What is told of an activity (ResultType)."""

    LOG_LINE = 101
    SET_PHASE = 104
    PROGRESS = 105
    SET_EXPECTED = 106
    POST_BUILD_LINE = 107


@dataclass(slots=True)
class _Activity:
    kind: int
    name: str
    started: float
    phase: str = ""
    done: int = 0
    expected: int = 0
    log: deque[str] = field(default_factory=lambda: deque(maxlen=_LOG_LINES))
    path: str = ""


def name_derivation(path: str) -> str:
    """Return what a person calls a store path: ``openssl-3.5.1`` of ``/nix/store/<hash>-openssl-3.5.1.drv``."""
    return _HASH.sub("", path.rsplit("/", 1)[-1]).removesuffix(".drv")


class NixLog:
    """Hears Nix's log line by line, tells the progress, and keeps what an explanation needs.

    ``errors`` has every error as Nix words it, ``warnings`` the warnings a person was shown, ``said`` the last lines
    that were no JSON (of ssh, of git). All of it is free of control characters and bounded.
    """

    def __init__(self, progress: Progress, clock: Callable[[], float] = time.monotonic) -> None:
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.said: deque[str] = deque(maxlen=_SHOWN_LINES)
        self._progress = progress
        self._clock = clock
        self._running: OrderedDict[int, _Activity] = OrderedDict()
        self._building: dict[int, _Activity] = {}
        self._logs: OrderedDict[str, deque[str]] = OrderedDict()
        self._last_log: deque[str] = deque()
        self._expected: dict[tuple[int, int], int] = {}
        self._finished = dict.fromkeys((int(_Kind.COPY_PATH), int(_Kind.FILE_TRANSFER)), 0)
        self._builds = (0, 0)
        self._copies = (0, 0)
        self._evaluated = 0
        self._stage = ""
        self._told: tuple[float, object] = (0.0, None)

    def hear(self, line: str) -> None:
        """Take in one line of Nix's standard error; never raises, whatever the line is."""
        if not line.startswith("@nix "):
            self._hear_plain(line)
            return
        if len(line) > _LONGEST_JSON:
            return
        try:
            message = json.loads(line[5:])
        except (ValueError, RecursionError):
            return
        if isinstance(message, dict):
            self._take(message)

    def finish(self, errors: str) -> None:
        """Take in what was lost of the end: ``errors`` is what was kept of standard error when Nix had ended.

        A message longer than a line's limit reaches :meth:`hear` without its beginning, and a long one is what an
        evaluation that failed ends with.
        """
        for line in errors.splitlines():
            if line.startswith("@nix ") and '"action":"msg"' in line[:100] and len(line) <= _LONGEST_JSON:
                self.hear(line)

    def list_log_tail(self) -> tuple[str, ...]:
        """Return the end of the log of the derivation that failed, of the last one that spoke if none is named."""
        for error in self.errors:
            for path in _DERIVATION.findall(error):
                if log := self._logs.get(path):
                    return tuple(log)[-_SHOWN_LINES:]
        return tuple(self._last_log)[-_SHOWN_LINES:] if not self.errors else ()

    def _take(self, message: dict[str, Any]) -> None:
        number = message.get("id")
        match message.get("action"):
            case "msg":
                self._hear_message(message)
            case "start" if isinstance(number, int):
                self._start(number, message)
            case "result" if isinstance(number, int):
                self._hear_result(number, message.get("type"), message.get("fields"))
            case "stop" if isinstance(number, int):
                self._stop(number)
            case _:
                pass

    def _start(self, number: int, message: dict[str, Any]) -> None:
        kind, fields, text = message.get("type"), message.get("fields"), message.get("text")
        if not isinstance(kind, int):
            return
        path = fields[0] if isinstance(fields, list) and fields and isinstance(fields[0], str) else ""
        name = name_derivation(path) if path else text if isinstance(text, str) else ""
        activity = _Activity(kind, _clean_line(name)[:80], self._clock(), path=_clean_line(path))
        self._running[number] = activity
        while len(self._running) > _ACTIVITIES_KEPT:
            self._building.pop(self._running.popitem(last=False)[0], None)
        if kind == _Kind.BUILD:
            self._logs[activity.path] = activity.log
            self._building[number] = activity
            while len(self._logs) > _LOGS_KEPT:
                self._logs.popitem(last=False)
            self._tell()
        elif kind in (_Kind.SUBSTITUTE, _Kind.BUILD_WAITING):
            self._tell()

    def _stop(self, number: int) -> None:
        activity = self._running.pop(number, None)
        self._building.pop(number, None)
        for key in [key for key in self._expected if key[0] == number]:
            del self._expected[key]
        if activity is not None and activity.kind in self._finished:
            self._finished[activity.kind] += activity.done

    def _hear_result(self, number: int, kind: object, fields: object) -> None:
        activity = self._running.get(number)
        if activity is None or not isinstance(fields, list) or not fields:
            return
        match kind, fields:
            case (_Result.LOG_LINE | _Result.POST_BUILD_LINE, [str(text), *_]):
                lines = [line for line in clean_text(text[:_LONGEST_ERROR]).splitlines() if line.strip()]
                activity.log.extend(line[:_LONGEST_LINE].rstrip() for line in lines[-_LOG_LINES:])
                self._last_log = activity.log
            case (_Result.SET_PHASE, [str(phase), *_]):
                activity.phase = _clean_line(phase)[:40]
                self._tell()
            case (_Result.PROGRESS, [int(done), int(expected), *_]) if max(done, expected) < _LARGEST:
                self._hear_progress(activity, max(done, 0), max(expected, 0))
            case (_Result.SET_EXPECTED, [int(which), int(expected), *_]) if 0 <= expected < _LARGEST:
                if len(self._expected) < _ACTIVITIES_KEPT:
                    self._expected[number, which] = expected
            case _:
                pass

    def _hear_progress(self, activity: _Activity, done: int, expected: int) -> None:
        activity.done, activity.expected = done, expected
        if activity.kind == _Kind.BUILDS:
            self._builds = (done, expected)
        elif activity.kind == _Kind.COPY_PATHS:
            self._copies = (done, expected)
        self._tell()

    def _hear_message(self, message: dict[str, Any]) -> None:
        level, text = message.get("level"), message.get("msg")
        if not isinstance(level, int) or not isinstance(text, str):
            return
        if level > _WARNING:
            if text.startswith("evaluating file"):
                self._evaluated += 1
                self._tell()
            return
        text = clean_text(text[:_LONGEST_ERROR]).strip()
        plain = text.removeprefix("warning: ")
        if level == _ERROR or not text.startswith("warning: "):
            if not _NO_ERROR.match(text):
                _keep(self.errors, text, _ERRORS_KEPT)
        elif not _NO_NOTE.match(plain) and _keep(self.warnings, plain, _NOTES_KEPT):
            note = " ".join(plain.split())[:_LONGEST_LINE]
            self._progress(Event(self._stage or EVALUATING, note=f"Nix warns: {note}"))

    def _hear_plain(self, line: str) -> None:
        text = clean_text(line[-_LONGEST_ERROR:]).strip()[:_LONGEST_LINE]
        if text and not _TORN.search(line[-200:]):
            self.said.append(text)

    def _count(self, kind: int) -> int:
        return sum(each.kind == kind for each in self._running.values())

    def _tell(self) -> None:
        """Tell where Nix is: at most ten times a second, but each change of what is built at once."""
        now, what = self._clock(), (self._builds, next(iter(self._building), None))
        if what == self._told[1] and now - self._told[0] < _PAUSE_SECONDS:
            return
        self._told = (now, what)
        done, total = self._measure_downloads()
        if self._building or self._stage == BUILDING:
            event = Event(BUILDING, *self._builds, "derivations", self._describe_builds(done, total))
        elif total or self._copies[1]:
            unit, counted = ("B", (done, total)) if total else ("paths", self._copies)
            event = Event(DOWNLOADING, *counted, unit, self._describe_download())
        else:
            event = Event(EVALUATING, self._evaluated, unit="files")
        self._stage = event.stage
        self._progress(event)

    def _describe_builds(self, done: int, total: int) -> str:
        """Return the derivation that has been building longest, its phase and seconds, and how many others do."""
        if not self._building:
            waiting = self._count(_Kind.BUILD_WAITING)
            return (
                f"fetched {format_bytes(done)} of {format_bytes(total)}" if done < total else "waiting" * bool(waiting)
            )
        first = next(iter(self._building.values()))
        parts = [first.name, first.phase, f"{self._clock() - first.started:.0f} s"]
        others = f" and {len(self._building) - 1} more" if len(self._building) > 1 else ""
        return ", ".join(part for part in parts if part) + others

    def _describe_download(self) -> str:
        return next((each.name for each in self._running.values() if each.kind == _Kind.SUBSTITUTE), "")

    def _measure_downloads(self) -> tuple[int, int]:
        """Return bytes here and bytes expected: of store paths, or of files where nothing else is copied."""
        found = (0, 0)
        for kind in (_Kind.COPY_PATH, _Kind.FILE_TRANSFER):
            live = [each for each in self._running.values() if each.kind == kind]
            done = self._finished[kind] + sum(each.done for each in live)
            told = sum(value for (_, which), value in self._expected.items() if which == kind)
            expected = max(told, self._finished[kind] + sum(max(each.expected, each.done) for each in live))
            if expected > found[1]:
                found = (min(done, expected), expected)
        return found


def _clean_line(text: str) -> str:
    return " ".join(clean_text(text[: 2 * _LONGEST_ERROR]).split())


def _keep(kept: list[str], text: str, limit: int) -> bool:
    """Add ``text`` once, up to ``limit`` of them; say whether it was added."""
    if not text or text in kept or len(kept) >= limit:
        return False
    kept.append(text)
    return True
