"""What each byte of a whole disk is good for: data, zeros, or nothing that anybody will miss.

The map has no gaps and rises. Where it is not certain that a range is free, it is data: an unknown or damaged
filesystem, one that was not unmounted in order, what lies before the first partition (boot loaders without a partition
of their own live there: GRUB behind an MBR, U-Boot on a card), and the rest of a partition behind its filesystem.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import NamedTuple

from imagekit.disk.containers.open import Disk
from imagekit.disk.partitions.gpt import NoPartitionTable, PartitionTable
from imagekit.disk.partitions.table import read_partition_table
from imagekit.disk.probe import FilesystemKind, probe_filesystem
from imagekit.disk.runs import Range, intersect, merge, subtract
from imagekit.disk.window import Readable, Window
from imagekit.errors import ImageDamaged

_SWAP_HEADER = 64 << 10  # mkswap(8) writes one page, and a page has at most 64 KiB


class Use(StrEnum):
    """What a range is good for."""

    DATA = "data"  # must be kept as it is
    ZERO = "zero"  # must be kept and reads as zeros: a hole of the image file
    FREE = "free"  # belongs to no file and no structure: any content will do


class Extent(NamedTuple):
    """A range of the disk in bytes; a tuple, since there may be tens of thousands and dataclasses are slower."""

    offset: int
    length: int
    use: Use


class FreeRange(NamedTuple):
    """Free space in bytes; ``partition`` is its number, 0 for the whole disk as one filesystem, ``None`` outside."""

    offset: int
    length: int
    partition: int | None


def map_disk(disk: Disk) -> tuple[Extent, ...]:
    """Return the map of ``disk``; neighbours differ in use, and the lengths add up to the disk's size.

    Reads tables and bitmaps only: a few megabytes for a disk of any size. Damage never raises; it makes data.
    """
    free = list(merge(each[:2] for each in list_free_ranges(disk)))
    kept = list(subtract([(0, disk.size)], free))
    written = list(merge(intersect(kept, merge(disk.data_ranges()))))
    extents = [Extent(offset, length, Use.FREE) for offset, length in free]
    extents += [Extent(offset, length, Use.DATA) for offset, length in written]
    extents += [Extent(offset, length, Use.ZERO) for offset, length in subtract(kept, written)]
    return tuple(sorted(extents))


def list_free_ranges(disk: Readable) -> tuple[FreeRange, ...]:
    """Return the free ranges of a whole disk, rising; none where the table or a filesystem cannot be believed."""
    try:
        table = read_partition_table(disk)
    except NoPartitionTable:
        return tuple(FreeRange(offset, length, 0) for offset, length in find_free_space(disk))
    except ImageDamaged:
        return ()
    places = [(part.offset, part.length) for part in table.partitions]
    if not places or sum(length for _, length in places) != sum(length for _, length in merge(sorted(places))):
        return ()  # partitions that overlap: which of them is right is not known
    if any(offset + length > disk.size for offset, length in places):
        return ()
    found = [FreeRange(offset, length, None) for offset, length in _find_unallocated(disk, table)]
    for part in table.partitions:
        window = Window(disk, part.offset, part.length)
        base, number = part.offset, part.number
        found += [FreeRange(base + at, length, number) for at, length in find_free_space(window)]
    return tuple(sorted(found))


def find_free_space(window: Readable) -> tuple[Range, ...]:
    """Return the free ranges of one filesystem, relative to its beginning; none when it cannot be believed."""
    try:
        match probe_filesystem(window):
            case FilesystemKind.EXT4:
                from imagekit.disk.ext4.filesystem import open_ext4

                return tuple(open_ext4(window).free_ranges())
            case FilesystemKind.VFAT:
                from imagekit.disk.fat.filesystem import open_fat

                return tuple(open_fat(window).free_ranges())
            case FilesystemKind.SWAP if window.size > _SWAP_HEADER:
                return ((_SWAP_HEADER, window.size - _SWAP_HEADER),)
            case _:
                return ()
    except ImageDamaged:
        return ()


def _find_unallocated(disk: Readable, table: PartitionTable) -> Iterator[Range]:
    """Yield what lies between and behind the partitions and is not the table's own."""
    taken = sorted([*((part.offset, part.length) for part in table.partitions), *table.own_ranges])
    first = min(part.offset for part in table.partitions)
    return subtract([(first, disk.size - first)], list(merge(taken)))
