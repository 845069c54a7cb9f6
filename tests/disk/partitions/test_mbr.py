"""MBR partition tables written by sfdisk, read by a second program too, and then damaged."""

import json
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from dissect.volume.disk import Disk as SecondOpinion
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.partitions.gpt import NoPartitionTable, PartitionTable, Scheme
from imagekit.disk.partitions.mbr import read_mbr
from imagekit.disk.partitions.table import read_partition_table
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged
from imagekit.host.local import run

SECTORS = 65536
SCRIPT = b"""label: dos
label-id: 0x1a2b3c4d
start=2048, size=4096, type=c, bootable
start=6144, size=2048, type=83
start=8192, size=40960, type=5
start=49152, size=8192, type=82
start=10240, size=2048, type=83
start=14336, size=4096, type=ef
start=20480, size=2048, type=83
"""
EXTENDED, FIRST_ENTRY, SECOND_ENTRY = 8192, 446, 462


@pytest.fixture(scope="module")
def disk_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a disk of 32 MiB with three primary, one extended and three logical partitions."""
    path = tmp_path_factory.mktemp("mbr") / "disk.raw"
    path.touch()
    os.truncate(path, SECTORS * 512)
    run(["sfdisk", "-q", os.fspath(path)], stdin=SCRIPT)
    return path


@pytest.fixture(scope="module")
def disk_bytes(disk_file: Path) -> bytearray:
    """Return the beginning of the disk, of which every test leaves what it found."""
    return bytearray(disk_file.read_bytes()[: 20480 * 512])


@pytest.fixture
def data(disk_file: Path) -> bytearray:
    """Return the disk's bytes, to be damaged."""
    return bytearray(disk_file.read_bytes())


@pytest.fixture
def read(memory: Callable[[bytes], Readable]) -> Callable[[bytearray], PartitionTable]:
    """Return a function that reads the table on damaged bytes."""
    return lambda content: read_partition_table(memory(bytes(content)))


def set_entry(data: bytearray, at: int, *, flag: int = 0, type_: int = 0x83, first: int, count: int) -> None:
    """Write one 16-byte entry of a boot record."""
    data[at : at + 16] = struct.pack("<B3xB3xII", flag, type_, first, count)


def test_reads_what_sfdisk_wrote(disk_file: Path) -> None:
    """Numbers, types, places, flags and PARTUUIDs are those that sfdisk shows; the extended one is no partition."""
    shown = json.loads(run(["sfdisk", "--json", os.fspath(disk_file)]).output)["partitiontable"]
    with open_raw(disk_file) as disk:
        table = read_partition_table(disk)
    assert table.problems == ()
    assert table.scheme is Scheme.MBR
    assert f"0x{table.disk_guid.lower()}" == shown["id"]
    assert not table.has_boot_code
    entries = [entry for entry in shown["partitions"] if entry["type"] != "5"]
    for part, entry in zip(table.partitions, entries, strict=True):
        assert entry["node"] == f"{disk_file}{part.number}"
        assert (part.offset, part.length) == (entry["start"] * 512, entry["size"] * 512)
        assert part.mbr_type == int(entry["type"], 16)
        assert (part.attributes == 0x80) is entry.get("bootable", False)
        assert part.guid == f"1A2B3C4D-{part.number:02X}"
        assert (part.type_guid, part.name) == ("", "")
    assert [part.is_esp for part in table.partitions] == [False, False, False, False, True, False]


def test_agrees_with_a_second_reader(disk_file: Path) -> None:
    """dissect.volume sees the same partitions at the same places."""
    with disk_file.open("rb") as file:
        theirs = {
            (part.offset, part.size) for part in SecondOpinion(file).partitions if part.type not in (0x05, 0x0F, 0x85)
        }
    with open_raw(disk_file) as disk:
        assert {(part.offset, part.length) for part in read_partition_table(disk).partitions} == theirs


