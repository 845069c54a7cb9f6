"""Bytes with a known size, and a part of them: every read is checked against the size before anything is read."""

from typing import Protocol

from imagekit.errors import ImageDamaged

MAX_READ = 256 << 20


class Readable(Protocol):
    """A run of bytes with a known size: a disk, or a part of one."""

    @property
    def size(self) -> int:
        """Return the number of bytes."""

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; raises :class:`ImageDamaged` when they are not inside."""


def check_range(offset: int, length: int, size: int, what: str) -> None:
    """Raise :class:`ImageDamaged` unless the range lies within ``size`` and is small enough to hold in memory."""
    if offset < 0 or length < 0 or offset + length > size:
        raise ImageDamaged(f"{length} bytes at {offset} are outside {what}, which has {size} bytes")
    if length > MAX_READ:
        raise ImageDamaged(f"{length} bytes at {offset} of {what} are more than any structure needs")


class Window:
    """A part of a disk, a partition for example; offsets are relative to it."""

    def __init__(self, disk: Readable, offset: int, length: int) -> None:
        if offset < 0 or length < 0 or offset + length > disk.size:
            raise ImageDamaged(f"a part of {length} bytes at {offset} is not inside the disk of {disk.size} bytes")
        self._disk = disk
        self.offset = offset
        self.size = length

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; raises :class:`ImageDamaged` when they are not inside."""
        check_range(offset, length, self.size, "this part of the disk")
        return self._disk.read(self.offset + offset, length)
