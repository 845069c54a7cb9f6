"""Which clusters of a FAT filesystem are free, by its first table (entry 0; FAT32's upper four bits do not count)."""

from collections.abc import Iterator

from imagekit.disk.fat.layout import BootSector
from imagekit.disk.runs import Range, find_zero_bytes
from imagekit.disk.window import Readable

_LOW_NIBBLE = bytes(value & 0x0F for value in range(256))
_HIGH_NIBBLE = bytes(value & 0xF0 for value in range(256))
_IS_USED = bytes([0] + [1] * 255)


def find_free_clusters(window: Readable, boot: BootSector) -> Iterator[Range]:
    """Yield offset and length of free space in bytes, rising; nothing when a FAT32 does not mirror its tables.

    Raises :class:`imagekit.errors.ImageDamaged` when the table is larger than anything that is read at once.
    """
    if boot.bits == 32 and window.read(40, 1)[0] & 0x80:  # BPB_ExtFlags: another table may be the active one
        return
    entries = boot.clusters + 2
    table = window.read(boot.fat_offset, -(-entries * boot.bits // 8))
    used = _mark_used(table, boot.bits)[2:entries]
    size = boot.cluster_size
    for first, count in find_zero_bytes(used):
        yield boot.data_offset + first * size, count * size


def _mark_used(table: bytes, bits: int) -> bytes:
    """Return a byte for each entry: 0 when it is free, else 1."""
    match bits:
        case 12:  # three bytes hold two entries
            padded = table + bytes(-len(table) % 3)
            low, middle, high = padded[0::3], padded[1::3], padded[2::3]
            marks = bytearray(2 * len(low))
            marks[0::2] = _join(low, middle.translate(_LOW_NIBBLE))
            marks[1::2] = _join(middle.translate(_HIGH_NIBBLE), high)
            return bytes(marks).translate(_IS_USED)
        case 16:
            return _join(table[0::2], table[1::2]).translate(_IS_USED)
        case _:
            joined = _join(table[0::4], table[1::4], table[2::4], table[3::4].translate(_LOW_NIBBLE))
            return joined.translate(_IS_USED)


def _join(*parts: bytes) -> bytes:
    """Return the parts combined by OR, byte for byte; all have the same length."""
    number = 0
    for part in parts:
        number |= int.from_bytes(part, "little")
    return number.to_bytes(len(parts[0]), "little")