def test_names_the_sectors_of_its_own(disk_file: Path) -> None:
    """Sector 0 and every extended boot record belong to the table: zeroing anything else leaves it as it was."""
    with open_raw(disk_file) as disk:
        table = read_partition_table(disk)
        kept = {offset: disk.read(offset, length) for offset, length in table.own_ranges}
    assert len(kept) == 1 + 3
    content = bytearray(SECTORS * 512)
    for offset, sector in kept.items():
        content[offset : offset + len(sector)] = sector
    copy = disk_file.with_name("copy.raw")
    copy.write_bytes(content)
    with open_raw(copy) as disk:
        assert read_partition_table(disk) == table


def test_prefers_the_gpt(disk_file: Path, tmp_path: Path) -> None:
    """A disk with a GPT is read as one, whatever its protective MBR says."""
    path = tmp_path / "gpt.raw"
    path.touch()
    os.truncate(path, SECTORS * 512)
    run(["sfdisk", "-q", os.fspath(path)], stdin=b"label: gpt\nstart=2048, size=4096\n")
    with open_raw(path) as disk:
        table = read_partition_table(disk)
    assert table.scheme is Scheme.GPT
    assert table.own_ranges == (
        (0, 512),
        (512, 512),
        (1024, 16384),
        ((SECTORS - 33) * 512, 16384),
        ((SECTORS - 1) * 512, 512),
    )


