"""The GUID partition table of a disk, both copies read and compared (UEFI specification 2.10, chapter 5).

What can be used is returned together with a list of every defect; only a table that cannot be used at all is an error.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import StrEnum

from imagekit.disk.guid import format_guid
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

SECTOR = 512
_SIGNATURE = b"EFI PART"
# Signature, revision, header size, header CRC, reserved, own LBA, other LBA, first and last usable LBA, disk GUID,
# LBA of the array, number and size of entries, CRC of the array.
_HEADER = struct.Struct("<8sIII4xQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_MAX_ENTRIES = 256
_EMPTY = bytes(16)


ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"  # UEFI 5.3.3, table 5.7
_ESP_MBR_TYPE = 0xEF  # UEFI 5.2.2


class NoPartitionTable(ImageDamaged):
    """The disk has no partition table of the kind that was looked for."""


class Scheme(StrEnum):
    """The kinds of partition table."""

    GPT = "gpt"
    MBR = "mbr"


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition: GUIDs are upper-case canonical text, ``first_lba`` to ``last_lba`` (inclusive) count sectors.

    A partition of an MBR has no GUIDs and no name: ``type_guid`` is empty, ``mbr_type`` the byte in its place, ``guid``
    the text that udev and the kernel make up for ``PARTUUID=`` (``SSSSSSSS-NN``, disk signature and number in hex), and
    ``attributes`` its flag byte, 0x80 for the active one.
    """

    number: int
    type_guid: str
    guid: str
    first_lba: int
    last_lba: int
    name: str
    attributes: int
    mbr_type: int | None = None

    @property
    def is_esp(self) -> bool:
        """Say whether firmware looks for loaders in it: the EFI system partition by its type."""
        return self.type_guid == ESP_TYPE if self.mbr_type is None else self.mbr_type == _ESP_MBR_TYPE

    @property
    def offset(self) -> int:
        """Return where it begins, in bytes."""
        return self.first_lba * SECTOR

    @property
    def length(self) -> int:
        """Return its size in bytes."""
        return (self.last_lba - self.first_lba + 1) * SECTOR


@dataclass(frozen=True, slots=True)
class PartitionTable:
    """What the table says, partitions sorted by number, and one sentence for each defect in ``problems``.

    ``disk_guid`` of an MBR is its signature, eight hexadecimal digits. ``own_ranges`` are the offset and length, in
    bytes, of what the table itself occupies. ``has_boot_code`` says whether a BIOS finds a program in sector 0 (the
    first 440 bytes are not all zero).
    """

    disk_guid: str
    partitions: tuple[Partition, ...]
    problems: tuple[str, ...]
    sector_size: int = SECTOR
    scheme: Scheme = Scheme.GPT
    own_ranges: tuple[tuple[int, int], ...] = ()
    has_boot_code: bool = False


@dataclass(frozen=True, slots=True)
class _Copy:
    """One of the two copies of the table, as far as its bytes can be trusted."""

    lba: int
    other_lba: int
    first_usable: int
    last_usable: int
    disk_guid: str
    array: int
    entry_size: int
    entries: bytes
    intact: bool


def read_gpt(disk: Readable) -> PartitionTable:
    """Read the partition table of ``disk`` (512-byte sectors).

    Raises :class:`NoPartitionTable` when there is none, :class:`ImageDamaged` when no copy of it can be used.
    """
    problems = _check_protective_mbr(disk)
    last = disk.size // SECTOR - 1
    primary = _try_copy(disk, 1, "the header", problems)
    at = last if primary is None or primary.other_lba > last else primary.other_lba
    if primary is not None and primary.other_lba > last:
        problems.append(f"the backup header should be at sector {primary.other_lba}, past the end of the disk")
    backup = _try_copy(disk, at, "the backup header", problems) if at > 1 else None
    if backup is None and at != last:
        backup = _try_copy(disk, last, "the header in the last sector", problems)
    if primary is None and backup is None:
        raise _explain_absence(disk, problems)
    if backup is not None and backup.lba != last:
        problems.append(f"the backup header is at sector {backup.lba}, not in the last sector {last}")
    chosen = next((copy for copy in (primary, backup) if copy is not None and copy.intact), primary or backup)
    assert chosen is not None
    if primary is not None and backup is not None:
        if (primary.disk_guid, primary.entries) != (backup.disk_guid, backup.entries):
            problems.append("the backup table differs from the first one")
        if backup.other_lba != primary.lba:
            problems.append(f"the backup header says that the first one is at sector {backup.other_lba}")
    partitions = _read_partitions(chosen, problems)
    _check_places(partitions, chosen, last, problems)
    return PartitionTable(
        chosen.disk_guid,
        partitions,
        tuple(dict.fromkeys(problems)),
        own_ranges=_list_own_ranges([copy for copy in (primary, backup) if copy is not None]),
        has_boot_code=has_boot_code(disk.read(0, SECTOR)),
    )


def has_boot_code(sector: bytes) -> bool:
    """Say whether sector 0 holds a program for a BIOS: its first 440 bytes are not all zero."""
    return any(sector[:440])


