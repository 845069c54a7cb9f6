"""Disks packed by zstd, xz, gzip or bzip2, unpacked piece by piece.

Formats: RFC 8878 (frames, skippable frames), the .xz file format 1.2 (streams, padding), RFC 1952 (members), and
bzip2's own. A file may hold several of these one after another; anything else after the last one is damage, as is an
end in the middle: a download that was cut short must never look like a whole disk.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

from imagekit.disk.containers.magic import Container, identify, identify_start
from imagekit.disk.containers.raw import NotADisk, RawDisk, open_file
from imagekit.errors import ImageDamaged
from imagekit.progress import Event, Progress, silent

PIECE_BYTES = 1 << 20
MAX_DISK_BYTES = 64 << 40
# Small, because what follows the end of a frame is copied: a file of a million tiny frames must not take for ever.
_PACKED_BYTES = 64 << 10
_ZSTD_WINDOW_BITS = 27  # 128 MiB: what `zstd --long` makes and every zstd unpacks without being asked twice
_XZ_MEMORY_BYTES = 256 << 20  # `xz -9` needs 65 MiB
# Zeros cost no room, but time: a system in 100 MB on a disk of 2 TB is believed, a disk of zeros alone is not.
_UNSUSPICIOUS_BYTES, _MOST_RATIO = 64 << 30, 20_000
# A zstd frame costs 40 microseconds to start; the frames of seekable files hold 16 KiB and more.
_MOST_TINY_FRAMES, _TINY_BYTES = 10_000, 1024


class _Decompressor(Protocol):
    """What bz2, lzma and zstd of the standard library have in common: one frame, unpacked in pieces."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


# What starts the next frame, and the exceptions by which it says that bytes are not right.
_Unpacker = tuple[Callable[[], _Decompressor], tuple[type[Exception], ...]]


class _Gunzip:
    """One member of a gzip file, with the manners of the other decompressors."""

    def __init__(self) -> None:
        import zlib

        self._member = zlib.decompressobj(16 + zlib.MAX_WBITS)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        content = self._member.decompress(self._member.unconsumed_tail + data, max_length)
        # A full piece may leave output behind although all input was taken; asking again for nothing costs nothing.
        self.needs_input = not self._member.unconsumed_tail and len(content) < max_length
        return content


def read_stream(source: Path | RawDisk, *, progress: Progress = silent) -> Iterator[bytes]:
    """Yield what a packed file holds, in order: pieces of 1 MiB, of which only the last may be shorter.

    A :class:`RawDisk` is read from its beginning and left open. Raises :class:`NotADisk` when the file is not packed
    by zstd, xz, gzip or bzip2, and :class:`ImageDamaged`, naming the file, when it is cut short, corrupt, followed by
    something else, wants a zstd window above 128 MiB or unpacks to more than 64 TiB. What came before such an error is
    not to be trusted: it may be any part of the disk.
    """
    if isinstance(source, RawDisk):
        yield from read_frames(source, require_stream(source), progress)
        return
    with open_file(source) as file:
        yield from read_frames(file, require_stream(file), progress)


def require_stream(file: RawDisk) -> Container:
    """Return what the file is packed by; raises :class:`NotADisk` when it is by none of the four."""
    found = identify(file)
    if found is None or found not in _UNPACKERS:
        raise NotADisk(f"{file.path} is not packed by zstd, xz, gzip or bzip2")
    return found