def test_boot_code_is_seen(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """A program in the first 440 bytes is seen; the signature behind it is none."""
    data[439] = 0x90
    assert read(data).has_boot_code


def test_protective_mbr_alone_is_no_table(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """A protective entry without a GPT is not a disk with one partition."""
    for index in range(4):
        set_entry(data, FIRST_ENTRY + 16 * index, type_=0, first=0, count=0)
    set_entry(data, FIRST_ENTRY, type_=0xEE, first=1, count=SECTORS - 1)
    with pytest.raises(NoPartitionTable, match="protective MBR"):
        read(data)


@pytest.mark.parametrize("at", [510, 511])
def test_no_signature_no_table(data: bytearray, read: Callable[[bytearray], PartitionTable], at: int) -> None:
    """Without 0x55AA sector 0 is no boot record."""
    data[at] = 0
    with pytest.raises(NoPartitionTable):
        read(data)


def test_empty_table_is_none(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """A boot record without entries says nothing about the disk."""
    data[FIRST_ENTRY:510] = bytes(64)
    with pytest.raises(NoPartitionTable):
        read(data)


def test_tiny_disk(memory: Callable[[bytes], Readable]) -> None:
    """A disk of one sector has no table."""
    with pytest.raises(NoPartitionTable, match="too small"):
        read_mbr(memory(bytes(512)))


@pytest.mark.parametrize("size", ["1440K", "40M"])
def test_whole_disk_fat_is_no_table(tmp_path: Path, size: str) -> None:
    """A FAT filesystem from the first byte on has the same last two bytes and is no partition table."""
    path = tmp_path / "fat.raw"
    path.touch()
    run(["truncate", "-s", size, os.fspath(path)])
    run(["mkfs.fat", os.fspath(path)])
    with open_raw(path) as disk, pytest.raises(NoPartitionTable):
        read_partition_table(disk)


def test_boot_code_in_the_entries_is_no_table(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """Entries whose flag is neither 0 nor 0x80 are code or text of something else."""
    data[FIRST_ENTRY] = 0x42
    with pytest.raises(NoPartitionTable):
        read(data)


def damage_overlap(data: bytearray) -> None:
    """Make partition 2 begin inside partition 1."""
    set_entry(data, SECOND_ENTRY, first=4096, count=2048)


def damage_end(data: bytearray) -> None:
    """Make partition 4 end past the disk."""
    set_entry(data, FIRST_ENTRY + 48, first=49152, count=SECTORS)


def damage_flags(data: bytearray) -> None:
    """Take the only boot flag away."""
    data[FIRST_ENTRY] = 0


def damage_two_flags(data: bytearray) -> None:
    """Mark a second partition as bootable."""
    data[SECOND_ENTRY] = 0x80


def damage_loop(data: bytearray) -> None:
    """Let the second extended boot record lead back to the first."""
    second = EXTENDED + struct.unpack_from("<I", data, EXTENDED * 512 + SECOND_ENTRY + 8)[0]
    set_entry(data, second * 512 + SECOND_ENTRY, type_=5, first=0, count=2048)
    data[second * 512 + SECOND_ENTRY + 8 : second * 512 + SECOND_ENTRY + 12] = bytes(4)


def damage_link(data: bytearray) -> None:
    """Let the chain lead out of the extended partition."""
    set_entry(data, EXTENDED * 512 + SECOND_ENTRY, type_=5, first=60000, count=2048)


def damage_record(data: bytearray) -> None:
    """Let the chain lead to a sector of zeros."""
    set_entry(data, EXTENDED * 512 + SECOND_ENTRY, type_=5, first=39999, count=2048)


def damage_logical(data: bytearray) -> None:
    """Let a logical partition lie outside of the extended one."""
    set_entry(data, EXTENDED * 512 + FIRST_ENTRY, first=50000, count=100)


def damage_two_extended(data: bytearray) -> None:
    """Make partition 4 an extended one too."""
    data[FIRST_ENTRY + 48 + 4] = 0x0F


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (damage_overlap, "partitions 1 and 2 overlap"),
        (damage_end, "partition 4 ends at sector 114687, past the disk's last 65535"),
        (damage_flags, "no partition is marked as bootable"),
        (damage_two_flags, "2 partitions are bootable"),
        (damage_loop, "comes back to sector 8192"),
        (damage_link, "leads to sector 68192, outside of partition 3"),
        (damage_record, "leads to sector 48191, which is no boot record"),
        (damage_logical, "partition 5 is not inside the extended partition 3"),
        (damage_two_extended, "more than one extended partition"),
    ],
)
def test_defects_are_named(
    data: bytearray, read: Callable[[bytearray], PartitionTable], damage: Callable[[bytearray], None], sentence: str
) -> None:
    """Every defect is one sentence, and what can be read is still returned."""
    damage(data)
    table = read(data)
    assert any(sentence in problem for problem in table.problems), table.problems
    assert 1 in [part.number for part in table.partitions]


def test_endless_chain_ends(data: bytearray, read: Callable[[bytearray], PartitionTable]) -> None:
    """A chain of more than 64 records is followed for 64."""
    for index in range(100):
        record = (EXTENDED + 64 * index) * 512
        data[record : record + 512] = bytes(510) + b"\x55\xaa"
        set_entry(data, record + FIRST_ENTRY, first=1, count=10)
        set_entry(data, record + SECOND_ENTRY, type_=5, first=64 * (index + 1), count=64)
    table = read(data)
    assert sum(part.number > 4 for part in table.partitions) == 64
    assert any("more than 64" in problem for problem in table.problems)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(
        st.tuples(st.sampled_from((0, EXTENDED, 14335, 20479)), st.integers(440, 511), st.integers(0, 255)),
        min_size=1,
        max_size=8,
    )
)
def test_any_bytes_end_in_a_table_or_in_none(
    disk_bytes: bytearray, memory: Callable[[bytearray], Readable], edits: list[tuple[int, int, int]]
) -> None:
    """Whatever the boot records say, reading ends with a table or with its absence."""
    before = {sector * 512 + at: disk_bytes[sector * 512 + at] for sector, at, _ in edits}
    for sector, at, value in edits:
        disk_bytes[sector * 512 + at] = value
    try:
        with suppress(ImageDamaged):
            table = read_partition_table(memory(disk_bytes))
            assert all(part.first_lba <= part.last_lba for part in table.partitions)
            assert all(offset + length <= len(disk_bytes) for offset, length in table.own_ranges)
    finally:  # ten megabytes are not copied for every example
        for place, byte in before.items():
            disk_bytes[place] = byte
