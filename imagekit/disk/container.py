"""A disk image file opened by what it is, not by its name: raw, or a container that holds a disk."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

from imagekit.disk.raw import Window, open_raw


class Disk(Protocol):
    """A disk's bytes, for reading only. Use as a context manager: everything is closed at the end of the block."""

    path: Path

    @property
    def size(self) -> int:
        """Return the disk's size in bytes: the virtual one, for a container."""

    @property
    def format(self) -> str:
        """Return what the file is: ``raw``, ``qcow2``, ``vmdk``, ``vhdx``, ``zstd``, ``xz``, ``gzip``, ``bzip2``."""

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """Close the file."""

    def close(self) -> None:
        """Close the file; a second call does nothing."""

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; raises :class:`ImageDamaged` when they are not inside."""

    def window(self, offset: int, length: int) -> Window:
        """Return the part of ``length`` bytes at ``offset``; raises :class:`ImageDamaged` when it is not inside."""

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of what may hold anything but zeros, rising; the rest reads as zeros."""


def open_disk(path: Path) -> Disk:
    """Open the disk image in the file ``path``, whatever it is kept in.

    Raises :class:`imagekit.disk.raw.NotADisk` when it is missing, empty, or of a kind that is not read.
    """
    return open_raw(path)
