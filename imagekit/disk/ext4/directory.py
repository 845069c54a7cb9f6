"""Directory blocks of ext4, read linearly: the hash tree of a large directory looks like unused entries to this."""

import struct
from collections.abc import Iterator

from imagekit.errors import ImageDamaged

_ENTRY = struct.Struct("<IHB")


def read_entries(block: bytes, number: int) -> Iterator[tuple[str, int]]:
    """Yield name and inode of the used entries in one block of directory ``number``, without ``.`` and ``..``.

    Raises :class:`ImageDamaged` for an entry shorter than 8 bytes, one that leaves the block, and for a name that
    contains a slash or NUL (ext4 documentation, "Directory Entries").
    """
    position, size = 0, len(block)
    while position < size:
        if position + 8 > size:
            raise ImageDamaged(f"directory {number} has an entry that is cut off")
        inode, length, name_length = _ENTRY.unpack_from(block, position)
        if size == 65536 and length in (0, 65535):  # the length of a whole 64 KiB block does not fit 16 bits
            length = 65536
        if length < 8 or length & 3 or position + length > size:
            raise ImageDamaged(f"directory {number} has an entry of {length} bytes at {position} of {size}")
        if inode:
            if name_length == 0 or 8 + name_length > length:
                raise ImageDamaged(f"directory {number} has a name of {name_length} bytes in an entry of {length}")
            name = block[position + 8 : position + 8 + name_length]
            if b"/" in name or b"\0" in name:
                raise ImageDamaged(f"directory {number} has a name that contains a slash or NUL")
            if name != b"." and name != b"..":
                yield name.decode(errors="surrogateescape"), inode
        position += length
