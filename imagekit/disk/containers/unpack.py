"""A packed disk, unpacked once: into a sparse temporary file that has no name, or into one that the caller names."""

import os
from collections.abc import Iterator
from pathlib import Path

from imagekit.disk.containers.magic import START_BYTES, Container, identify_start, suggest_conversion
from imagekit.disk.containers.raw import NotADisk, RawDisk, open_file
from imagekit.disk.containers.stream import PIECE_BYTES, read_frames, require_stream
from imagekit.errors import VerificationFailed
from imagekit.progress import Progress, silent

_BLOCK_BYTES = 64 << 10  # zeros of this length become holes
_ZEROS = bytes(PIECE_BYTES)
_BLOCK_OF_ZEROS = bytes(_BLOCK_BYTES)
_ROOM_CHECK_BYTES = 16 << 20  # more than any piece
_SPARE_SHARE, _MOST_SPARE_BYTES = 20, 1 << 30  # a twentieth of the filesystem is left free for others, at most 1 GiB


def unpack_stream(file: RawDisk, *, directory: Path | None = None, progress: Progress = silent) -> RawDisk:
    """Return the disk that the packed ``file`` holds, unpacked into a sparse file without a name.

    The file is made in ``directory``, or where TMPDIR says, and its room is given back when the disk is closed or the
    process ends, however it ends. Raises as :func:`read_stream`, and :class:`VerificationFailed` when the filesystem
    has no room for it, or when what is packed is itself packed or of a kind that is not read.
    """
    from tempfile import TemporaryFile

    kind = require_stream(file)
    try:
        with TemporaryFile(buffering=0, dir=directory) as target:
            size = _write_sparse(target.fileno(), _expect_disk(file, kind, progress), file.path, kind)
            os.ftruncate(target.fileno(), size)
            descriptor = os.dup(target.fileno())
    except OSError as problem:
        raise VerificationFailed(
            f"{file.path.name} cannot be unpacked into a temporary file: {problem.strerror}",
            hint=_make_room(file.path, kind),
        ) from problem
    return RawDisk(file.path, descriptor, size, format=kind.value)


def unpack_file(path: Path, target: Path, *, progress: Progress = silent) -> None:
    """Make the sparse file ``target`` of the disk that the packed file ``path`` holds; nothing may be there yet.

    Raises as :func:`unpack_stream`; what was written by then is removed.
    """
    with open_file(path) as file:
        kind = require_stream(file)
        try:
            descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            try:
                os.ftruncate(descriptor, _write_sparse(descriptor, _expect_disk(file, kind, progress), path, kind))
            except BaseException:
                target.unlink()
                raise
            finally:
                os.close(descriptor)
        except OSError as problem:
            raise VerificationFailed(f"{path.name} cannot be unpacked as {target}: {problem.strerror}") from problem


def _expect_disk(file: RawDisk, kind: Container, progress: Progress) -> Iterator[bytes]:
    """Yield the pieces, unless the first one shows that they make no disk: an archive is refused at once.

    qcow2 is let pass: several distributions publish .qcow2.xz. Its reader is the caller's business.
    """
    pieces = read_frames(file, kind, progress)
    first = next(pieces, b"")
    if not first:
        raise NotADisk(f"{file.path} unpacks to nothing")
    inner = identify_start(first[:START_BYTES])
    if inner is not None and inner is not Container.QCOW2:
        raise NotADisk(
            f"{file.path} is packed by {kind.value} and holds a {inner.value} file, not a disk",
            hint=suggest_conversion(kind, file.path.name),
        )
    yield first
    yield from pieces


def _write_sparse(descriptor: int, pieces: Iterator[bytes], path: Path, kind: Container) -> int:
    """Write ``pieces`` one after another and return their length; blocks of zeros are left out."""
    position = 0
    allowance = 0  # bytes that may be written before the room is looked at again
    for piece in pieces:
        for begin, end in _list_blocks(piece):
            if end - begin > allowance:
                allowance = _ROOM_CHECK_BYTES
                _check_room(descriptor, allowance, path, kind)
            allowance -= end - begin
            _write_all(descriptor, memoryview(piece)[begin:end], position + begin)
        position += len(piece)
    return position


def _list_blocks(piece: bytes) -> Iterator[tuple[int, int]]:
    """Yield begin and end of what is not zero, in whole blocks; comparing stops at the first byte that differs."""
    if _ZEROS.startswith(piece):
        return
    begin = -1
    for at in range(0, len(piece), _BLOCK_BYTES):
        left = len(piece) - at
        if piece.startswith(_BLOCK_OF_ZEROS if left >= _BLOCK_BYTES else _ZEROS[:left], at):
            if begin >= 0:
                yield begin, at
            begin = -1
        elif begin < 0:
            begin = at
    if begin >= 0:
        yield begin, len(piece)


def _write_all(descriptor: int, data: memoryview, position: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, position)
        position += written
        data = data[written:]


def _check_room(descriptor: int, wanted: int, path: Path, kind: Container) -> None:
    """Raise :class:`VerificationFailed` when writing ``wanted`` bytes more would leave the filesystem all but full."""
    status = os.fstatvfs(descriptor)
    free = status.f_bavail * status.f_frsize
    spare = min(status.f_blocks * status.f_frsize // _SPARE_SHARE, _MOST_SPARE_BYTES)
    if free - wanted < spare:
        raise VerificationFailed(
            f"{path.name} does not fit unpacked: {free >> 20} MiB are free in the directory for temporary files",
            hint=_make_room(path, kind),
        )


def _make_room(path: Path, kind: Container) -> str:
    return f"set TMPDIR to a directory with more room, or {suggest_conversion(kind, path.name)}"
