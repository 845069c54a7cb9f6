"""Where things are on an ext2, ext3 or ext4 filesystem: superblock, group descriptors, inodes.

Source of every offset and flag: the kernel's "ext4 data structures and algorithms" (Documentation/filesystems/ext4).
Nothing read here is believed before it was compared with the size of the partition.
"""

import struct
from dataclasses import dataclass
from typing import Final

from imagekit.disk.cache import CachedReader
from imagekit.disk.guid import format_uuid
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

ROOT_INODE = 2

FLAG_ENCRYPTED = 0x800
FLAG_EXTENTS = 0x80000
FLAG_EA_INODE = 0x200000
FLAG_INLINE_DATA = 0x10000000

_COMPATIBLE = {
    0x1: "dir_prealloc",
    0x2: "imagic_inodes",
    0x4: "has_journal",
    0x8: "ext_attr",
    0x10: "resize_inode",
    0x20: "dir_index",
    0x40: "lazy_bg",
    0x100: "snapshot_bitmap",
    0x200: "sparse_super2",
    0x400: "fast_commit",
    0x800: "stable_inodes",
    0x1000: "orphan_file",
}
_INCOMPATIBLE = {
    0x1: "compression",
    0x2: "filetype",
    0x4: "needs_recovery",
    0x8: "journal_dev",
    0x10: "meta_bg",
    0x40: "extent",
    0x80: "64bit",
    0x100: "mmp",
    0x200: "flex_bg",
    0x400: "ea_inode",
    0x1000: "dirdata",
    0x2000: "metadata_csum_seed",
    0x4000: "large_dir",
    0x8000: "inline_data",
    0x10000: "encrypt",
    0x20000: "casefold",
}
_READ_ONLY_COMPATIBLE = {
    0x1: "sparse_super",
    0x2: "large_file",
    0x8: "huge_file",
    0x10: "uninit_bg",
    0x20: "dir_nlink",
    0x40: "extra_isize",
    0x80: "snapshot",
    0x100: "quota",
    0x200: "bigalloc",
    0x400: "metadata_csum",
    0x800: "replica",
    0x1000: "read-only",
    0x2000: "project",
    0x4000: "shared_blocks",
    0x8000: "verity",
    0x10000: "orphan_present",
}
# Features that change how what we read is laid out, in a way that this reader does not follow.
_REFUSED = ("compression", "journal_dev", "dirdata")


@dataclass(frozen=True, slots=True)
class Superblock:
    """The checked superblock: sizes in bytes, counts as stored, ``blocks_count * block_size`` within the partition."""

    inodes_count: int
    blocks_count: int
    free_blocks: int
    free_inodes: int
    first_data_block: int
    block_size: int
    blocks_per_group: int
    inodes_per_group: int
    mount_time: int
    mount_count: int
    state: int
    inode_size: int
    features: frozenset[str]
    uuid: str
    label: str
    descriptor_size: int
    first_meta_group: int
    backup_groups: tuple[int, int]
    group_count: int
    reserved_descriptor_blocks: int
    error_count: int
    last_orphan: int


@dataclass(frozen=True, slots=True)
class Inode:
    """One inode: ``mode`` with the type bits, ``blocks`` the 60 bytes of the block map, ``raw`` the whole record."""

    number: int
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    flags: int
    blocks: bytes
    attribute_block: int
    raw: bytes


# Mode, uid, size, mtime, gid, flags, block map, attribute block, high size, high halves of attribute block, uid, gid.
_INODE: Final = struct.Struct("<HHI8xI4xH6xI4x60s4xII6xHHH")


