"""A raw disk in a file, opened for reading only: every read is checked against the disk's size."""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn, Self

from imagekit.disk.window import Window, check_range
from imagekit.errors import ImageDamaged, VerificationFailed


class NotADisk(VerificationFailed):
    """The file cannot be read as a raw disk: missing, no regular file, empty, or a container of another format."""


class RawDisk:
    """A raw disk file. Use as a context manager: the file is closed at the end of the block. Never written to.

    ``format`` names what it was kept in when it is a copy that was unpacked from ``path``.
    """

    def __init__(self, path: Path, descriptor: int, size: int, *, format: str = "raw") -> None:  # noqa: A002 - the name that Disk has
        self.path = path
        self.size = size
        self.format = format
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; raises :class:`ImageDamaged` when they are not inside."""
        check_range(offset, length, self.size, self.path.name)
        data = self._pread(offset, length)
        if len(data) == length:
            return data
        # pread(2) may give less than was asked for; nothing at all means that the file shrank under us.
        pieces = bytearray(data)
        while data and len(pieces) < length:
            data = self._pread(offset + len(pieces), length - len(pieces))
            pieces += data
        if len(pieces) < length:
            raise ImageDamaged(f"{self.path.name} became shorter while it was read")
        return bytes(pieces)

    def read_into(self, offset: int, target: memoryview) -> None:
        """Fill ``target`` with what is at ``offset``, without a copy; raises as :meth:`read`."""
        check_range(offset, len(target), self.size, self.path.name)
        while target:
            try:
                count = os.preadv(self._descriptor, [target], offset)
            except OSError as problem:
                _refuse(self.path, f"cannot be read at byte {offset}: {problem.strerror}", cause=problem)
            if count == 0:
                raise ImageDamaged(f"{self.path.name} became shorter while it was read")
            target, offset = target[count:], offset + count

    def window(self, offset: int, length: int) -> Window:
        """Return the part of ``length`` bytes at ``offset``; raises :class:`ImageDamaged` when it is not inside."""
        return Window(self, offset, length)

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of what is no hole, rising; everything when that cannot be told (lseek(2))."""
        position = 0
        while position < self.size:
            try:
                begin = os.lseek(self._descriptor, position, os.SEEK_DATA)
                end = os.lseek(self._descriptor, begin, os.SEEK_HOLE)
            except OSError as problem:
                if problem.errno == errno.ENXIO:  # only a hole is left
                    return
                if problem.errno not in (errno.EINVAL, errno.ENOTSUP):
                    _refuse(self.path, f"cannot be read: {problem.strerror}", cause=problem)
                begin, end = position, self.size
            end = min(end, self.size)
            if begin >= end:
                return
            yield begin, end - begin
            position = end

    def _pread(self, offset: int, length: int) -> bytes:
        try:
            return os.pread(self._descriptor, length, offset)
        except OSError as problem:
            _refuse(self.path, f"cannot be read at byte {offset}: {problem.strerror}", cause=problem)


def open_file(path: Path) -> RawDisk:
    """Open the regular file ``path`` without asking what it holds.

    Raises :class:`NotADisk` when it is missing, no regular file, or empty.
    """
    try:
        # O_NONBLOCK: a FIFO in place of the file must not hold us until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as problem:
        _refuse(path, f"cannot be opened: {problem.strerror}", cause=problem)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, descriptor)
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a device, FIFO or socket"
            _refuse(path, f"is {kind}, not a disk image", hint="name a file that holds a disk")
        if status.st_size == 0:
            _refuse(path, "is empty")
        undo.pop_all()
    return RawDisk(path, descriptor, status.st_size)


def open_raw(path: Path) -> RawDisk:
    """Open the raw disk in the file ``path``: for what imagekit made itself, whose bytes are the disk's.

    Raises :class:`NotADisk` when it is missing, no regular file, empty, or holds a container such as qcow2 or zstd;
    :func:`imagekit.disk.containers.open.open_disk` opens those.
    """
    from imagekit.disk.containers.magic import identify, suggest_conversion

    with contextlib.ExitStack() as undo:
        disk = undo.enter_context(open_file(path))
        if container := identify(disk):
            hint = suggest_conversion(container, path.name)
            _refuse(path, f"is a {container.value} file, and a raw disk is needed here", hint=hint)
        undo.pop_all()
    return disk


def _refuse(path: Path, reason: str, *, hint: str | None = None, cause: OSError | None = None) -> NoReturn:
    raise NotADisk(f"{path} {reason}", hint=hint) from cause
