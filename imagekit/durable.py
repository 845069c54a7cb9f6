"""Writing that survives a power cut: a file exists whole under its name, or not at all.

POSIX promises nothing about data or names until ``fsync`` of the file *and* of the directory that holds its name
(fsync(2), "does not necessarily ensure that the entry in the directory … has also reached disk").
"""

import contextlib
import fcntl
import os
import sys
from pathlib import Path

from imagekit.errors import StoreError


def sync_descriptor(descriptor: int) -> None:
    """Flush one open file or directory to stable storage. macOS' fsync stops at the drive's cache (fcntl(2) there)."""
    if sys.platform == "darwin":
        with contextlib.suppress(OSError):  # not every file system has it; plain fsync is what is left
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def sync_path(path: Path) -> None:
    """Flush a file's data, or a directory's names, given its path."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def make_directory(path: Path) -> None:
    """Make ``path`` and its missing parents, and flush the name of each one made."""
    if path.is_dir():
        return
    make_directory(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
    sync_path(path.parent)
    if not path.is_dir():
        raise NotADirectoryError(20, "Not a directory", os.fspath(path))


def write_new_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file that must not exist yet and flush its data; the caller flushes the directory."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        _write_all(descriptor, data)
        os.fchmod(descriptor, mode)
        sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, data: bytes, *, mode: int = 0o644) -> None:
    """Give ``path`` new content in one step; a crash leaves the old content and perhaps a ``.new`` file beside it.

    The caller holds a lock, so the ``.new`` name has one writer and a leftover is simply removed first.
    """
    aside = path.with_name(path.name + ".new")
    aside.unlink(missing_ok=True)
    try:
        write_new_file(aside, data, mode=mode)
        os.replace(aside, path)  # noqa: PTH105 - the crash tests stop the process at this very call
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def append_lines(path: Path, lines: bytes) -> None:
    """Append whole lines and flush them. A torn last line, left by a crash, is cut off first: it never counted.

    When the disk is full the file gets its old length back, or goes again. The caller holds a lock.
    """
    new = not path.exists()
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        end = _find_end_of_last_line(descriptor)
        os.ftruncate(descriptor, end)
        try:
            os.lseek(descriptor, end, os.SEEK_SET)
            _write_all(descriptor, lines)
            sync_descriptor(descriptor)
        except BaseException:
            os.ftruncate(descriptor, end)
            if new:
                path.unlink()
            raise
    finally:
        os.close(descriptor)
    if new:
        sync_path(path.parent)


def read_whole(path: Path, limit: int) -> bytes:
    """Return a file's bytes; raises :class:`StoreError` when there are more than ``limit`` of them."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise StoreError(
            f"{path} is damaged: it is larger than {limit >> 10} KiB", hint="imagekit never writes one that large"
        )
    return data


def _write_all(descriptor: int, data: bytes) -> None:
    """Write every byte: write(2) may stop early, and does just before a disk is full."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _find_end_of_last_line(descriptor: int) -> int:
    """Return the offset behind the last newline, reading backwards in steps of 64 KiB."""
    position = os.fstat(descriptor).st_size
    while position:
        start = max(0, position - 65536)
        found = os.pread(descriptor, position - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0
