"""XFS's superblock and its log, as far as facts about the filesystem need them; big-endian throughout.

Source: *XFS Algorithms & Data Structures*, 3rd edition (Superblocks; Journaling Log), and ``xfs_format.h`` and
``xfs_log_format.h`` in ``fs/xfs/libxfs`` of Linux.
"""

import struct
from dataclasses import dataclass

from imagekit.disk.cache import CachedReader
from imagekit.disk.guid import format_uuid
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

# Magic, block size, data, realtime blocks and extents, UUID, log start; then what follows the inode numbers.
_START = struct.Struct(">4sIQQQ16sQ")
_GEOMETRY = struct.Struct(">IIIIHHHH12s")  # at 84
_COUNTS = struct.Struct(">QQQ")  # at 128: inodes, free inodes, free blocks
_FEATURES = struct.Struct(">III")  # at 208: compatible, read-only compatible, incompatible
_INCOMPATIBLE = (
    "ftype", "sparse-inodes", "meta-uuid", "bigtime", "needs-repair", "nrext64", "exchange-range", "parent",
    "metadir", "zoned", "zone-gaps",
)  # fmt: skip
# What changes nothing for a reader, or is known to be read right; a bit beyond them is refused.
_READ = 0xFF
_READ_ONLY = ("finobt", "rmapbt", "reflink", "inobtcount")
_LOG_MAGIC = b"\xfe\xed\xba\xbe"
_SECTOR = 512
_LONGEST_RECORD = 1024  # sectors; a record buffer has at most 256 KiB, and headers of its own
_UNMOUNT = 0x20


@dataclass(frozen=True, slots=True)
class XfsSuperblock:
    """The facts; counts are in blocks and inodes, ``log_offset`` and ``log_length`` in bytes (0: a log elsewhere)."""

    block_size: int
    block_count: int
    free_blocks: int
    inode_count: int
    free_inodes: int
    uuid: str
    label: str
    features: frozenset[str]
    log_offset: int
    log_length: int


def read_xfs_superblock(window: Readable) -> XfsSuperblock:
    """Read the first superblock; raises :class:`ImageDamaged` when its numbers cannot be right."""
    if window.size < _SECTOR:
        raise ImageDamaged(f"{window.size} bytes cannot hold an XFS filesystem")
    data = window.read(0, _SECTOR)
    magic, block_size, blocks, realtime, _, identity, log_start = _START.unpack_from(data)
    group_blocks, groups, _, log_blocks, version, sector, inode_size, _, label = _GEOMETRY.unpack_from(data, 84)
    if magic != b"XFSB" or version & 0xF not in (4, 5):
        raise ImageDamaged("the XFS superblock has no magic number or an unknown version")
    if not 512 <= block_size <= 65536 or block_size & (block_size - 1) or block_size != 1 << data[120]:
        raise ImageDamaged(f"the XFS superblock announces blocks of {block_size} bytes")
    if not 512 <= sector <= 32768 or sector & (sector - 1) or not 256 <= inode_size <= 2048:
        raise ImageDamaged(f"the XFS superblock announces sectors of {sector} and inodes of {inode_size} bytes")
    if blocks == 0 or blocks * block_size > window.size:
        raise ImageDamaged(f"XFS claims {blocks} blocks of {block_size} bytes in {window.size} bytes")
    if not group_blocks or not groups or not (groups - 1) * group_blocks < blocks <= groups * group_blocks:
        raise ImageDamaged(f"XFS claims {groups} groups of {group_blocks} blocks for {blocks} blocks")
    if data[126]:
        raise ImageDamaged("mkfs.xfs did not finish this filesystem")
    inodes, free_inodes, free_blocks = _COUNTS.unpack_from(data, 128)
    if free_blocks > blocks:
        raise ImageDamaged(f"XFS claims {free_blocks} free blocks of {blocks}")
    group, block = divmod(log_start, 1 << min(data[124], 63))
    log_offset = (group * group_blocks + block) * block_size if log_start else 0
    log_length = log_blocks * block_size if log_start else 0
    if log_offset + log_length > blocks * block_size:
        raise ImageDamaged("XFS places its log outside itself")
    return XfsSuperblock(
        block_size,
        blocks,
        free_blocks,
        inodes,
        free_inodes,
        format_uuid(identity),
        label.partition(b"\0")[0].decode(errors="surrogateescape"),
        _list_features(version, data, realtime),
        log_offset,
        log_length,
    )


def _list_features(version: int, data: bytes, realtime: int) -> frozenset[str]:
    """Return the features' names, unknown ones by their bit; ``realtime`` for files on another device."""
    names = {"v5" if version & 0xF == 5 else "v4"}
    if realtime:
        names.add("realtime")
    if version & 0xF == 5:
        _, read_only, incompatible = _FEATURES.unpack_from(data, 208)
        names.update(name for bit, name in enumerate(_READ_ONLY) if read_only >> bit & 1)
        for bit in range(32):
            if incompatible >> bit & 1:
                names.add(_INCOMPATIBLE[bit] if bit < len(_INCOMPATIBLE) else f"incompatible-{bit}")
    return frozenset(names)


def find_unread_features(superblock: XfsSuperblock) -> tuple[str, ...]:
    """Return the names of features with which files would be read wrong."""
    read = {name for bit, name in enumerate(_INCOMPATIBLE) if _READ >> bit & 1}
    return tuple(sorted(superblock.features - read - {"v4", "v5", *_READ_ONLY}))


def is_log_clean(window: Readable, superblock: XfsSuperblock) -> bool | None:
    """Say whether the log ends with an unmount record, so that nothing waits in it; ``None`` for a log elsewhere.

    As in Linux (``xlog_find_head``), every sector of the log begins with the number of the round in which it was
    written, so the end is found by halving. Raises :class:`ImageDamaged` when the rounds contradict each other.
    """
    if not superblock.log_length:
        return None
    reader = CachedReader(window, piece=4096)
    count = superblock.log_length // _SECTOR

    def sector(number: int) -> bytes:
        return reader.read(superblock.log_offset + number % count * _SECTOR, _SECTOR)

    def round_of(number: int) -> int:
        data = sector(number)
        return int.from_bytes(data[4:8] if data[:4] == _LOG_MAGIC else data[:4])

    first, last = round_of(0), round_of(count - 1)
    if first == 0:
        return True  # never written
    if last not in (0, first - 1, first):
        raise ImageDamaged(f"the XFS log begins in round {first} and ends in round {last}")
    low, head = 0, count
    if last != first:
        head -= 1
        while head - low > 1:
            middle = (low + head) // 2
            low, head = (middle, head) if round_of(middle) == first else (low, middle)
    wrapped = last != 0
    for back in range(1, min(_LONGEST_RECORD, count if wrapped else head) + 1):
        header = sector(head - back)
        if header[:4] == _LOG_MAGIC:
            return _is_unmount(header, sector(head - back + _count_header_sectors(header)))
    return False


def _count_header_sectors(header: bytes) -> int:
    """Return how many sectors a record's headers have: one for each 32 KiB of the buffer, from version 2 on."""
    version, buffer = int.from_bytes(header[8:12]), int.from_bytes(header[320:324])
    return max(1, min(-(-buffer // 32768), 8)) if version & 2 else 1


def _is_unmount(header: bytes, body: bytes) -> bool:
    """Say whether a record holds one operation and that is the unmount's (its flags are at byte 9 of the body)."""
    return int.from_bytes(header[40:44]) == 1 and bool(body[9] & _UNMOUNT)
