"""Whether the processes of a build do anything: the processor time they have used, from /proc/PID/stat (proc(5))."""

import os
import sys
import time
from pathlib import Path

from imagekit.build.packer.processes import find_processes

_EVERY_SECONDS = 5.0
_BUSY_SHARE = 0.05


class Activity:
    """Looks every five seconds at what the processes of ``build_id`` have used since."""

    def __init__(self, build_id: str) -> None:
        self._build_id = build_id
        self._looked = time.monotonic()
        self._used = 0.0
        self._busy: bool | None = None

    def is_busy(self) -> bool | None:
        """Return whether they use more than a twentieth of a processor; None where that cannot be known, or not yet."""
        now = time.monotonic()
        if sys.platform == "linux" and now - self._looked >= _EVERY_SECONDS:
            used = sum(map(_read_seconds, find_processes(self._build_id)))
            self._busy = (used - self._used) / (now - self._looked) > _BUSY_SHARE
            self._looked, self._used = now, used
        return self._busy


def _read_seconds(pid: int) -> float:
    """Return the user and system time of a process in seconds; 0 for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return 0.0
