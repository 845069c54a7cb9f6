"""Extended attributes of ext4: in the inode's spare bytes and in one block of their own.

Source: the kernel's ext4 documentation, "Extended Attributes". Attributes carry capabilities, SELinux labels and the
second half of small files (``system.data``).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.disk.ext4.layout import Inode
from imagekit.errors import ImageDamaged

MAX_VALUE = 64 << 10
_MAGIC = 0xEA020000
_ENTRY = struct.Struct("<BBHIII")
_PREFIXES = {
    0: "",
    1: "user.",
    2: "system.posix_acl_access",
    3: "system.posix_acl_default",
    4: "trusted.",
    6: "security.",
    7: "system.",
    8: "system.richacl",
}


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its value, or the inode that holds a value too large for the block (``ea_inode``)."""

    name: str
    value: bytes
    value_inode: int
    size: int


def read_inode_attributes(inode: Inode) -> Iterator[Attribute]:
    """Yield the attributes kept in the inode itself; raises :class:`ImageDamaged` for one that leaves it."""
    if len(inode.raw) <= 128:
        return
    start = 128 + int.from_bytes(inode.raw[128:130], "little")
    if start % 4 or start + 4 > len(inode.raw):
        return
    if int.from_bytes(inode.raw[start : start + 4], "little") == _MAGIC:
        yield from _read_entries(inode.raw[start + 4 :], 0, inode.number)


def read_block_attributes(block: bytes, number: int) -> Iterator[Attribute]:
    """Yield the attributes of inode ``number`` that ``block`` holds."""
    if int.from_bytes(block[:4], "little") != _MAGIC:
        raise ImageDamaged(f"the attribute block of inode {number} is none")
    yield from _read_entries(block, 32, number)


def _read_entries(area: bytes, position: int, number: int) -> Iterator[Attribute]:
    """Read entries from ``position``; value offsets count from the beginning of ``area``."""
    while position + 4 <= len(area) and area[position : position + 4] != bytes(4):
        if position + 16 > len(area):
            raise ImageDamaged(f"an attribute of inode {number} is cut off")
        name_length, prefix, offset, value_inode, size, _ = _ENTRY.unpack_from(area, position)
        name_end = position + 16 + name_length
        if name_end > len(area) or (not value_inode and size and offset + size > len(area)):
            raise ImageDamaged(f"an attribute of inode {number} is outside its area")
        name = area[position + 16 : name_end].decode(errors="surrogateescape")
        value = b"" if value_inode else area[offset : offset + size]
        yield Attribute(_PREFIXES.get(prefix, f"{prefix}.") + name, value, value_inode, size)
        position = name_end + 3 & ~3
