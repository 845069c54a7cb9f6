"""The archives of an initial RAM disk, read as a stream: names and, where wanted, the beginning of a file's content.

An initrd is one or more cpio archives one after another, each plain or compressed, with zeros between them; Debian 13
puts the kernel's modules into a plain one, and processor microcode comes first of all. Source of the format: the
kernel's "initramfs buffer format" (Documentation/driver-api/early-userspace/buffer-format.rst) and cpio(5), "newc".
What is not looked at is skipped, in a plain archive without being read.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from imagekit.errors import ImageDamaged

if TYPE_CHECKING:
    from imagekit.disk.tree import ReadPart

_HEADER = 110
_MAGIC = (b"070701", b"070702")
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{110}")
_TRAILER = "TRAILER!!!"
_LONGEST_NAME = 4096  # PATH_MAX, with its zero byte
_PADDING = 4096
_MOST_PADDING = 16 << 20
_CHUNK = 128 << 10
_OUTPUT = 1 << 20  # of a decompressor at once
_ZSTD_WINDOW = 27  # 128 MiB: zstd --long, and what the kernel itself allows
_XZ_MEMORY = 256 << 20
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zXZ\0": "xz",
    b"\x5d\0\0": "xz",  # its predecessor, which the same decompressor reads
    b"BZh": "bzip2",
    b"\x02\x21\x4c\x18": "lz4",
    b"\x04\x22\x4d\x18": "lz4",
    b"\x89LZO": "lzo",
}
_UNREAD = ("lz4", "lzo")  # Python's standard library has no decompressor for them


class ArchiveUnread(Exception):
    """The rest of the initrd cannot be read here, without being damaged: a compression, or more than the limits."""


@dataclass(frozen=True, slots=True)
class Member:
    """One name of an archive, without a leading slash; ``content`` is as much of a regular file as was wanted.

    ``archive`` counts the archives from 0 on, ``mode`` has the type bits of stat(2), ``size`` is in bytes.
    """

    name: str
    mode: int
    size: int
    content: bytes
    archive: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What one initrd may cost: names, and bytes after decompression."""

    members: int = 200_000
    output: int = 1 << 30


class _Stream(Protocol):
    def take(self, length: int) -> bytes:
        """Return the next bytes, fewer only at the end."""

    def peek(self, length: int) -> bytes:
        """Return the next bytes and do not pass over them."""

    def skip(self, length: int) -> None:
        """Pass over bytes."""


class _FileStream:
    """The file itself: skipping costs nothing."""

    def __init__(self, read: "ReadPart") -> None:
        self._read = read
        self._buffer = b""
        self._begin = 0  # of the buffer, in the file
        self.position = 0

    def take(self, length: int) -> bytes:
        at = self.position - self._begin
        if not 0 <= at <= len(self._buffer) - length:
            # A short look reads little: after a skip the next header is usually all that is wanted.
            self._begin, at = self.position, 0
            self._buffer = self._read(self.position, max(length, 4096))
        found = self._buffer[at : at + length]
        self.position += len(found)
        return found

    def peek(self, length: int) -> bytes:
        found = self.take(length)
        self.position -= len(found)
        return found

    def skip(self, length: int) -> None:
        self.position += length


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool:
        """Say whether the compressed data has ended."""

    @property
    def needs_input(self) -> bool:
        """Say whether nothing more comes without new data."""

    @property
    def unused_data(self) -> bytes:
        """Return what was given beyond the end."""

    def decompress(self, data: bytes, max_length: int) -> bytes:
        """Return up to so many bytes."""


class _Gzip:
    """zlib's decompressor in the manner of the others."""

    def __init__(self) -> None:
        import zlib

        self._zlib = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        found = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self.needs_input = not self._zlib.unconsumed_tail and len(found) < max_length
        return found


def _open_decompressor(kind: str) -> _Decompressor:
    match kind:
        case "gzip":
            return _Gzip()
        case "xz":
            import lzma

            return lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        case "bzip2":
            import bz2

            return bz2.BZ2Decompressor()
        case "zstd":
            from imagekit.disk.containers.zstd import new_decompressor

            return new_decompressor(_ZSTD_WINDOW)
        case _:
            raise ArchiveUnread(f"the initrd is compressed with {kind}, which is not read")