def read_superblock(window: Readable) -> Superblock:
    """Read and check the superblock at byte 1024; raises :class:`ImageDamaged` naming what cannot be right."""
    if window.size < 2048:
        raise ImageDamaged(f"{window.size} bytes are too few for an ext4 filesystem")
    data = window.read(1024, 1024)

    def u32(offset: int) -> int:
        return int.from_bytes(data[offset : offset + 4], "little")

    def u16(offset: int) -> int:
        return int.from_bytes(data[offset : offset + 2], "little")

    if u16(0x38) != 0xEF53:
        raise ImageDamaged("there is no ext4 superblock")
    features = _read_features(u32(0x5C), u32(0x60), u32(0x64), dynamic=u32(0x4C) >= 1)
    if u32(0x18) > 6:
        raise ImageDamaged(f"the ext4 block size 2^{u32(0x18) + 10} is not between 1 KiB and 64 KiB")
    block_size = 1024 << u32(0x18)
    wide = "64bit" in features
    blocks_count = u32(0x4) | (u32(0x150) << 32 if wide else 0)
    free_blocks = u32(0xC) | (u32(0x158) << 32 if wide else 0)
    if blocks_count * block_size > window.size:
        raise ImageDamaged(
            f"the ext4 filesystem claims {blocks_count} blocks of {block_size} bytes in a partition of {window.size}"
        )
    first_data_block, per_group = u32(0x14), u32(0x20)
    _require(first_data_block <= 1, f"its first data block is {first_data_block}")
    ratio = 1 << min(u32(0x1C) - u32(0x18), 32) if "bigalloc" in features and u32(0x1C) >= u32(0x18) else 1
    _require(256 <= per_group <= 8 * block_size * ratio, f"it has {per_group} blocks in a group")
    _require(blocks_count > first_data_block, f"it has {blocks_count} blocks")
    group_count = -(-(blocks_count - first_data_block) // per_group)
    inode_size = u16(0x58) if u32(0x4C) >= 1 else 128
    _require(
        128 <= inode_size <= block_size and not inode_size & (inode_size - 1), f"its inodes have {inode_size} bytes"
    )
    inodes_per_group, inodes_count = u32(0x28), u32(0)
    _require(0 < inodes_per_group <= 8 * block_size, f"it has {inodes_per_group} inodes in a group")
    _require(ROOT_INODE < inodes_count <= inodes_per_group * group_count, f"it has {inodes_count} inodes")
    descriptor_size = u16(0xFE) if wide and u16(0xFE) else 32
    _require(
        32 <= descriptor_size <= min(1024, block_size) and not descriptor_size & (descriptor_size - 1),
        f"its group descriptors have {descriptor_size} bytes",
    )
    return Superblock(
        inodes_count=inodes_count,
        blocks_count=blocks_count,
        free_blocks=free_blocks,
        free_inodes=u32(0x10),
        first_data_block=first_data_block,
        block_size=block_size,
        blocks_per_group=per_group,
        inodes_per_group=inodes_per_group,
        mount_time=u32(0x2C) | data[0x275] << 32,
        mount_count=u16(0x34),
        state=u16(0x3A),
        inode_size=inode_size,
        features=features,
        uuid=format_uuid(data[0x68:0x78]),
        label=data[0x78:0x88].partition(b"\0")[0].decode(errors="surrogateescape"),
        descriptor_size=descriptor_size,
        first_meta_group=u32(0x104),
        backup_groups=(u32(0x24C), u32(0x250)),
        group_count=group_count,
        reserved_descriptor_blocks=u16(0xCE) if "resize_inode" in features else 0,
        error_count=u32(0x194),
        last_orphan=u32(0xE8),
    )


def _require(right: bool, claim: str) -> None:
    if not right:
        raise ImageDamaged(f"the ext4 superblock cannot be right: {claim}")


def _read_features(compatible: int, incompatible: int, read_only: int, *, dynamic: bool) -> frozenset[str]:
    """Name the feature bits as e2fsprogs does; raises :class:`ImageDamaged` for what this reader cannot follow."""
    if not dynamic:  # revision 0 has no feature fields
        return frozenset()
    names = set()
    for value, table in ((compatible, _COMPATIBLE), (incompatible, _INCOMPATIBLE), (read_only, _READ_ONLY_COMPATIBLE)):
        for bit in (1 << position for position in range(32)):
            if not value & bit:
                continue
            if bit not in table and table is _INCOMPATIBLE:
                raise ImageDamaged(f"the ext4 filesystem uses feature {bit:#x}, which cannot be read")
            names.add(table.get(bit, f"{bit:#x}"))
    for name in _REFUSED:
        if name in names:
            raise ImageDamaged(f"the ext4 filesystem uses {name}, which cannot be read")
    return frozenset(names)


class InodeTable:
    """Finds and reads inodes by number."""

    def __init__(self, window: Readable, superblock: Superblock) -> None:
        self._cache = CachedReader(window)
        self._super = superblock
        self._tables: dict[int, int] = {}

    def read(self, number: int) -> Inode:
        """Return inode ``number``; raises :class:`ImageDamaged` when there is no such inode or its place is wrong."""
        block = self._super
        if not 1 <= number <= block.inodes_count:
            raise ImageDamaged(f"inode {number} is asked for; the filesystem has {block.inodes_count}")
        group, index = divmod(number - 1, block.inodes_per_group)
        table = self._tables.get(group)
        if table is None:
            table = self._tables[group] = self._locate_table(group)
        raw = self._cache.read(table + index * block.inode_size, block.inode_size)
        mode, uid, low, mtime, gid, flags, blocks, acl, high, acl_high, uid_high, gid_high = _INODE.unpack_from(raw)
        # size_high was i_dir_acl before large_dir; only a regular file of revision 0 has no upper half.
        size = low | (high << 32 if mode & 0xF000 == 0x8000 or "large_dir" in block.features else 0)
        if mtime & 0x80000000:
            mtime -= 1 << 32
        if block.inode_size > 128 and int.from_bytes(raw[0x80:0x82], "little") >= 12:
            mtime += (raw[0x88] & 3) << 32  # two epoch bits below the nanoseconds
        return Inode(
            number,
            mode,
            uid | uid_high << 16,
            gid | gid_high << 16,
            size,
            mtime,
            flags,
            blocks,
            acl | acl_high << 32,
            raw,
        )

    def _locate_table(self, group: int) -> int:
        """Return the byte at which a group's inode table begins."""
        block = self._super
        raw = self._cache.read(locate_descriptor(block, group), block.descriptor_size)
        first = int.from_bytes(raw[0x8:0xC], "little")
        if block.descriptor_size >= 64:
            first |= int.from_bytes(raw[0x28:0x2C], "little") << 32
        length = -(-block.inodes_per_group * block.inode_size // block.block_size)
        if first <= block.first_data_block or first + length > block.blocks_count:
            raise ImageDamaged(f"the inode table of group {group} is said to be at block {first}, where it cannot be")
        return first * block.block_size


def locate_descriptor(block: Superblock, group: int) -> int:
    """Return the byte at which a group's descriptor is: in one table, or with ``meta_bg`` spread over groups."""
    in_block = block.block_size // block.descriptor_size
    table, index = divmod(group, in_block)
    # The superblock is in block 1 when blocks have 1 KiB; with bigalloc that is so although data begins at block 0.
    home = 1 if block.block_size == 1024 else 0
    place = home + 1 + table
    if "meta_bg" in block.features and table >= block.first_meta_group:
        first = table * in_block
        if first:
            place = block.first_data_block + first * block.blocks_per_group + has_super(block, first)
    if place >= block.blocks_count:
        raise ImageDamaged(f"the descriptor of group {group} would be at block {place}, past the end")
    return place * block.block_size + index * block.descriptor_size


def has_super(block: Superblock, group: int) -> bool:
    """Say whether a group begins with a superblock (sparse_super: groups 0, 1 and powers of 3, 5, 7)."""
    if group == 0:
        return True
    if "sparse_super2" in block.features:
        return group in block.backup_groups
    if group == 1 or "sparse_super" not in block.features:
        return True
    for factor in (3, 5, 7):
        power = factor
        while power < group:
            power *= factor
        if power == group:
            return True
    return False
