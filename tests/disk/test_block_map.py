"""The map of blocks against what the filesystems' own tools say, and against a disk whose free blocks are destroyed."""

import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.disk.block_map import Extent, Use, find_free_space, list_free_ranges, map_disk
from imagekit.disk.containers.raw import open_raw
from imagekit.disk.ext4.filesystem import open_ext4
from imagekit.disk.fat.filesystem import open_fat
from imagekit.disk.runs import Range, find_zero_bits, find_zero_bytes, intersect, merge, subtract
from imagekit.disk.tree import FileTree
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged
from imagekit.host.local import run
from tests.disk.conftest import Facts, MakeExt4

Memory = Callable[[bytes], Readable]
LAYOUTS = {
    "ext2, 1 KiB blocks": ("48M", "-t", "ext2", "-b", "1024"),
    "ext3, 2 KiB blocks, odd size": ("33333K", "-t", "ext3", "-b", "2048"),
    "ext4": ("96M", "-t", "ext4"),
    "ext4, 1 KiB blocks, many groups": ("96M", "-t", "ext4", "-b", "1024", "-O", "64bit,metadata_csum"),
    "ext4, 32 bit, uninit_bg": ("96M", "-t", "ext4", "-b", "1024", "-O", "^64bit,^metadata_csum,uninit_bg"),
    "no flex_bg": ("96M", "-t", "ext4", "-b", "1024", "-O", "^flex_bg"),
    "meta_bg": ("96M", "-t", "ext4", "-b", "1024", "-O", "meta_bg,^resize_inode"),
    "sparse_super2": ("96M", "-t", "ext4", "-b", "1024", "-O", "sparse_super2"),
    "no sparse_super": ("48M", "-t", "ext2", "-b", "1024", "-O", "^sparse_super,^resize_inode"),
    "small groups": ("64M", "-t", "ext4", "-b", "1024", "-g", "1024", "-O", "^resize_inode"),
}


def list_free_blocks(image: Path) -> list[Range]:
    """Return first and number of free blocks as dumpe2fs shows them, group by group."""
    found = []
    for line in run(["dumpe2fs", os.fspath(image)]).output.decode().splitlines():
        if line.startswith("  Free blocks: "):
            for first, last in re.findall(r"(\d+)(?:-(\d+))?", line.partition(":")[2]):
                found.append((int(first), int(last or first) - int(first) + 1))
    return list(merge(found))