class _Unpacked:
    """What a compressed part of the file holds."""

    def __init__(self, file: _FileStream, kind: str, limit: int, alive: Callable[[], None]) -> None:
        self._file = file
        self._alive = alive
        self._kind = kind
        self._decompressor = _open_decompressor(kind)
        self._left = limit
        self._buffer = bytearray()
        self._at = 0

    def take(self, length: int) -> bytes:
        found = self.peek(length)
        self._at += len(found)
        return found

    def peek(self, length: int) -> bytes:
        while len(self._buffer) - self._at < length and self._fill():
            pass
        return bytes(self._buffer[self._at : self._at + length])

    def skip(self, length: int) -> None:
        while length > len(self._buffer) - self._at:
            length -= len(self._buffer) - self._at
            self._at = len(self._buffer)
            if not self._fill():
                return
        self._at += length

    def finish(self) -> None:
        """Give back to the file what was read of it beyond the end of the compressed data."""
        self._file.position -= len(self._decompressor.unused_data)

    def _fill(self) -> bool:
        """Decompress the next piece; no answer when there is none."""
        if self._at:
            del self._buffer[: self._at]
            self._at = 0
        while not self._decompressor.eof:
            data = self._file.take(_CHUNK) if self._decompressor.needs_input else b""
            if not data and self._decompressor.needs_input:
                raise ImageDamaged(f"the initrd's {self._kind} data ends too early")
            self._alive()
            piece = self._decompress(data)
            if piece:
                self._left -= len(piece)
                if self._left < 0:
                    raise ArchiveUnread("the initrd is larger than what is read of one")
                self._buffer += piece
                return True
        return False

    def _decompress(self, data: bytes) -> bytes:
        import lzma
        import zlib

        from imagekit.disk.containers.zstd import ZstdError

        try:
            return self._decompressor.decompress(data, max_length=_OUTPUT)
        except (lzma.LZMAError, zlib.error, ZstdError, OSError, EOFError, MemoryError) as problem:
            raise ImageDamaged(f"the initrd's {self._kind} data cannot be decompressed") from problem


def read_initrd(
    read: "ReadPart",
    want: Callable[[str], int],
    limits: Limits | None = None,
    *,
    alive: Callable[[], None] = lambda: None,
) -> Iterator[Member]:
    """Yield every name of every archive in order; ``want`` says how many bytes of a file's content to keep.

    ``alive`` is called now and then and may raise, when the time has run out. Raises :class:`ImageDamaged` when the
    bytes are no initrd, and :class:`ArchiveUnread` when they are one of a kind or size that is not read.
    """
    limits = limits or Limits()
    file = _FileStream(read)
    archive = count = 0
    while True:
        magic = _find_archive(file)
        if not magic:
            if not archive:
                raise ImageDamaged("the initrd is empty")
            return
        kind = next((name for mark, name in _COMPRESSED.items() if magic.startswith(mark)), "")
        if magic not in _MAGIC and not kind:
            raise ImageDamaged(f"the initrd has neither an archive nor compressed data at byte {file.position}")
        unpacked = _Unpacked(file, kind, limits.output, alive) if kind else None
        stream: _Stream = unpacked or file
        # The kernel takes any number of archives inside one compressed part, and zeros between them.
        while inner := magic if unpacked is None else _find_archive(unpacked):
            if inner not in _MAGIC:
                raise ImageDamaged(f"the initrd's {kind or 'plain'} part holds no cpio archive")
            for member in _read_archive(stream, archive, want):
                count += 1
                if count > limits.members:
                    raise ArchiveUnread(f"the initrd has more than {limits.members} names")
                if count % 64 == 0:
                    alive()
                yield member
            archive += 1
            if unpacked is None:
                break
        if unpacked is not None:
            unpacked.finish()
            archive += 1


def _find_archive(stream: _Stream) -> bytes:
    """Pass over zeros and return the six bytes of the next magic without passing over them; empty at the end."""
    for _ in range(_MOST_PADDING // _PADDING):
        block = stream.peek(_PADDING)
        if not block:
            return b""
        rest = block.lstrip(b"\0")
        stream.skip(len(block) - len(rest))
        if rest:
            return stream.peek(6)
    raise ArchiveUnread(f"the initrd has more than {_MOST_PADDING >> 20} MiB of zeros between its archives")


def _read_archive(stream: _Stream, archive: int, want: Callable[[str], int]) -> Iterator[Member]:
    """Yield the members up to the trailer, which is passed over."""
    while True:
        header = stream.take(_HEADER)
        if len(header) < _HEADER or header[:6] not in _MAGIC:
            raise ImageDamaged("an archive of the initrd has no trailer")
        if not _HEXADECIMAL.fullmatch(header):
            raise ImageDamaged("an archive of the initrd has a header that is not hexadecimal")
        fields = [int(header[at : at + 8], 16) for at in range(6, _HEADER, 8)]
        mode, size, name_length = fields[1], fields[6], fields[11]
        if not 1 <= name_length <= _LONGEST_NAME:
            raise ImageDamaged(f"an archive of the initrd has a name of {name_length} bytes")
        padded = name_length + -(_HEADER + name_length) % 4
        raw = stream.take(padded)
        name = raw[: name_length - 1].decode("utf-8", "surrogateescape")
        if name == _TRAILER:
            return
        wanted = min(want(name), size) if mode & 0xF000 == 0x8000 and size else 0
        content = stream.take(wanted) if wanted > 0 else b""
        yield Member(name.removeprefix("./").lstrip("/"), mode, size, content, archive)
        stream.skip(size + -size % 4 - len(content))  # only now: who stops here does not pay for what follows
