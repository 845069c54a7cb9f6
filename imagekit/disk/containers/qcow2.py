"""A qcow2 image, read-only: clusters are found, and unpacked, when they are asked for.

Format: QEMU's docs/interop/qcow2.rst, versions 2 and 3 with extended L2 entries. The active state is read; internal
snapshots are ignored. Reference counts are not looked at, so an image marked dirty reads like any other.
"""

import sys
import zlib
from array import array
from collections.abc import Iterator
from functools import lru_cache
from typing import Self, assert_never

from imagekit.disk.containers.qcow2_layout import COMPRESSED, OFFSET_MASK, READS_ZERO, Compression, Header, read_header
from imagekit.disk.containers.raw import RawDisk
from imagekit.disk.window import Window, check_range
from imagekit.errors import ImageDamaged

_TABLES_BYTES = 16 << 20  # L2 tables kept
_CLUSTERS_BYTES = 32 << 20  # unpacked clusters kept
_L1_PIECE = 8192  # entries
_MOST_FRAMES = 64  # of zstd in one cluster; QEMU writes one
_ZSTD_WINDOW_BITS = 23  # QEMU tells zstd a cluster's size, so no window is larger than that: 2 MiB
_UNALLOCATED = array("Q")
_ALL_SUBCLUSTERS = 0xFFFFFFFF


