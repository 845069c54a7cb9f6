"""Disks in VMDK and VHDX files, read by the libyal libraries in a child process with limits.

What such a file can name, its parent or other files of this machine, is looked for and refused here first; the child
has one file and knows no path.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from imagekit.disk.child.library import Library, LibraryFailed
from imagekit.disk.containers.raw import RawDisk, open_file
from imagekit.disk.containers.vhdx import check_vhdx
from imagekit.disk.containers.vmdk import check_vmdk
from imagekit.disk.window import Window, check_range

_PIECE = 1 << 20
# Streams are inflated: a processor's second is good for some 32 MiB at the least.
_CPU_SECONDS, _BYTES_A_SECOND = 120, 32 << 20


def open_vmdk(path: Path) -> "LibraryDisk":
    """Open the VMDK disk (monolithicSparse or streamOptimized) that is wholly in the file ``path``.

    Raises :class:`imagekit.disk.containers.raw.NotADisk` when there is no such file, and as
    :func:`imagekit.disk.containers.vmdk.check_vmdk` and :class:`imagekit.disk.child.library.Library` do.
    """
    with contextlib.ExitStack() as undo:
        file = undo.enter_context(open_file(path))
        disk = LibraryDisk(file, "pyvmdk", "vmdk", check_vmdk(file, path.name))
        undo.callback(disk.close)
        disk.check_size()
        undo.pop_all()
    return disk


def open_vhdx(path: Path) -> "LibraryDisk":
    """Open the VHDX disk (fixed or dynamic) in the file ``path``; raises as :func:`open_vmdk` does."""
    with contextlib.ExitStack() as undo:
        file = undo.enter_context(open_file(path))
        disk = LibraryDisk(file, "pyvhdi", "vhdx", check_vhdx(file, path.name))
        undo.callback(disk.close)
        disk.check_size()
        undo.pop_all()
    return disk


class LibraryDisk:
    """A :class:`imagekit.disk.containers.open.Disk` that a library reads; small reads come from the last large ones."""

    def __init__(self, file: RawDisk, module: str, kind: str, size: int) -> None:
        self.path = file.path
        self.size = size
        self.format = kind
        self._file = file
        seconds = _CPU_SECONDS + size // _BYTES_A_SECOND
        self._library = Library(module, file, f"{file.path.name}, a {kind.upper()} disk,", cpu_seconds=seconds)
        self._pieces: dict[int, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and end the child process; a second call does nothing."""
        self._library.close()
        self._file.close()

    def check_size(self) -> None:
        """Raise :class:`LibraryFailed` unless the library sees a disk of the same size."""
        size, _ = self._library.ask("size", most=0)
        if size != self.size:
            raise LibraryFailed(f"{self.path.name} has {self.size} bytes, and its reader sees another disk")

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; raises :class:`ImageDamaged` when they are not inside."""
        check_range(offset, length, self.size, self.path.name)
        first, last = offset // _PIECE, (offset + length - 1) // _PIECE
        if first == last:
            start = offset - first * _PIECE
            return self._piece(first)[start : start + length]
        data = b"".join(self._piece(number) for number in range(first, last + 1))
        start = offset - first * _PIECE
        return data[start : start + length]

    def window(self, offset: int, length: int) -> Window:
        """Return the part of ``length`` bytes at ``offset``; raises :class:`ImageDamaged` when it is not inside."""
        return Window(self, offset, length)

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield the whole disk: the libraries do not tell what was never written."""
        yield 0, self.size

    def _piece(self, number: int) -> bytes:
        piece = self._pieces.get(number)
        if piece is None:
            begin = number * _PIECE
            wanted = min(_PIECE, self.size - begin)
            _, piece = self._library.ask("read", most=wanted, offset=begin, length=wanted)
            if len(piece) != wanted:
                raise LibraryFailed(f"{self.path.name} cannot be read: {len(piece)} of {wanted} bytes came at {begin}")
            if len(self._pieces) >= 32:
                del self._pieces[next(iter(self._pieces))]
            self._pieces[number] = piece
        return piece
