"""What lies between the end of a file and the end of its last block, for every file of an ext2, ext3 or ext4.

Files are found in the inode tables and not by name, so that one that no directory names any more is seen too.
"""

import struct
from collections.abc import Iterator

from imagekit.disk.ext4.block_map import map_blocks
from imagekit.disk.ext4.free import INODE_UNINIT, read_groups
from imagekit.disk.ext4.layout import FLAG_EA_INODE, FLAG_ENCRYPTED, FLAG_INLINE_DATA, InodeTable, Superblock
from imagekit.disk.runs import Range
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

_REGULAR = 0x8000
_SKIPPED = FLAG_ENCRYPTED | FLAG_INLINE_DATA | FLAG_EA_INODE
_FILES = struct.Struct("<H2xI18xH4xI")  # mode, low half of the size, links, flags


def find_slack(window: Readable, block: Superblock) -> Iterator[Range]:
    """Yield offset and length in bytes of every regular file's slack, in the order of inodes.

    A file whose block map is wrong is left out; raises :class:`ImageDamaged` when an inode table cannot be read.
    """
    table = InodeTable(window, block)
    for index, group in enumerate(read_groups(window, block)):
        if group.flags & INODE_UNINIT:
            continue
        first = 1 + index * block.inodes_per_group
        count = min(block.inodes_per_group, block.inodes_count + 1 - first) - group.unused_inodes
        if count <= 0:
            continue
        content = window.read(group.inode_table * block.block_size, count * block.inode_size)
        for number in _find_partial_files(content, block, first):
            try:
                place = _locate_slack(window, block, table, number)
            except ImageDamaged:
                continue
            if place is not None:
                yield place


def _find_partial_files(content: bytes, block: Superblock, first: int) -> Iterator[int]:
    """Yield the numbers of regular files with a name, blocks of their own, and a last block that is not full."""
    mask = block.block_size - 1
    for index, at in enumerate(range(0, len(content), block.inode_size)):
        mode, size, links, flags = _FILES.unpack_from(content, at)
        if mode & 0xF000 == _REGULAR and links and size & mask and not flags & _SKIPPED:
            yield first + index


def _locate_slack(window: Readable, block: Superblock, table: InodeTable, number: int) -> Range | None:
    """Return the slack of one file; ``None`` when its last block is a hole or was never written."""
    inode = table.read(number)
    blocks, used = -(-inode.size // block.block_size), inode.size % block.block_size
    for logical, physical, count in map_blocks(window, block, inode, blocks):
        if logical <= blocks - 1 < logical + count:
            return (physical + blocks - 1 - logical) * block.block_size + used, block.block_size - used
    return None