def read_frames(file: RawDisk, kind: Container, progress: Progress) -> Iterator[bytes]:
    """Yield the content of all frames, streams or members of ``file``; as :func:`read_stream`."""
    stage = f"unpacking {file.path.name}"
    frame: _Decompressor | None = None
    position = total = frames = padding = reported = 0
    packed = b""
    parts: list[bytes] = []
    room = PIECE_BYTES
    start_frame, errors = _UNPACKERS[kind]()
    progress(Event(stage, 0, file.size, "B"))
    while True:
        if not packed and (frame is None or frame.needs_input):
            if position == file.size:
                break
            packed = file.read(position, min(_PACKED_BYTES, file.size - position))
            position += len(packed)
            if position - reported >= PIECE_BYTES:
                reported = position
                progress(Event(stage, position, file.size, "B"))
        if frame is None:
            packed, skipped = _skip_padding(packed, kind, started=position > len(packed))
            padding += skipped
            if not packed:
                continue
            _check_start(packed, padding, position - len(packed), file, kind)
            frame, padding = start_frame(), 0
        try:
            part = frame.decompress(packed, room)
        except errors as problem:
            raise ImageDamaged(f"{file.path.name} cannot be unpacked by {kind.value}: {_say(problem)}") from problem
        packed = b""
        if frame.eof:
            packed, frame = frame.unused_data, None
            frames += 1
            if frames > _MOST_TINY_FRAMES and total < frames * _TINY_BYTES:
                raise ImageDamaged(f"{file.path.name} is packed in more than {frames} parts of next to nothing")
        if part:
            parts.append(part)
            room -= len(part)
        if not room:
            total += PIECE_BYTES
            _check_growth(total, position, file)
            yield b"".join(parts) if len(parts) > 1 else part
            parts, room = [], PIECE_BYTES
    if frame is not None:
        raise ImageDamaged(
            f"{file.path.name} is cut short: its {kind.value} data does not end", hint="fetch or copy the file again"
        )
    if kind is Container.XZ and padding % 4:
        raise ImageDamaged(f"{file.path.name} has {padding} bytes after the end of its xz data")
    if parts:
        yield b"".join(parts)
    progress(Event(stage, file.size, file.size, "B"))


def _check_growth(total: int, taken: int, file: RawDisk) -> None:
    """Raise :class:`ImageDamaged` when ``total`` bytes from the first ``taken`` are more than a disk's can be."""
    if total > MAX_DISK_BYTES:
        raise ImageDamaged(f"{file.path.name} unpacks to more than the 64 TiB that are read")
    if total > _UNSUSPICIOUS_BYTES and total > taken * _MOST_RATIO:
        raise ImageDamaged(f"{file.path.name} unpacks to over {total >> 30} GiB, which no disk in {taken} bytes does")


def _skip_padding(packed: bytes, kind: Container, *, started: bool) -> tuple[bytes, int]:
    """Return ``packed`` without the zeros that may stand between and after frames, and how many there were."""
    if not started or kind not in (Container.XZ, Container.GZIP):
        return packed, 0
    rest = packed.lstrip(b"\0")
    return rest, len(packed) - len(rest)


def _check_start(packed: bytes, padding: int, place: int, file: RawDisk, kind: Container) -> None:
    """Raise :class:`ImageDamaged` unless the next frame begins here."""
    found = identify_start((packed + file.read(place + len(packed), min(8, file.size - place - len(packed))))[:8])
    if found is not kind or (kind is Container.XZ and padding % 4):
        raise ImageDamaged(f"{file.path.name} goes on with something else after its {kind.value} data, at byte {place}")


def _unpack_zstd() -> _Unpacker:
    from imagekit.disk.containers.zstd import ZstdError, new_decompressor

    return (lambda: new_decompressor(_ZSTD_WINDOW_BITS)), (ZstdError,)


def _unpack_xz() -> _Unpacker:
    from lzma import FORMAT_XZ, LZMADecompressor, LZMAError

    return (lambda: LZMADecompressor(FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)), (LZMAError,)


def _unpack_gzip() -> _Unpacker:
    import zlib

    return _Gunzip, (zlib.error,)


def _unpack_bzip2() -> _Unpacker:
    import bz2

    return bz2.BZ2Decompressor, (OSError, ValueError)


# Each loads its library only when it is needed.
_UNPACKERS = {
    Container.ZSTD: _unpack_zstd,
    Container.XZ: _unpack_xz,
    Container.GZIP: _unpack_gzip,
    Container.BZIP2: _unpack_bzip2,
}


def _say(problem: Exception) -> str:
    """Return a library's message, as the end of a sentence."""
    return str(problem).rstrip(".") or type(problem).__name__
