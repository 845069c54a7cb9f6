"""Partition tables written by sfdisk, whole and then damaged in every way that is reported."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.partitions.gpt import NoPartitionTable, PartitionTable, read_gpt
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged
from imagekit.host.local import run

SECTORS = 16384
SCRIPT = b"""label: gpt
label-id: 15E2AF0D-F204-5C08-83D1-C71248436BA7
start=2048, size=4096, type=U, name="ESP", attrs="RequiredPartition"
start=6144, size=2048, type=L, name="r\xc3\xb6\xc3\xb6t", uuid=E9D42310-7B9B-5BF8-99FC-81B1C7126148
start=8192, size=2048, type=S
"""


@pytest.fixture(scope="module")
def disk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a disk of 8 MiB with three partitions; number 2 is deleted, so that the numbers have a gap."""
    path = tmp_path_factory.mktemp("gpt") / "disk.raw"
    path.touch()
    os.truncate(path, SECTORS * 512)
    run(["sfdisk", "-q", os.fspath(path)], stdin=SCRIPT)
    return path


@pytest.fixture
def data(disk_file: Path) -> bytearray:
    """Return the disk's bytes, to be damaged."""
    return bytearray(disk_file.read_bytes())


@pytest.fixture
def read(memory: Callable[[bytes], Readable]) -> Callable[[bytearray], PartitionTable]:
    """Return a function that reads the table on damaged bytes."""
    return lambda content: read_gpt(memory(bytes(content)))


def seal(data: bytearray, *lbas: int) -> None:
    """Make the checksums of the headers at ``lbas`` right again, entries included."""
    for lba in lbas:
        at = lba * 512
        array, count, size = struct.unpack_from("<QII", data, at + 72)
        struct.pack_into("<I", data, at + 88, zlib.crc32(data[array * 512 : array * 512 + count * size]))
        struct.pack_into("<I", data, at + 16, 0)
        struct.pack_into("<I", data, at + 16, zlib.crc32(data[at : at + 92]))


def edit_entry(data: bytearray, index: int, first: int, last: int) -> None:
    """Move a partition in both copies of the table and make the checksums right."""
    for lba in (1, SECTORS - 1):
        array = struct.unpack_from("<Q", data, lba * 512 + 72)[0]
        struct.pack_into("<QQ", data, array * 512 + index * 128 + 32, first, last)
    seal(data, 1, SECTORS - 1)


def test_reads_what_sfdisk_wrote(disk_file: Path) -> None:
    """GUIDs, places, names and attributes are those that sfdisk shows, in bytes and sectors, and nothing is wrong."""
    shown = json.loads(run(["sfdisk", "--json", os.fspath(disk_file)]).output)["partitiontable"]
    with open_raw(disk_file) as disk:
        table = read_gpt(disk)
    assert table.problems == ()
    assert table.sector_size == 512
    assert table.disk_guid == shown["id"] == "15E2AF0D-F204-5C08-83D1-C71248436BA7"
    assert [part.number for part in table.partitions] == [1, 2, 3]
    for part, entry in zip(table.partitions, shown["partitions"], strict=True):
        assert (part.type_guid, part.guid) == (entry["type"], entry["uuid"])
        assert (part.offset, part.length) == (entry["start"] * 512, entry["size"] * 512)
        assert part.name == entry.get("name", "")
    assert [part.attributes for part in table.partitions] == [1, 0, 0]
    assert table.partitions[1].name == "rööt"


