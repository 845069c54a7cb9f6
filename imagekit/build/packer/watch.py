"""What a running Packer says, as it says it: steps for the progress, and all that its end will be judged by."""

import re
import time
from collections import deque
from pathlib import Path

from imagekit.build.packer.activity import Activity
from imagekit.build.packer.log import GrowingFile
from imagekit.build.packer.machine_readable import (
    ArtifactCount,
    ArtifactFact,
    BuildFailed,
    LineReader,
    Message,
    Other,
    Said,
)
from imagekit.build.packer.mask import Masker, MaskStream
from imagekit.build.packer.steps import CLEANING, StepClock, name_step, strip_prefix
from imagekit.machine.serial import clean_text
from imagekit.progress import Event, Progress

_TICK_SECONDS = 1.0
_QUIET_SECONDS = 60.0
_TURNS = 2
_LINES_KEPT = 400
_ERROR_LINES_KEPT = 8
_SHOWN_LINES = 25
_FACTS_KEPT = 10_000
_ERRORS_KEPT = 64
_LONGEST_LINE = 500
_LONGEST_DETAIL = 120
_AGAIN = "Packer removes what it made; press Ctrl-C again to stop at once"
_PORT = re.compile(r"Found port for communicator \(SSH, WinRM, etc\): (\d{1,5})")
# What Packer adds to a failure and says elsewhere already.
_NOISE = re.compile(
    r"aborted: skipping cleanup of step|==> Wait completed after|==> Some builds didn't complete|"
    r"==> Builds finished but no artifacts|--> [\w.-]+: |Build '[^']+' errored after|\d+,,error-count,"
)
_ADDRESS = re.compile(r"Using SSH communicator to connect: ([\w.:-]{1,255})")


class Watch:
    """Reads the file that Packer writes its messages to. Everything that is kept is masked and safe to show.

    ``count`` is the number of artifacts, ``errors`` why builds failed, ``diagnostics`` what Packer said of a template
    it refused, ``said`` the last 400 lines, ``said_as_error`` the last 8 of them that came as errors, remote stderr
    included, ``address`` and ``port`` where SSH was tried.
    """

    def __init__(
        self, said: Path, build_id: str, masker: Masker, progress: Progress, serial_log: Path | None = None
    ) -> None:
        self.clock = StepClock()
        self.count = 0
        self.facts: list[ArtifactFact] = []
        self.errors: list[str] = []
        self.warnings: list[str] = []
        self.diagnostics: list[str] = []
        self.said: deque[str] = deque(maxlen=_LINES_KEPT)
        self.said_as_error: deque[str] = deque(maxlen=_ERROR_LINES_KEPT)
        self.address = ""
        self.port = 0
        self._file = GrowingFile(said)
        self._reader = LineReader()
        self._masker = masker
        self._stream = MaskStream(masker)
        self._progress = progress
        self._serial_log = serial_log
        self._serial_size = 0
        self._activity = Activity(build_id)
        self._interrupted = False
        self._detail = ""
        self._ticked = 0.0
        self._heard = time.monotonic()

    def pump(self) -> None:
        """Take in what was said since the last time, a few MiB at most: a flood must not hold up the caller."""
        for _turn in range(_TURNS):
            if not (data := self._file.read()):
                return
            self._heard = time.monotonic()
            for message in self._reader.feed(data):
                self._take(message)

    def close(self) -> None:
        """Take in the rest."""
        while data := self._file.read():
            for message in self._reader.feed(data):
                self._take(message)
        for message in self._reader.close():
            self._take(message)

    def tick(self) -> None:
        """Tell the progress once a second how long the step has been running, and that nothing has happened."""
        now = time.monotonic()
        if now - self._ticked >= _TICK_SECONDS:
            self._ticked = now
            quiet = self._describe_quiet(now)
            self._tell(quiet or self._detail)

    def list_last_lines(self) -> tuple[str, ...]:
        """Return the end of what was said, 25 lines, with the last errors in front if they are further up.

        A script's stdout and stderr come by two ways, so an error may stand far from where it happened.
        """
        last = list(self.said)[-_SHOWN_LINES:]
        return (*(line for line in self.said_as_error if line not in last), *last)

    def tell_interrupted(self) -> None:
        """Say that Packer is cleaning up and what a second Ctrl-C does."""
        self._interrupted = True
        self.clock.enter(CLEANING)
        self._tell(_AGAIN)

    def _tell(self, detail: str) -> None:
        shown = _AGAIN if self._interrupted else detail
        self._progress(Event(self.clock.name, int(self.clock.measure()), unit="s", detail=shown))

    def _take(self, message: Message) -> None:
        match message:
            case ArtifactCount(count=count):
                self.count += count
            case ArtifactFact():
                if len(self.facts) < _FACTS_KEPT:
                    self.facts.append(message)
            case BuildFailed(text=text):
                if len(self.errors) < _ERRORS_KEPT:
                    self.errors.append(self._clean(text))
            case Said(text=text, error=error):
                self._hear(self._clean_line(text), error=error)
            case Other(line=line):
                self.said.extend(part for part in _cut(self._clean_line(line)) if not _NOISE.match(part))

    def _hear(self, text: str, *, error: bool) -> None:
        if text.startswith("Warning: ") and len(self.warnings) < _ERRORS_KEPT:
            self.warnings.append(" ".join(text.removeprefix("Warning: ").split())[: 2 * _LONGEST_LINE])
        elif text.startswith("Error: ") and len(self.diagnostics) < _ERRORS_KEPT:
            self.diagnostics.append(text)
        for line in _cut(text):
            if _NOISE.match(line):
                continue
            self.said.append(line)
            if error:
                self.said_as_error.append(line)
            if match := _PORT.match(line):
                self.port, self.address = int(match[1]), "127.0.0.1"
            elif match := _ADDRESS.match(line):
                self.address = match[1]
            self._detail = line[:_LONGEST_DETAIL]
            if not self._interrupted and (name := name_step(line)) and self.clock.enter(name):
                self._detail = ""
                self._tell("")

    def _clean(self, text: str) -> str:
        return clean_text(self._masker.mask(text))

    def _clean_line(self, text: str) -> str:
        """Return the text of one message without secrets; a key that was printed comes in many messages."""
        return clean_text(self._stream.feed(self._masker.mask_values(text) + "\n"))

    def _describe_quiet(self, now: float) -> str:
        """Return for how long there was no output, and whether the machine works; empty while there is some."""
        busy = self._activity.is_busy()
        if self._serial_log is not None and (size := _read_size(self._serial_log)) != self._serial_size:
            self._serial_size, self._heard = size, now
        minutes = int((now - self._heard) / 60)
        if now - self._heard < _QUIET_SECONDS:
            return ""
        doing = {True: ", its processes are working", False: ", its processes are idle", None: ""}[busy]
        return f"nothing said for {minutes} min{doing}"


def _cut(text: str) -> list[str]:
    """Return the lines that say something, without the build's name in front, each cut to 500 characters."""
    lines = (strip_prefix(line).rstrip() for line in text.splitlines()[:_LINES_KEPT])
    return [line[:_LONGEST_LINE] for line in lines if line.strip()]


def _read_size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