def destroy(path: Path, ranges: list[Range]) -> None:
    """Overwrite ranges of a file with what is neither zeros nor any structure."""
    with path.open("r+b") as file:
        for offset, length in ranges:
            file.seek(offset)
            file.write(b"\xa5" * length)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ext4_free_blocks_are_those_of_dumpe2fs(make_ext4: MakeExt4, files: Path, layout: str) -> None:
    """The free ranges are exactly the blocks that dumpe2fs lists as free."""
    size, *options = LAYOUTS[layout]
    image = make_ext4(files, size, *options)
    with open_raw(image) as disk:
        filesystem = open_ext4(disk)
        free = list(filesystem.free_ranges())
    blocks = [(offset // filesystem.block_size, length // filesystem.block_size) for offset, length in free]
    assert blocks == list_free_blocks(image)
    assert sum(count for _, count in blocks) == filesystem.free_blocks > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ext4_does_without_its_free_blocks(
    make_ext4: MakeExt4,
    files: Path,
    files_facts: Facts,
    describe: Callable[[FileTree], Facts],
    tmp_path: Path,
    layout: str,
) -> None:
    """With every free block destroyed, e2fsck finds nothing and every file is what it was."""
    size, *options = LAYOUTS[layout]
    image = Path(shutil.copy(make_ext4(files, size, *options), tmp_path / "copy.raw"))
    with open_raw(image) as disk:
        free = find_free_space(disk)
    destroy(image, list(free))
    run(["e2fsck", "-fn", os.fspath(image)])
    with open_raw(image) as disk:
        facts = describe(FileTree(open_ext4(disk)))
    facts = {path: each for path, each in facts.items() if not path.startswith("/lost+found")}
    assert facts.keys() == files_facts.keys()
    assert all(facts[path][-1] == each[-1] for path, each in files_facts.items() if len(each) > 4)


@pytest.mark.parametrize("setting", ["state 0", "state 3", "feature_incompat 0x2c6"])
def test_bitmaps_that_may_be_old_are_not_believed(
    make_ext4: MakeExt4, files: Path, tmp_path: Path, setting: str
) -> None:
    """A filesystem in use, with errors, or with a journal to replay has no free blocks."""
    image = Path(shutil.copy(make_ext4(files, "96M", "-t", "ext4"), tmp_path / "copy.raw"))
    run(["debugfs", "-w", "-R", f"set_super_value {setting}", os.fspath(image)])
    with open_raw(image) as disk:
        assert find_free_space(disk) == ()


def test_bigalloc_is_all_data(make_ext4: MakeExt4, files: Path) -> None:
    """Bitmaps that count clusters are not read as if they counted blocks."""
    with open_raw(make_ext4(files, "64M", "-t", "ext4", "-O", "bigalloc")) as disk:
        assert find_free_space(disk) == ()


def test_a_group_that_contradicts_itself_has_nothing_free(make_ext4: MakeExt4, files: Path, tmp_path: Path) -> None:
    """Where the descriptor counts other than the bitmap, that group's blocks are data and the others' are not."""
    image = Path(shutil.copy(make_ext4(files, "48M", "-t", "ext2", "-b", "1024"), tmp_path / "copy.raw"))
    before = list_free_blocks(image)
    run(["debugfs", "-w", "-R", "set_block_group 1 free_blocks_count 17", os.fspath(image)])
    with open_raw(image) as disk:
        after = [(offset // 1024, length // 1024) for offset, length in find_free_space(disk)]
    assert after == list(subtract(before, [(8193, 8192)])) != before


@pytest.mark.parametrize(
    ("bits", "size", "options"),
    [
        (12, 2 << 20, []),
        (12, 1440 << 10, ["-s", "1"]),
        (16, 32 << 20, ["-F", "16"]),
        (32, 64 << 20, ["-F", "32", "-s", "1"]),
    ],
)
def test_fat_free_clusters(tmp_path: Path, bits: int, size: int, options: list[str]) -> None:
    """Free space is what minfo counts, and files survive its destruction, holes between files included."""
    image = tmp_path / "fat.raw"
    image.touch()
    os.truncate(image, size)
    run(["mkfs.fat", *options, os.fspath(image)])
    random = Random(3)
    contents = {f"file-{index}": random.randbytes(random.randrange(1, 40_000)) for index in range(12)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        run(["mcopy", "-i", os.fspath(image), os.fspath(tmp_path / name), f"::/{name}"])
    for index in range(0, 12, 3):
        run(["mdel", "-i", os.fspath(image), f"::/file-{index}"])
        del contents[f"file-{index}"]
    free = find_free_space_of(image)
    with open_raw(image) as disk:
        assert open_fat(disk).bits == bits
    listing = run(["mdir", "-i", os.fspath(image), "::/"]).output.decode()
    shown = int(re.sub(r"\D", "", listing.splitlines()[-2].partition("bytes free")[0].split("  ")[-1]) or 0)
    assert sum(length for _, length in free) == shown
    destroy(image, free)
    run(["fsck.fat", "-n", os.fspath(image)])
    with open_raw(image) as disk:
        tree = FileTree(open_fat(disk), ignore_case=True)
        assert {name: tree.read(f"/{name}") for name in tree.names("/")} == contents


def find_free_space_of(image: Path) -> list[Range]:
    """Return the free ranges of the filesystem in a file."""
    with open_raw(image) as disk:
        return list(find_free_space(disk))


@pytest.fixture(scope="module")
def whole_disk(make_ext4: MakeExt4, files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a GPT disk with an ESP, a root, swap, an unknown partition, and gaps between them."""
    path = tmp_path_factory.mktemp("map") / "disk.raw"
    path.touch()
    os.truncate(path, 192 << 20)
    script = (
        "label: gpt\nstart=2048, size=65536, type=U\nstart=71680, size=196608, type=L\n"
        "start=270336, size=16384, type=S\nstart=290816, size=8192, type=L\n"
    )
    run(["sfdisk", "-q", os.fspath(path)], stdin=script.encode())
    esp = path.with_name("esp.raw")
    esp.touch()
    os.truncate(esp, 32 << 20)
    run(["mkfs.fat", os.fspath(esp)])
    run(["mcopy", "-i", os.fspath(esp), os.fspath(files / "odd/700000-bytes"), "::/loader.efi"])
    swap = path.with_name("swap.raw")
    swap.touch()
    os.truncate(swap, 8 << 20)
    run(["mkswap", os.fspath(swap)])
    root = make_ext4(files, "96M", "-t", "ext4")
    for sector, part in ((2048, esp), (71680, root), (270336, swap)):
        run(["dd", f"if={part}", f"of={path}", "bs=512", f"seek={sector}", "conv=notrunc,sparse", "status=none"])
    return path


def test_whole_disk_map(whole_disk: Path) -> None:
    """The map has no gaps, no two neighbours of one use, and free space of every kind in its place."""
    with open_raw(whole_disk) as disk:
        extents, free = map_disk(disk), list_free_ranges(disk)
    position = 0
    for extent in extents:
        assert extent.offset == position
        assert extent.length > 0
        position += extent.length
    assert position == 192 << 20
    assert all(one.use is not other.use for one, other in pairwise(extents))
    assert {each.partition for each in free} == {None, 1, 2, 3}
    assert extents[0].use is Use.DATA
    assert extents[-1] == Extent((192 << 20) - 33 * 512, 33 * 512, Use.DATA)
    assert [(each.offset, each.length) for each in free if each.partition == 3] == [
        (270336 * 512 + 65536, 8 * (1 << 20) - 65536)
    ]
    gaps = [(67584, 71680), (268288, 270336), (286720, 290816), (299008, (192 << 11) - 33)]
    assert [(each.offset // 512, (each.offset + each.length) // 512) for each in free if each.partition is None] == gaps


def test_disk_does_without_its_free_ranges(
    whole_disk: Path, files_facts: Facts, describe: Callable[[FileTree], Facts], tmp_path: Path
) -> None:
    """With every free range destroyed, tables and filesystems are whole, and so is the map."""
    copy = Path(shutil.copy(whole_disk, tmp_path / "copy.raw"))
    with open_raw(copy) as disk:
        before = map_disk(disk)
        free = list_free_ranges(disk)
    destroy(copy, [(extent.offset, extent.length) for extent in before if extent.use is Use.FREE])
    run(["sfdisk", "--verify", os.fspath(copy)])
    run(["e2fsck", "-fn", f"{copy}?offset={71680 * 512}"])
    with open_raw(copy) as disk:
        assert list_free_ranges(disk) == free
        facts = describe(FileTree(open_ext4(disk.window(71680 * 512, 96 << 20))))
    assert all(facts[path][-1] == each[-1] for path, each in files_facts.items() if len(each) > 4)


def test_zero_extents_read_as_zeros(whole_disk: Path) -> None:
    """What the map calls zero is kept, and holds nothing but zeros."""
    with open_raw(whole_disk) as disk:
        zeros = [each for each in map_disk(disk) if each.use is Use.ZERO]
        assert zeros
        for extent in zeros:
            assert not any(disk.read(extent.offset, extent.length))


def test_partitions_that_overlap_have_no_free_space(tmp_path: Path) -> None:
    """Where two partitions claim the same sectors, neither's bitmap says what may be lost."""
    path = tmp_path / "disk.raw"
    path.touch()
    os.truncate(path, 64 << 20)
    script = b"label: dos\nstart=2048, size=65536, type=83\nstart=67584, size=32768, type=83\n"
    run(["sfdisk", "-q", os.fspath(path)], stdin=script)
    with open_raw(path) as disk:
        assert list_free_ranges(disk)
    with path.open("r+b") as file:
        file.seek(446 + 16 + 8)
        file.write((4096).to_bytes(4, "little"))
    with open_raw(path) as disk:
        assert list_free_ranges(disk) == ()
        assert [each.use for each in map_disk(disk) if each.use is Use.FREE] == []


def test_slack_lies_behind_every_file(make_ext4: MakeExt4, files: Path) -> None:
    """Slack is what is left of a file's last block; writing there changes no file."""
    image = make_ext4(files, "96M", "-t", "ext4", "-b", "4096")
    with open_raw(image) as disk:
        slack = list(open_ext4(disk).slack_ranges())
        assert all(not any(disk.read(*place)) for place in slack)
    partial = [
        each for each in files.rglob("*") if each.is_file() and not each.is_symlink() and each.stat().st_size % 4096
    ]
    holes = 1  # the file that is only a hole has no last block
    assert len(slack) == len(partial) - holes
    assert sorted(length for _, length in slack) == sorted(
        4096 - each.stat().st_size % 4096 for each in partial if each.name != "only-a-hole"
    )


def test_slack_written_changes_no_file(
    make_ext4: MakeExt4, files: Path, files_facts: Facts, describe: Callable[[FileTree], Facts], tmp_path: Path
) -> None:
    """With all slack overwritten, e2fsck finds nothing and every file is what it was."""
    image = Path(shutil.copy(make_ext4(files, "48M", "-t", "ext2", "-b", "1024"), tmp_path / "copy.raw"))
    with open_raw(image) as disk:
        slack = list(open_ext4(disk).slack_ranges())
    assert slack
    destroy(image, slack)
    run(["e2fsck", "-fn", os.fspath(image)])
    with open_raw(image) as disk:
        facts = describe(FileTree(open_ext4(disk)))
    assert all(facts[path][-1] == each[-1] for path, each in files_facts.items() if len(each) > 4)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    edits=st.lists(
        st.tuples(st.integers(0, 12 * 1024), st.sampled_from((0, 1, 0x7F, 0xFF, 0x55))), min_size=1, max_size=8
    )
)
def test_any_bytes_end_in_ranges_inside_the_filesystem(
    make_ext4: MakeExt4, memory: Memory, edits: list[tuple[int, int]]
) -> None:
    """Whatever superblock, descriptors and bitmaps say, ranges rise, do not overlap, and lie inside."""
    content = bytearray(make_ext4(None, "4M", "-t", "ext4", "-b", "1024").read_bytes())
    for at, value in edits:
        content[at] = value
    window = memory(bytes(content))
    end = 0
    for offset, length in find_free_space(window):
        assert end <= offset < offset + length <= len(content)
        end = offset + length
    with suppress(ImageDamaged):
        for offset, length in open_ext4(window).slack_ranges():
            assert 0 <= offset < offset + length <= len(content)


flags = st.lists(st.booleans(), max_size=200)


@given(flags)
def test_runs_of_zero_bits_and_bytes(values: list[bool]) -> None:
    """Both kinds of runs are those that a loop over the values finds."""
    expected: list[Range] = []
    for index, value in enumerate(values):
        if value:
            continue
        if expected and sum(expected[-1]) == index:
            expected[-1] = (expected[-1][0], expected[-1][1] + 1)
        else:
            expected.append((index, 1))
    number = sum(1 << index for index, value in enumerate(values) if value)
    assert list(find_zero_bits(number.to_bytes(len(values) // 8 + 1, "little"), len(values))) == expected
    assert list(find_zero_bytes(bytes(values))) == expected


ranges = st.lists(st.tuples(st.integers(0, 300), st.integers(1, 30)), max_size=20).map(
    lambda each: list(merge(sorted(each)))
)


@given(ranges, ranges)
def test_range_arithmetic(first: list[Range], second: list[Range]) -> None:
    """Subtracting and intersecting ranges is subtracting and intersecting the sets of their members."""

    def members(each: list[Range]) -> set[int]:
        return {at for offset, length in each for at in range(offset, offset + length)}

    assert members(list(subtract(first, second))) == members(first) - members(second)
    assert members(list(intersect(first, second))) == members(first) & members(second)
    assert list(merge(intersect(first, second))) == list(merge(sorted(intersect(second, first))))