def test_numbers_may_have_gaps(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """A deleted entry keeps its number free."""
    for lba in (1, SECTORS - 1):
        array = struct.unpack_from("<Q", data, lba * 512 + 72)[0]
        data[array * 512 + 128 : array * 512 + 256] = bytes(128)
    seal(data, 1, SECTORS - 1)
    table = read(data)
    assert [part.number for part in table.partitions] == [1, 3]
    assert table.problems == ()


@pytest.mark.parametrize(
    ("at", "problem"),
    [
        (512 + 24, "the header is at sector 1 and says that it is at"),
        (512 + 60, "the header has a wrong checksum"),
        (1024 + 60, "the partition entries of the header have a wrong checksum"),
        ((SECTORS - 1) * 512 + 60, "the backup header has a wrong checksum"),
        ((SECTORS - 33) * 512 + 60, "the partition entries of the backup header have a wrong checksum"),
        ((SECTORS - 1) * 512, "the backup header is missing at sector 16383"),
        (512, "the header is missing at sector 1"),
        (510, "sector 0 has no protective MBR"),
        (446 + 4, "sector 0 has no protective MBR"),
    ],
)
def test_each_defect_is_named_and_the_table_still_read(
    at: int, problem: str, data: bytearray, read: Callable[[bytearray], PartitionTable], disk_file: Path
) -> None:
    """One wrong byte anywhere is reported, and the partitions come from the copy that is intact."""
    with open_raw(disk_file) as disk:
        right = read_gpt(disk)
    data[at] ^= 0xA5
    table = read(data)
    assert any(each.startswith(problem) for each in table.problems), table.problems
    assert table.partitions == right.partitions


def test_backup_not_in_the_last_sector(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """A disk that was made larger keeps its backup in the middle; firmware and partitioning tools complain."""
    table = read(data + bytes(1 << 20))
    assert table.problems == ("the backup header is at sector 16383, not in the last sector 18431",)


def test_backup_past_the_end(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """A disk that was cut lost its backup and perhaps partitions."""
    table = read(data[: 9000 * 512])
    assert "the backup header should be at sector 16383, past the end of the disk" in table.problems
    assert "partition 3 ends at sector 10239, past the disk's last 8999" in table.problems


def test_hybrid_mbr(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """A second entry beside the protective one is a hybrid MBR."""
    data[446 + 16 + 4] = 0x0C
    assert read(data).problems == ("sector 0 is a hybrid MBR: it lists partitions beside the protective entry",)


@pytest.mark.parametrize(
    ("first", "last", "problem"),
    [
        (5000, 6143, "partitions 1 and 3 overlap"),
        (2048, 12000, "partitions 1 and 3 overlap"),
        (8192, 1 << 40, "partition 3 ends at sector 1099511627776, past the disk's last 16383"),
        (8192, SECTORS - 5, "partition 3 lies outside the usable sectors"),
        (20, 40, "partition 3 lies outside the usable sectors"),
        (9000, 8999, "partition 3 ends at sector 8999, before it begins at 9000"),
        ((1 << 64) - 1, (1 << 64) - 1, "partition 3 ends at sector 18446744073709551615"),
    ],
)
def test_places_that_cannot_be_are_named(
    first: int, last: int, problem: str, data: bytearray, read: Callable[[bytearray], PartitionTable]
) -> None:
    """Overlaps, partitions past the end and outside the usable sectors, and reversed ones are reported."""
    edit_entry(data, 2, first, last)
    assert any(each.startswith(problem) for each in read(data).problems)


def test_two_partitions_with_one_guid(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """PARTUUID= could mean either."""
    for lba in (1, SECTORS - 1):
        array = struct.unpack_from("<Q", data, lba * 512 + 72)[0] * 512
        data[array + 16 : array + 32] = data[array + 128 + 16 : array + 128 + 32]
    seal(data, 1, SECTORS - 1)
    assert read(data).problems == ("partitions 1 and 2 have the same GUID E9D42310-7B9B-5BF8-99FC-81B1C7126148",)


def test_copies_that_differ(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """Two intact copies that say different things are reported; the first one counts."""
    array = struct.unpack_from("<Q", data, (SECTORS - 1) * 512 + 72)[0]
    struct.pack_into("<Q", data, array * 512 + 40, 7000)
    seal(data, SECTORS - 1)
    table = read(data)
    assert table.problems == ("the backup table differs from the first one",)
    assert table.partitions[0].last_lba == 6143


@pytest.mark.parametrize(
    ("at", "layout", "value", "sentence"),
    [
        (80, "<I", 0, "0 entries"),
        (80, "<I", 257, "257 entries"),
        (80, "<I", 0xFFFFFFFF, "4294967295 entries"),
        (84, "<I", 0, "entries of 0 bytes"),
        (84, "<I", 127, "entries of 127 bytes"),
        (84, "<I", 192, "entries of 192 bytes"),
        (84, "<I", 8192, "entries of 8192 bytes"),
        (72, "<Q", 0, "at sector 0"),
        (72, "<Q", 1 << 60, "where they cannot be"),
        (12, "<I", 91, "it has 91 bytes"),
        (12, "<I", 0xFFFFFFFF, "it has 4294967295 bytes"),
    ],
)
def test_unusable_copies_are_bounded(
    at: int, layout: str, value: int, sentence: str, data: bytearray, read: Callable[[bytearray], PartitionTable]
) -> None:
    """Numbers out of bounds make a copy unusable; when both are, the table is damage, not absent."""
    struct.pack_into(layout, data, 512 + at, value)
    assert any(sentence in problem for problem in read(data).problems)
    struct.pack_into(layout, data, (SECTORS - 1) * 512 + at, value)
    with pytest.raises(ImageDamaged, match="cannot be used") as caught:
        read(data)
    assert not isinstance(caught.value, NoPartitionTable)


def test_disk_without_a_table(read: Callable[[bytearray], PartitionTable]) -> None:
    """Zeros, a disk too small for a table, and one for 4096-byte sectors have no table, each with its sentence."""
    with pytest.raises(NoPartitionTable, match="no GPT"):
        read(bytearray(1 << 20))
    with pytest.raises(NoPartitionTable, match="too small"):
        read(bytearray(1024))
    large = bytearray(1 << 20)
    large[4096:4104] = b"EFI PART"
    with pytest.raises(NoPartitionTable, match="4096-byte sectors"):
        read(large)