def _list_own_ranges(copies: list[_Copy]) -> tuple[tuple[int, int], ...]:
    """Return sector 0, the headers and the entries, by place; those of a copy that cannot be used are not known."""
    ranges = {(0, SECTOR)}
    for copy in copies:
        ranges |= {(copy.lba * SECTOR, SECTOR), (copy.array * SECTOR, -(-len(copy.entries) // SECTOR) * SECTOR)}
    return tuple(sorted(ranges))


def _check_protective_mbr(disk: Readable) -> list[str]:
    """Return what is wrong with sector 0 (UEFI 5.2.3: one entry of type 0xEE and nothing else)."""
    if disk.size < 3 * SECTOR:
        raise NoPartitionTable(f"a disk of {disk.size} bytes is too small for a partition table")
    sector = disk.read(0, SECTOR)
    kinds = [sector[446 + 16 * index + 4] for index in range(4)]
    if sector[510:] != b"\x55\xaa" or 0xEE not in kinds:
        return ["sector 0 has no protective MBR"]
    if any(kind not in (0, 0xEE) for kind in kinds):
        return ["sector 0 is a hybrid MBR: it lists partitions beside the protective entry"]
    return []


def _try_copy(disk: Readable, lba: int, name: str, problems: list[str]) -> _Copy | None:
    """Read the table whose header is at ``lba``; ``None`` with a sentence in ``problems`` when it cannot be used."""
    try:
        return _read_copy(disk, lba, name, problems)
    except ImageDamaged as damage:
        problems.append(damage.message)
        return None


def _read_copy(disk: Readable, lba: int, name: str, problems: list[str]) -> _Copy:
    if (lba + 1) * SECTOR > disk.size:
        raise ImageDamaged(f"{name} is missing: sector {lba} is past the end of the disk")
    sector = disk.read(lba * SECTOR, SECTOR)
    (signature, _, size, crc, own, other, first, last, guid, array, count, entry_size, array_crc) = _HEADER.unpack_from(
        sector
    )
    if signature != _SIGNATURE:
        raise ImageDamaged(f"{name} is missing at sector {lba}")
    intact = True
    if not _HEADER.size <= size <= SECTOR:
        raise ImageDamaged(f"{name} says that it has {size} bytes")
    if zlib.crc32(sector[:16] + bytes(4) + sector[20:size]) != crc:
        intact = _note(problems, f"{name} has a wrong checksum")
    if own != lba:
        intact = _note(problems, f"{name} is at sector {lba} and says that it is at {own}")
    if not 1 <= count <= _MAX_ENTRIES:
        raise ImageDamaged(f"{name} announces {count} entries; 1 to {_MAX_ENTRIES} are read")
    if not 128 <= entry_size <= 4096 or entry_size & (entry_size - 1):
        raise ImageDamaged(f"{name} announces entries of {entry_size} bytes")
    if array < 2 or array * SECTOR + count * entry_size > disk.size:
        raise ImageDamaged(f"{name} places the partition entries at sector {array}, where they cannot be")
    entries = disk.read(array * SECTOR, count * entry_size)
    if zlib.crc32(entries) != array_crc:
        intact = _note(problems, f"the partition entries of {name} have a wrong checksum")
    return _Copy(lba, other, first, last, format_guid(guid), array, entry_size, entries, intact)


def _note(problems: list[str], sentence: str) -> bool:
    problems.append(sentence)
    return False


def _explain_absence(disk: Readable, problems: list[str]) -> ImageDamaged:
    """Return the error for a disk on which neither copy can be used."""
    last = disk.size // SECTOR - 1
    if any(disk.read(lba * SECTOR, 8) == _SIGNATURE for lba in (1, last)):
        return ImageDamaged(f"the partition table cannot be used: {'; '.join(problems)}")
    if disk.size >= 8192 and disk.read(4096, 8) == _SIGNATURE:
        return NoPartitionTable("the partition table is for 4096-byte sectors; disks with 512-byte sectors are read")
    return NoPartitionTable("the disk has no GPT partition table")


def _read_partitions(copy: _Copy, problems: list[str]) -> tuple[Partition, ...]:
    """Return the used entries; one that ends before it begins is named in ``problems`` and left out."""
    partitions = []
    for index in range(len(copy.entries) // copy.entry_size):
        kind, guid, first, last, attributes, name = _ENTRY.unpack_from(copy.entries, index * copy.entry_size)
        if kind == _EMPTY:
            continue
        if first > last:
            problems.append(f"partition {index + 1} ends at sector {last}, before it begins at {first}")
            continue
        text = name.decode("utf-16-le", errors="replace").partition("\0")[0]
        partitions.append(Partition(index + 1, format_guid(kind), format_guid(guid), first, last, text, attributes))
    return tuple(partitions)


def _check_places(partitions: tuple[Partition, ...], copy: _Copy, last: int, problems: list[str]) -> None:
    """Note partitions past the end, outside the usable sectors, over one another, or with one GUID."""
    guids: dict[str, int] = {}
    for part in partitions:
        if part.last_lba > last:
            problems.append(f"partition {part.number} ends at sector {part.last_lba}, past the disk's last {last}")
        elif part.first_lba < copy.first_usable or part.last_lba > copy.last_usable:
            problems.append(
                f"partition {part.number} lies outside the usable sectors {copy.first_usable} to {copy.last_usable}"
            )
        if (twin := guids.setdefault(part.guid, part.number)) != part.number:
            problems.append(f"partitions {twin} and {part.number} have the same GUID {part.guid}")
    note_overlaps(partitions, problems)


def note_overlaps(partitions: tuple[Partition, ...], problems: list[str]) -> None:
    """Add a sentence to ``problems`` for each partition that begins before another one ends."""
    furthest: Partition | None = None
    for part in sorted(partitions, key=lambda each: each.first_lba):
        if furthest is not None and part.first_lba <= furthest.last_lba:
            problems.append(f"partitions {furthest.number} and {part.number} overlap")
        if furthest is None or part.last_lba > furthest.last_lba:
            furthest = part
