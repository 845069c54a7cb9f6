"""What reading one input may cost: processor time, and memory beyond what the process had before."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc_pid_clear_refs(5)


class TooExpensive(AssertionError):
    """An input took more time or memory than any input may."""


@contextmanager
def limited_seconds(seconds: float) -> Iterator[None]:
    """Raise :class:`TooExpensive` when the block takes more processor time; a busy machine does not count."""
    begun = time.process_time()
    yield
    if (taken := time.process_time() - begun) > seconds:
        raise TooExpensive(f"{taken:.1f} s of {seconds} s were taken")


@contextmanager
def limited_memory(mebibytes: int) -> Iterator[None]:
    """Raise :class:`TooExpensive` when the block's largest resident size is that much above the one before it."""
    _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
    before = _read_kibibytes("VmRSS")
    yield
    if (taken := (_read_kibibytes("VmHWM") - before) >> 10) > mebibytes:
        raise TooExpensive(f"{taken} MiB of {mebibytes} MiB were taken")


def read_resident_mebibytes() -> int:
    """Return how much memory of this process is resident."""
    return _read_kibibytes("VmRSS") >> 10


def _read_kibibytes(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1])
