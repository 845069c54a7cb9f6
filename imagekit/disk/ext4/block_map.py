"""Which blocks hold a file's bytes: extent trees (ext4) and indirect blocks (ext2, ext3).

Both are given as runs ``(logical, physical, count)`` in blocks, strictly rising, holes left out. A block of the map is
visited once, a tree is at most five levels deep, and only what lies before the wanted block is read, so a hostile map
costs no more than an honest one.
"""

import struct
from collections.abc import Iterator

from imagekit.disk.ext4.layout import FLAG_EXTENTS, Inode, Superblock
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

Run = tuple[int, int, int]

_EXTENT_MAGIC = 0xF30A
_MAX_DEPTH = 5
_MAX_INITIALISED = 32768
_HEADER = struct.Struct("<HHHH4x")
_EXTENT = struct.Struct("<IHHI")
_INDEX = struct.Struct("<IIH2x")
_END = 1 << 32


def map_blocks(window: Readable, superblock: Superblock, inode: Inode, wanted: int) -> Iterator[Run]:
    """Yield the runs of the first ``wanted`` blocks; raises :class:`ImageDamaged` for an impossible map."""
    reader = _MapReader(window, superblock, inode, wanted)
    return reader.read_extents(inode.blocks, None, 0, _END) if inode.flags & FLAG_EXTENTS else reader.read_pointers()


class _MapReader:
    def __init__(self, window: Readable, superblock: Superblock, inode: Inode, wanted: int) -> None:
        self._window = window
        self._super = superblock
        self._inode = inode
        self._wanted = wanted
        self._visited: set[int] = set()

    def _damaged(self, what: str) -> ImageDamaged:
        return ImageDamaged(f"the block map of inode {self._inode.number} is wrong: {what}")

    def _check(self, first: int, count: int) -> None:
        """Raise unless the blocks exist; the superblock's own block holds no file."""
        if first <= self._super.first_data_block or first + count > self._super.blocks_count:
            raise self._damaged(f"it names {count} blocks at {first} of {self._super.blocks_count}")

    def _read_map_block(self, block: int) -> bytes:
        """Read a block of the map, each one once."""
        self._check(block, 1)
        if block in self._visited:
            raise self._damaged(f"block {block} is used twice")
        self._visited.add(block)
        size = self._super.block_size
        return self._window.read(block * size, size)

    def read_extents(self, node: bytes, depth: int | None, low: int, high: int) -> Iterator[Run]:
        """Yield what the extents in ``node`` map; all of it must lie in the logical blocks ``low`` to ``high``."""
        magic, entries, _, level = _HEADER.unpack_from(node)
        if magic != _EXTENT_MAGIC or entries > len(node) // 12 - 1:
            raise self._damaged("an extent node has no valid header")
        if level > _MAX_DEPTH or (depth is not None and level != depth):
            raise self._damaged(f"an extent node says that it is at level {level}")
        if depth is not None and entries == 0:
            raise self._damaged("an extent node is empty")
        if level == 0:
            yield from self._read_leaf(node, entries, low, high)
            return
        children = [_INDEX.unpack_from(node, 12 + 12 * index) for index in range(entries)]
        for position, (logical, child_low, child_high) in enumerate(children):
            following = children[position + 1][0] if position + 1 < entries else high
            if not low <= logical < following <= high:
                raise self._damaged("extent indexes are not in order")
            if logical >= self._wanted:
                return
            child = self._read_map_block(child_low | child_high << 32)
            yield from self.read_extents(child, level - 1, logical, following)

    def _read_leaf(self, node: bytes, entries: int, low: int, high: int) -> Iterator[Run]:
        for index in range(entries):
            logical, length, start_high, start_low = _EXTENT.unpack_from(node, 12 + 12 * index)
            unwritten = length > _MAX_INITIALISED
            count = length - _MAX_INITIALISED if unwritten else length
            physical = start_low | start_high << 32
            if count == 0 or logical < low or logical + count > high:
                raise self._damaged("extents are not in order")
            self._check(physical, count)
            low = logical + count
            if logical >= self._wanted:
                return
            if not unwritten:  # allocated and never written: reads as zeros
                yield logical, physical, min(count, self._wanted - logical)

    def read_pointers(self) -> Iterator[Run]:
        """Yield the runs of the classic map: twelve direct pointers, then one, two and three levels of indirection."""
        pointers = struct.unpack("<15I", self._inode.blocks)
        run: Run | None = None
        for logical, physical in self._read_pointers(pointers):
            self._check(physical, 1)
            if run is not None and run[0] + run[2] == logical and run[1] + run[2] == physical:
                run = (run[0], run[1], run[2] + 1)
                continue
            if run is not None:
                yield run
            run = (logical, physical, 1)
        if run is not None:
            yield run

    def _read_pointers(self, pointers: tuple[int, ...]) -> Iterator[tuple[int, int]]:
        for logical, physical in enumerate(pointers[:12]):
            if physical and logical < self._wanted:
                yield logical, physical
        logical = 12
        for level in (1, 2, 3):
            yield from self._read_indirect(pointers[11 + level], level, logical)
            logical += (self._super.block_size // 4) ** level

    def _read_indirect(self, block: int, level: int, logical: int) -> Iterator[tuple[int, int]]:
        if block == 0 or logical >= self._wanted:
            return
        per_block = self._super.block_size // 4
        span = per_block ** (level - 1)
        for pointer in struct.unpack(f"<{per_block}I", self._read_map_block(block)):
            if logical >= self._wanted:
                return
            if level > 1:
                yield from self._read_indirect(pointer, level - 1, logical)
            elif pointer:
                yield logical, pointer
            logical += span
