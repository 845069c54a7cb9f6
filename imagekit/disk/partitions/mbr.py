"""The partition table of an MBR: four primary entries and a chain of logical partitions.

There is no standard; Linux (block/partitions/msdos.c) and libfdisk (dos.c) are the measure: offsets 440 (signature),
446 (entries) and 510 (0x55AA); types 0x05, 0x0F and 0x85 hold a chain of extended boot records, in each of which the
first entry counts from that record and the link counts from the beginning of the extended partition.
"""

import struct
from dataclasses import dataclass

from imagekit.disk.partitions.gpt import (
    SECTOR,
    NoPartitionTable,
    Partition,
    PartitionTable,
    Scheme,
    has_boot_code,
    note_overlaps,
)
from imagekit.disk.probe import FilesystemKind, probe_filesystem
from imagekit.disk.window import Readable

_ENTRY = struct.Struct("<B3xB3xII")  # flag, type, first sector, number of sectors
_EXTENDED = (0x05, 0x0F, 0x85)
_PROTECTIVE = 0xEE
_ACTIVE = 0x80
_MAX_LOGICAL = 64


@dataclass(frozen=True, slots=True)
class _Entry:
    number: int  # 1 to 4, its place in the sector
    flag: int
    type: int
    first: int
    count: int


def read_mbr(disk: Readable) -> PartitionTable:
    """Read the MBR of ``disk`` (512-byte sectors): partitions 1 to 4 without the extended one, and 5 and up.

    An entry that ends past the disk is returned with a sentence in ``problems``; a chain that cannot be followed ends
    there. Raises :class:`NoPartitionTable` when sector 0 has no table, an empty one, or only the protective entry of a
    GPT that is gone.
    """
    if disk.size < 2 * SECTOR:
        raise NoPartitionTable(f"a disk of {disk.size} bytes is too small for a partition table")
    sector = disk.read(0, SECTOR)
    entries = _read_entries(sector)
    if not entries or not _is_table(disk, sector, entries):
        raise NoPartitionTable("the disk has no MBR partition table")
    if all(entry.type == _PROTECTIVE for entry in entries):
        raise NoPartitionTable("sector 0 is a protective MBR, and the GPT that it protects is missing")
    problems: list[str] = []
    signature = int.from_bytes(sector[440:444], "little")
    own = [(0, SECTOR)]
    primary, partitions = [], []
    for entry in entries:
        if entry.type == _PROTECTIVE:
            problems.append(f"partition {entry.number} protects a GPT, and there is none")
            continue
        partition = _make_partition(entry, entry.number, entry.first, signature)
        primary.append(partition)
        if entry.type not in _EXTENDED:
            partitions.append(partition)
    _check_primary(primary, disk, problems)
    for box in (each for each in primary if each.mbr_type in _EXTENDED):
        partitions += _read_chain(disk, box, signature, 5 + sum(each.number > 4 for each in partitions), own, problems)
    note_overlaps(tuple(partitions), problems)
    active = sum(bool(each.attributes & _ACTIVE) for each in primary)
    if active != 1:
        problems.append("no partition is marked as bootable" if active == 0 else f"{active} partitions are bootable")
    return PartitionTable(
        f"{signature:08X}",
        tuple(sorted(partitions, key=lambda each: each.number)),
        tuple(dict.fromkeys(problems)),
        scheme=Scheme.MBR,
        own_ranges=tuple(sorted(set(own))),
        has_boot_code=has_boot_code(sector),
    )


def _read_entries(sector: bytes) -> list[_Entry]:
    """Return the used entries of a boot record; none when it has no signature."""
    if sector[510:] != b"\x55\xaa":
        return []
    entries = [_Entry(index + 1, *_ENTRY.unpack_from(sector, 446 + 16 * index)) for index in range(4)]
    return [entry for entry in entries if entry.type != 0 and entry.count != 0]


def _is_table(disk: Readable, sector: bytes, entries: list[_Entry]) -> bool:
    """Tell a table from the boot sector of a FAT or NTFS that fills the disk: its entries are text or code."""
    if any(sector[446 + 16 * index] not in (0, _ACTIVE) for index in range(4)):
        return False
    if sector[3:11] in (b"NTFS    ", b"EXFAT   ") or probe_filesystem(disk) is FilesystemKind.VFAT:
        return all(0 < entry.first < entry.first + entry.count <= disk.size // SECTOR for entry in entries)
    return all(entry.first > 0 for entry in entries)


def _make_partition(entry: _Entry, number: int, first: int, signature: int) -> Partition:
    guid = f"{signature:08X}-{number:02X}"
    return Partition(number, "", guid, first, first + entry.count - 1, "", entry.flag, entry.type)


def _check_primary(primary: list[Partition], disk: Readable, problems: list[str]) -> None:
    for part in primary:
        _check_end(part, disk, problems)
    note_overlaps(tuple(primary), problems)
    if sum(part.mbr_type in _EXTENDED for part in primary) > 1:
        problems.append("there is more than one extended partition")


def _check_end(part: Partition, disk: Readable, problems: list[str]) -> None:
    last = disk.size // SECTOR - 1
    if part.last_lba > last:
        problems.append(f"partition {part.number} ends at sector {part.last_lba}, past the disk's last {last}")


def _read_chain(
    disk: Readable, box: Partition, signature: int, number: int, own: list[tuple[int, int]], problems: list[str]
) -> list[Partition]:
    """Follow the extended boot records of ``box``; ``own`` gets the places of those that were read."""
    found: list[Partition] = []
    at = box.first_lba
    seen: set[int] = set()
    while len(seen) < _MAX_LOGICAL:
        if at in seen:
            problems.append(f"the chain of logical partitions comes back to sector {at}")
            return found
        if not box.first_lba <= at <= box.last_lba or (at + 1) * SECTOR > disk.size:
            problems.append(f"the chain of logical partitions leads to sector {at}, outside of partition {box.number}")
            return found
        seen.add(at)
        sector = disk.read(at * SECTOR, SECTOR)
        if sector[510:] != b"\x55\xaa":
            problems.append(f"the chain of logical partitions leads to sector {at}, which is no boot record")
            return found
        own.append((at * SECTOR, SECTOR))
        entries = [entry for entry in _read_entries(sector) if entry.number <= 2]
        for entry in entries:
            if entry.type not in _EXTENDED:
                part = _make_partition(entry, number + len(found), at + entry.first, signature)
                _check_end(part, disk, problems)
                if part.first_lba <= at or part.last_lba > box.last_lba:
                    problems.append(f"partition {part.number} is not inside the extended partition {box.number}")
                found.append(part)
        link = next((entry for entry in entries if entry.type in _EXTENDED), None)
        if link is None:
            return found
        at = box.first_lba + link.first
    problems.append(f"there are more than {_MAX_LOGICAL} logical partitions; the rest is not read")
    return found
