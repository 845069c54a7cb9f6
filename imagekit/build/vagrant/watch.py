"""What a running Vagrant says, as it says it: steps for the progress, and all that its end will be judged by."""

import threading
import time
from collections import deque

from imagekit.build.vagrant.machine_readable import Fault, Line, LineReader, find_fault
from imagekit.build.vagrant.steps import BOX, name_step, read_download, strip_prefix
from imagekit.machine.serial import clean_text
from imagekit.progress import Event, Progress

_LINES_KEPT = 400
_SHOWN_LINES = 25
_LONGEST_LINE = 500
_LONGEST_DETAIL = 120
_TICK_SECONDS = 1.0


class Incoming:
    """The bytes of a stream that another thread writes and this one takes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._data = bytearray()

    def write(self, data: bytes) -> int:
        with self._lock:
            self._data += data
        return len(data)

    def take(self) -> bytes:
        """Return what came since the last time."""
        with self._lock:
            data = bytes(self._data)
            self._data.clear()
        return data


class Watch:
    """Takes Vagrant's output and tells the progress. All that is kept is safe to show.

    ``step`` is what is going on, ``fault`` the error that Vagrant told, ``lines`` the last 400 of what it said.
    """

    def __init__(self, step: str, progress: Progress) -> None:
        self.step = step
        self.fault: Fault | None = None
        self.lines: deque[str] = deque(maxlen=_LINES_KEPT)
        self.output = Incoming()
        self.errors = Incoming()
        self._reader = LineReader()
        self._plain = b""
        self._progress = progress
        self._detail = ""
        self._began = self._ticked = time.monotonic()
        progress(Event(step, unit="s"))

    def pump(self) -> None:
        """Take in what was said since the last time, and say once a second that the step goes on."""
        for line in self._reader.feed(self.output.take()):
            self._take(line)
        *plain, rest = (self._plain + self.errors.take()).split(b"\n")
        self._plain = rest[-_LONGEST_LINE:]
        for text in plain:
            self._hear(text.decode(errors="replace"))
        now = time.monotonic()
        if now - self._ticked >= _TICK_SECONDS:
            self._ticked = now
            self._tell()

    def close(self) -> None:
        """Take in the rest."""
        self.pump()
        for line in self._reader.close():
            self._take(line)
        self._hear(self._plain.decode(errors="replace"))

    def list_last_lines(self) -> tuple[str, ...]:
        """Return the end of what was said, 25 lines."""
        return tuple(self.lines)[-_SHOWN_LINES:]

    def _take(self, line: Line) -> None:
        if line.kind == "ui" and len(line.data) >= 2:
            for text in line.data[1].splitlines():
                self._hear(text)
        elif line.kind == "error-exit":
            self.fault = find_fault([line])
        elif not line.kind:
            self._hear(line.data[0])

    def _hear(self, text: str) -> None:
        said = clean_text(strip_prefix(text)).strip()[:_LONGEST_LINE]
        if not said:
            return
        if (download := read_download(said)) is not None:
            self._enter(BOX)
            self._progress(Event(BOX, download[0], 100, unit="%", detail=download[1]))
            return
        self.lines.append(said)
        self._detail = said[:_LONGEST_DETAIL]
        if step := name_step(said):
            self._enter(step)

    def _enter(self, step: str) -> None:
        if step != self.step:
            self.step, self._began = step, time.monotonic()
            self._detail = ""
            self._tell()

    def _tell(self) -> None:
        self._progress(Event(self.step, int(time.monotonic() - self._began), unit="s", detail=self._detail))
