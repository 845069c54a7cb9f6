"""The one number in a new ext4 filesystem that differs from run to run: how much was ever written to it.

mke2fs counts its own writes into every superblock (``s_kbytes_written``), and how many it needs depends on where the
root's files have holes on this machine's disk. Nothing else of two runs differs, so the count is set to where mke2fs
begins it (kernel documentation, "ext4 Data Structures and Algorithms", Super Block; sizes below in bytes).
"""

import struct
from pathlib import Path
from typing import BinaryIO

from imagekit.build.layout import DiskLayout
from imagekit.errors import ToolFailed

_SUPERBLOCK_BYTES = 1024
_MAGIC = 0xEF53
_METADATA_CSUM = 0x400
_BEGIN = 1


def reset_write_counter(disk: Path, layout: DiskLayout) -> None:
    """Set the count in the superblock and its copies to 1 KiB, with their checksums.

    Raises :class:`ToolFailed` when a superblock is not where the first one says.
    """
    with disk.open("r+b") as file:
        first = _read_superblock(file, layout.root_offset + _SUPERBLOCK_BYTES, 0)
        block = 1024 << struct.unpack_from("<I", first, 0x18)[0]
        count = struct.unpack_from("<I", first, 0x04)[0]
        in_group = struct.unpack_from("<I", first, 0x20)[0]
        for group in _list_copies(-(-count // in_group)):
            begin = layout.root_offset + (group * in_group * block if group else _SUPERBLOCK_BYTES)
            superblock = bytearray(_read_superblock(file, begin, group))
            struct.pack_into("<Q", superblock, 0x178, _BEGIN)
            if struct.unpack_from("<I", superblock, 0x64)[0] & _METADATA_CSUM:
                struct.pack_into("<I", superblock, 0x3FC, compute_crc32c(bytes(superblock[:0x3FC])))
            file.seek(begin)
            file.write(superblock)


def _read_superblock(file: BinaryIO, offset: int, group: int) -> bytes:
    file.seek(offset)
    data = file.read(_SUPERBLOCK_BYTES)
    if len(data) < _SUPERBLOCK_BYTES or struct.unpack_from("<H", data, 0x38)[0] != _MAGIC:
        raise ToolFailed(f"mke2fs left no superblock in group {group}")
    return data


def _list_copies(groups: int) -> list[int]:
    """Return the groups with a superblock by the rule sparse_super: 0, 1 and the powers of 3, 5 and 7."""
    found = {0, 1}
    for root in (3, 5, 7):
        power = root
        while power < groups:
            found.add(power)
            power *= root
    return sorted(group for group in found if group < groups)


def compute_crc32c(data: bytes) -> int:
    """Return ext4's checksum: CRC-32C (RFC 3720, appendix B.4) begun with all ones and not inverted at the end."""
    remainder = 0xFFFFFFFF
    for byte in data:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder
