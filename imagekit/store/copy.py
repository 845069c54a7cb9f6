"""How a disk's bytes get into the store: renamed, shared by the file system, or copied sparse and hashed on the way.

A renamed or shared (reflinked) disk keeps the very bytes whose digest its builder computed, so it is not read again. A
copy is: the bytes must pass through memory for that, which is why copy_file_range(2) is not used.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

from imagekit.durable import sync_descriptor, sync_path
from imagekit.errors import StoreError
from imagekit.image import Digest, DiskImage, format_bytes
from imagekit.progress import Event, Progress
from imagekit.store.failures import explain_os_errors

_FICLONE = 0x40049409  # ioctl_ficlone(2); from linux/fs.h, the same on every architecture imagekit knows
_BLOCK_BYTES = 256 << 10
_ZEROS = bytes(_BLOCK_BYTES)
_MARGIN_BYTES = 16 << 20  # manifest, history, directory blocks, and the file system's own metadata
_STAGE = "copying into the store"


def check_space(root: Path, needed_bytes: int) -> None:
    """Raise :class:`StoreError` when the file system of ``root``, which need not exist yet, has too little room."""
    with explain_os_errors("measure the free space", root):
        free = os.statvfs(next(path for path in (root, *root.absolute().parents) if path.exists()))
    available = free.f_bavail * free.f_frsize
    if available < needed_bytes:
        raise StoreError(
            f"the store at {root} needs {format_bytes(needed_bytes)} and has {format_bytes(available)} free",
            hint="free some space, or choose another store with IMAGEKIT_STORE",
        )


def check_disk(disk: DiskImage) -> None:
    """Raise :class:`StoreError` when the file is not there, not a file, or not as long as its builder said."""
    try:
        status = disk.path.stat()
    except FileNotFoundError:
        raise StoreError(f"the built disk {disk.path} is gone", hint="build the image again") from None
    if not stat.S_ISREG(status.st_mode):
        raise StoreError(f"{disk.path} is not a regular file", hint="a disk is stored from a raw image file")
    if status.st_size != disk.size_bytes:
        raise StoreError(
            f"{disk.path} has {status.st_size} bytes, but {disk.size_bytes} were built", hint="build the image again"
        )


def move_disk(disk: DiskImage, target: Path) -> bool:
    """Rename the disk to ``target``, read-only and flushed; False, with nothing done, when only a copy will do.

    That is another file system, a symbolic link, or a file with a second name through which it could still change.
    """
    status = disk.path.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        return False
    try:
        os.rename(disk.path, target)  # noqa: PTH104 - the crash tests stop the process at this very call
    except OSError as problem:
        if problem.errno == errno.EXDEV:
            return False
        raise
    try:
        target.chmod(0o444)
        sync_path(target)
    except BaseException:
        return_disk(target, disk.path, status.st_mode)
        raise
    return True


def return_disk(target: Path, source: Path, mode: int) -> None:
    """Undo :func:`move_disk` after a failure, so that a long build is not lost with it; never raises OSError."""
    with contextlib.suppress(OSError):
        os.rename(target, source)  # noqa: PTH104 - the counterpart of the rename above
        source.chmod(stat.S_IMODE(mode))


def copy_disk(disk: DiskImage, target: Path, progress: Progress) -> None:
    """Copy the disk to ``target``, read-only and flushed, sharing or skipping what the file system lets us.

    Raises :class:`StoreError` when the copied bytes do not have the disk's digest; ``target`` is then useless.
    """
    with disk.path.open("rb", buffering=0) as source:
        descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if not _share_extents(source.fileno(), descriptor):
                check_space(target.parent, os.fstat(source.fileno()).st_blocks * 512 + _MARGIN_BYTES)
                copied = _copy_and_hash(source.fileno(), descriptor, disk.size_bytes, progress)
                if copied != disk.digest:
                    raise StoreError(
                        f"{disk.path} does not have the digest its builder computed "
                        f"(expected {disk.digest.short}…, copied {copied.short}…)",
                        hint="something wrote to the disk after it was built, or the storage is failing; build again",
                    )
            os.fchmod(descriptor, 0o444)
            sync_descriptor(descriptor)
        finally:
            os.close(descriptor)


def _share_extents(source: int, target: int) -> bool:
    """Let both files share their blocks (btrfs, XFS, bcachefs); False when this file system cannot."""
    if sys.platform != "linux":
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _copy_and_hash(source: int, target: int, size: int, progress: Progress) -> Digest:
    """Copy ``size`` bytes, leaving holes where the source has holes or zeros; return what was really read."""
    hasher = hashlib.sha256()
    os.ftruncate(target, size)
    block = bytearray(_BLOCK_BYTES)
    buffer = memoryview(block)
    for start, end, is_hole in _iterate_extents(source, size):
        position = start
        while position < end:
            wanted = min(_BLOCK_BYTES, end - position)
            if is_hole:
                hasher.update(_ZEROS[:wanted])
                position += wanted
            else:
                got = os.preadv(source, [buffer[:wanted]], position)
                if got == 0:
                    raise StoreError("the disk became shorter while it was copied", hint="build the image again")
                hasher.update(buffer[:got])
                if got < _BLOCK_BYTES or block != _ZEROS:  # bytearray compares with memcmp; a memoryview would not
                    _write_at(target, buffer[:got], position)
                position += got
            progress(Event(_STAGE, position, size, "B"))
    return Digest(hasher.hexdigest())


def _iterate_extents(descriptor: int, size: int) -> Iterator[tuple[int, int, bool]]:
    """Yield start, end and whether it is a hole, without gaps up to ``size`` (lseek(2), SEEK_DATA)."""
    position = 0
    while position < size:
        try:
            data = min(os.lseek(descriptor, position, os.SEEK_DATA), size)
            end = min(os.lseek(descriptor, data, os.SEEK_HOLE), size) if data < size else size
        except OSError as problem:
            if problem.errno == errno.ENXIO:  # no data up to the end
                data = end = size
            elif problem.errno == errno.EINVAL:  # a file system without holes: all of it is data
                data, end = position, size
            else:
                raise
        if data > position:
            yield position, data, True
        if end > data:
            yield data, end, False
        position = end


def _write_at(descriptor: int, data: memoryview, position: int) -> None:
    """Write every byte at ``position``: pwrite(2) may stop early, and does just before a disk is full."""
    while data:
        written = os.pwrite(descriptor, data, position)
        data, position = data[written:], position + written