class Qcow2Disk:
    """The disk inside a qcow2 image. Use as a context manager: the file is closed at the end of the block.

    ``header`` says what the image told of itself; ``format`` is another one's name when the image was itself unpacked.
    """

    def __init__(self, file: RawDisk, header: Header, *, format: str = "qcow2") -> None:  # noqa: A002 - the name that Disk has
        self.path = file.path
        self.size = header.size
        self.format = format
        self.header = header
        self._file = file
        self._bits = header.cluster_bits
        self._cluster = 1 << header.cluster_bits
        self._mask = self._cluster - 1
        self._table_entries = self._cluster // header.l2_entry_bytes
        # What one lookup tells about: a cluster, or one of the 32 parts of it.
        self._unit = self._cluster // 32 if header.extended_l2 else self._cluster
        self._table = lru_cache(max(4, _TABLES_BYTES >> self._bits))(self._read_table)
        self._unpacked = lru_cache(max(4, _CLUSTERS_BYTES >> self._bits))(self._unpack)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and forget what was kept; a second call does nothing."""
        self._file.close()
        self._table.cache_clear()
        self._unpacked.cache_clear()

    def window(self, offset: int, length: int) -> Window:
        """Return the part of ``length`` bytes at ``offset``; raises :class:`ImageDamaged` when it is not inside."""
        return Window(self, offset, length)

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; raises :class:`ImageDamaged` when they are not inside,
        and when the tables lead outside the file or a cluster cannot be unpacked.
        """  # fmt: skip
        check_range(offset, length, self.size, self.path.name)
        pieces = []
        end = offset + length
        while offset < end:
            place = self._find(offset)
            step = min(self._unit - offset % self._unit, end - offset)
            if place is None:
                pieces.append(bytes(step))
            elif place & COMPRESSED:
                begin = offset & self._mask
                step = min(self._cluster - begin, end - offset)
                pieces.append(self._unpacked(place)[begin : begin + step])
            else:
                while offset + step < end and self._find(offset + step) == place + step:
                    step += min(self._unit, end - offset - step)
                pieces.append(self._read_plain(place, step))
            offset += step
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of what the tables do not call zero, rising, neighbours joined.

        Only the tables are read. Raises :class:`ImageDamaged` when they lead outside the file, or twice to one table:
        that bounds the work by the file's size.
        """
        begin = end = 0
        for offset, length in self._list_data():
            if offset >= self.size:
                break
            if offset != end:
                if end > begin:
                    yield begin, end - begin
                begin = offset
            end = min(offset + length, self.size)
        if end > begin:
            yield begin, end - begin

    def _list_data(self) -> Iterator[tuple[int, int]]:
        """Yield every unit with data; the last one may end after the disk."""
        covered = self._table_entries << self._bits
        seen = set()
        for number, entry in enumerate(self._list_tables()):
            if not (place := entry & OFFSET_MASK):
                continue
            if place in seen:
                raise ImageDamaged(f"{self.path.name} uses one L2 table, at byte {place}, for two parts of the disk")
            seen.add(place)
            table = self._read_table(number)
            at = number * covered
            if self.header.extended_l2:
                yield from self._list_parts(table, at)
                continue
            for entry_ in table:
                if entry_ & COMPRESSED or (entry_ & OFFSET_MASK and not entry_ & READS_ZERO):
                    yield at, self._cluster
                at += self._cluster

    def _list_parts(self, table: "array[int]", at: int) -> Iterator[tuple[int, int]]:
        """Yield the units with data of a table with extended entries, whose first cluster is at ``at``."""
        for index in range(0, len(table), 2):
            parts = table[index + 1] & _ALL_SUBCLUSTERS
            if table[index] & COMPRESSED or parts == _ALL_SUBCLUSTERS:
                yield at, self._cluster
            elif parts:
                for part in range(32):
                    if parts >> part & 1:
                        yield at + part * self._unit, self._unit
            at += self._cluster

    def _list_tables(self) -> Iterator[int]:
        """Yield the entries of the L1 table."""
        for begin in range(0, self.header.l1_entries, _L1_PIECE):
            count = min(_L1_PIECE, self.header.l1_entries - begin)
            yield from _to_words(self._file.read(self.header.l1_offset + 8 * begin, 8 * count))

    def _find(self, offset: int) -> int | None:
        """Return where in the file byte ``offset`` is; the whole L2 entry of a compressed cluster; ``None`` for zeros.

        The bit that marks a compressed cluster is above every place a plain one can have.
        """
        number, index = divmod(offset >> self._bits, self._table_entries)
        table = self._table(number)
        if not table:
            return None
        if self.header.extended_l2:
            return self._find_part(table[2 * index], table[2 * index + 1], offset)
        entry = table[index]
        if entry & COMPRESSED:
            return entry
        if entry & READS_ZERO:
            if self.header.version == 2:
                raise ImageDamaged(f"{self.path.name} uses at byte {offset} what version 2 of qcow2 does not have")
            return None
        return self._check_place(entry & OFFSET_MASK, offset)

    def _find_part(self, entry: int, parts: int, offset: int) -> int | None:
        """Do as :meth:`_find` with an extended entry: the second word has a bit for each 32nd of the cluster."""
        if entry & COMPRESSED:
            return entry
        part = (offset & self._mask) // self._unit
        allocated, zero = parts >> part & 1, parts >> part + 32 & 1
        if allocated and (zero or not entry & OFFSET_MASK):
            raise ImageDamaged(f"{self.path.name} contradicts itself about where byte {offset} is")
        return self._check_place(entry & OFFSET_MASK, offset) if allocated else None

    def _check_place(self, place: int, offset: int) -> int | None:
        """Return where byte ``offset`` of a cluster is that begins at ``place``; 0 stands for no cluster."""
        if place & self._mask:
            raise ImageDamaged(f"{self.path.name} has a cluster at byte {place}, where none begins")
        return place + (offset & self._mask) if place else None

    def _read_table(self, number: int) -> "array[int]":
        """Return an L2 table, empty when there is none."""
        entry = int.from_bytes(self._file.read(self.header.l1_offset + 8 * number, 8), "big")
        place = entry & OFFSET_MASK
        if not place:
            return _UNALLOCATED
        if place & self._mask:
            raise ImageDamaged(f"{self.path.name} has an L2 table at byte {place}, where no cluster begins")
        return _to_words(self._file.read(place, self._cluster))

    def _read_plain(self, place: int, length: int) -> bytes:
        """Read from the file. What the last cluster lacks is zero: QEMU does not always write it to its end."""
        missing = place + length - self._file.size
        if missing <= 0:
            return self._file.read(place, length)
        if (place + length - 1) & ~self._mask >= self._file.size:
            raise ImageDamaged(f"{self.path.name} ends at byte {self._file.size}, before a cluster of its disk")
        there = max(0, length - missing)
        return (self._file.read(place, there) if there else b"") + bytes(length - there)

    def _unpack(self, entry: int) -> bytes:
        """Return the content of a compressed cluster."""
        x = 62 - (self._bits - 8)
        place = entry & (1 << min(x, 56)) - 1
        sectors = (entry & COMPRESSED - 1) >> x
        packed_length = (sectors + 1) * 512 - place % 512
        # The last sector need not be in the file to its end.
        packed = self._file.read(place, min(packed_length, max(1, self._file.size - place)))
        match self.header.compression:
            case Compression.DEFLATE:
                content = _inflate(packed, self._cluster)
            case Compression.ZSTD:
                content = _decompress_zstd(packed, self._cluster)
            case _ as never:
                assert_never(never)
        if len(content) != self._cluster:
            raise ImageDamaged(f"{self.path.name} has at byte {place} a compressed cluster that cannot be unpacked")
        return content


def open_qcow2(file: RawDisk, *, format: str = "qcow2") -> Qcow2Disk:  # noqa: A002 - the name that Disk has
    """Open the qcow2 image in ``file``, which belongs to the disk from then on.

    Raises as :func:`imagekit.disk.containers.qcow2_layout.read_header`.
    """
    return Qcow2Disk(file, read_header(file, file.path), format=format)


def _to_words(raw: bytes) -> "array[int]":
    """Return big-endian words of eight bytes as numbers."""
    words = array("Q", raw)
    if sys.byteorder == "little":
        words.byteswap()
    return words


def _inflate(packed: bytes, limit: int) -> bytes:
    """Unpack raw deflate data up to ``limit`` bytes; nothing when it is damaged."""
    try:
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, limit)
    except zlib.error:
        return b""


def _decompress_zstd(packed: bytes, limit: int) -> bytes:
    """Unpack zstd data up to ``limit`` bytes, nothing when it is damaged; a cluster may be of more than one frame."""
    from imagekit.disk.containers.zstd import ZstdError, new_decompressor

    content = b""
    try:
        for _ in range(_MOST_FRAMES):
            if not packed or len(content) == limit:
                break
            frame = new_decompressor(_ZSTD_WINDOW_BITS)
            content += frame.decompress(packed, limit - len(content))
            packed = frame.unused_data if frame.eof else b""
    except ZstdError:
        return b""
    return content
