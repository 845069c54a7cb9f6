"""Which blocks of an ext2, ext3 or ext4 filesystem are free, by its allocation bitmaps.

A group whose bitmap was never written (``BLOCK_UNINIT``) has in use only what the format puts there: the kernel's
``ext4_init_block_bitmap`` and ``ext4_num_base_meta_blocks`` are the measure. Where two places contradict each other
(the bitmap and the descriptor's count), the group has no free blocks: a block too few costs space, one too many data.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.disk.ext4.layout import Superblock, has_super, locate_descriptor
from imagekit.disk.runs import Range, find_zero_bits, merge, subtract
from imagekit.disk.window import Readable

BLOCK_UNINIT = 0x2
INODE_UNINIT = 0x1
# Block bitmap, inode bitmap, inode table, free blocks, flags, unused inodes; then the high halves of a 64-byte one.
_LOW = struct.Struct("<IIIH4xH8xH2x")  # 0x1E is the checksum
_HIGH = struct.Struct("<IIIH4xH12x")


@dataclass(frozen=True, slots=True)
class Group:
    """One group descriptor: places are block numbers, unchecked; counts as stored."""

    block_bitmap: int
    inode_bitmap: int
    inode_table: int
    free_blocks: int
    flags: int
    unused_inodes: int


def read_groups(window: Readable, block: Superblock) -> list[Group]:
    """Read every group descriptor; raises :class:`imagekit.errors.ImageDamaged` when one is past the end."""
    groups: list[Group] = []
    size, in_block = block.descriptor_size, block.block_size // block.descriptor_size
    uninit = bool(block.features & {"uninit_bg", "metadata_csum"})
    for first in range(0, block.group_count, in_block):
        count = min(in_block, block.group_count - first)
        data = window.read(locate_descriptor(block, first), count * size)
        for at in range(0, len(data), size):
            bitmap, inodes, table, free, flags, unused = _LOW.unpack_from(data, at)
            if size >= 64:
                high = _HIGH.unpack_from(data, at + 32)
                bitmap, inodes, table = (
                    low | up << 32 for low, up in zip((bitmap, inodes, table), high[:3], strict=True)
                )
                free, unused = free | high[3] << 16, unused | high[4] << 16
            groups.append(Group(bitmap, inodes, table, free, flags if uninit else 0, unused if uninit else 0))
    return groups


def find_free_ranges(window: Readable, block: Superblock) -> Iterator[Range]:
    """Yield offset and length of free space in bytes, rising; nothing for a filesystem whose bitmaps may be old.

    That is one with a journal to replay, not unmounted in order, or with ``bigalloc``, whose bitmaps count clusters.
    Raises :class:`imagekit.errors.ImageDamaged` when the descriptors or bitmaps cannot be where they are said to be.
    """
    if block.features & {"needs_recovery", "bigalloc"} or block.state & 3 != 1:
        return iter(())
    groups = read_groups(window, block)
    free = _find_free_blocks(window, block, groups)
    used = merge(sorted(_list_metadata(block, groups)))
    size = block.block_size
    return ((first * size, count * size) for first, count in merge(subtract(free, used)))


def _find_free_blocks(window: Readable, block: Superblock, groups: list[Group]) -> Iterator[Range]:
    for index, group in enumerate(groups):
        first = block.first_data_block + index * block.blocks_per_group
        count = min(block.blocks_per_group, block.blocks_count - first)
        if group.flags & BLOCK_UNINIT:
            yield first, count
            continue
        if group.free_blocks == 0:
            continue
        bitmap = window.read(group.block_bitmap * block.block_size, -(-count // 8))
        runs = [(first + begin, length) for begin, length in find_zero_bits(bitmap, count)]
        if sum(length for _, length in runs) == group.free_blocks:
            yield from runs


def _list_metadata(block: Superblock, groups: list[Group]) -> Iterator[Range]:
    """Yield what the format itself occupies, in blocks: no bitmap is believed that calls it free."""
    table = -(-block.inodes_per_group * block.inode_size // block.block_size)
    per_block = block.block_size // block.descriptor_size
    descriptor_blocks = -(-block.group_count // per_block)
    spread = "meta_bg" in block.features
    yield 0, block.first_data_block + 1
    for index, group in enumerate(groups):
        yield from ((group.block_bitmap, 1), (group.inode_bitmap, 1), (group.inode_table, table))
        begins = int(has_super(block, index))
        if spread and index >= block.first_meta_group * per_block:
            begins += index % per_block in (0, 1, per_block - 1)
        elif begins:
            begins += block.first_meta_group if spread else descriptor_blocks + block.reserved_descriptor_blocks
        if begins:
            yield block.first_data_block + index * block.blocks_per_group, begins
