"""Images with changed bytes: the readers end in time with a result or with damage, and with nothing else."""

import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.disk.ext4 import open_ext4
from imagekit.disk.ext4_layout import InodeTable, read_superblock
from imagekit.disk.fat import open_fat
from imagekit.disk.gpt import read_gpt
from imagekit.disk.raw import Readable, open_raw
from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged, VerificationFailed
from imagekit.host.local import run

Memory = Callable[[bytes], Readable]
SECONDS = 2.0
INTERESTING = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

# A change: where (as a share of the region), how many bytes, and which value.
changes = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.sampled_from((1, 2, 4)),
        st.one_of(st.sampled_from(INTERESTING), st.integers(0, 0xFFFFFFFF)),
    ),
    min_size=1,
    max_size=6,
)
quick = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def mutate(data: bytearray, regions: list[tuple[int, int]], which: int, edits: list[tuple[int, int, int]]) -> bytes:
    """Return the image with values written into one of its regions, each aligned to its width."""
    begin, length = regions[which % len(regions)]
    changed = bytearray(data)
    for place, width, value in edits:
        at = begin + place % length // width * width
        changed[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return bytes(changed)


def use_everything(tree: FileTree) -> None:
    """Walk, look up, read and follow everything; damage in one file must not hide another kind of error in the next."""
    for path, _ in tree.walk():
        with suppress(ImageDamaged):
            tree.readlink(path)
        with suppress(ImageDamaged):
            tree.read(path)
        with suppress(ImageDamaged):
            tree.names(path)


@pytest.fixture(scope="module")
def small_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return few files that use every structure: a directory of two blocks, pieces, long names, links."""
    root = tmp_path_factory.mktemp("small")
    (root / "d/e").mkdir(parents=True)
    (root / "many").mkdir()
    for index in range(50):
        (root / f"many/a-somewhat-longer-name-{index}").write_text(str(index))
    with (root / "d/pieces").open("wb") as file:
        for index in range(100):
            file.seek(index * 2048)
            file.write(b"x" * 1024)
    (root / "d/e/plain").write_bytes(b"y" * 40_000)
    (root / "d/fast").symlink_to("../many")
    (root / "d/slow").symlink_to("/" + "z" * 100)
    return root


EXT4 = {
    "ext2": ("-t", "ext2", "-b", "1024", "-O", "^resize_inode"),
    "ext4": ("-t", "ext4", "-b", "1024", "-O", "^has_journal,^resize_inode"),
    "inline data": ("-t", "ext4", "-b", "1024", "-I", "256", "-O", "inline_data,^has_journal,^resize_inode"),
}


@pytest.fixture(scope="module")
def ext4_image(
    request: pytest.FixtureRequest, small_source: Path, make_ext4: Callable[..., Path]
) -> tuple[bytearray, list[tuple[int, int]]]:
    """Return an image and its regions: superblock, descriptors, inodes, and the blocks of directories and maps."""
    path = make_ext4(small_source, "1M", "-N", "96", *EXT4[request.param])
    run(["debugfs", "-w", "-R", "ea_set /d/e/plain user.x hello", os.fspath(path)])
    with open_raw(path) as disk:
        superblock = read_superblock(disk)
        inode = InodeTable(disk, superblock).read(2)
    data = bytearray(path.read_bytes())
    table = data.index(inode.raw[:100]) - superblock.inode_size
    inodes = 96 * superblock.inode_size
    return data, [(1024, 1024), (1024, 256), (2048, 64), (table, inodes), (table + inodes, 64 << 10)]


@pytest.mark.parametrize("ext4_image", EXT4, indirect=True)
@quick
@given(which=st.integers(0, 4), edits=changes)
def test_ext4_with_changed_bytes(
    which: int, edits: list[tuple[int, int, int]], ext4_image: tuple[bytearray, list[tuple[int, int]]], memory: Memory
) -> None:
    """Whatever is changed in the metadata of ext2 and ext4, only damage is raised, and soon."""
    started = time.process_time()
    with suppress(VerificationFailed):
        ext4 = open_ext4(memory(mutate(*ext4_image, which, edits)))
        tree = FileTree(ext4)
        with suppress(ImageDamaged):
            node = tree.stat("d/e/plain")
            value = ext4.xattr(node, "user.x") if node else None
            assert value is None or len(value) <= ext4.block_size
        use_everything(tree)
    assert time.process_time() - started < SECONDS


FAT = {"FAT12": ("-T", "2048"), "FAT16": ("-T", "9000", "-c", "1"), "FAT32": ("-F", "-T", "70000", "-c", "1")}


@pytest.fixture(scope="module")
def fat_image(
    request: pytest.FixtureRequest, small_source: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytearray, list[tuple[int, int]]]:
    """Return an image and its regions: boot sector, table, directories."""
    path = tmp_path_factory.mktemp("fat") / "fat.raw"
    geometry = ("-h", "2", "-s", "16")
    run(["mformat", "-C", "-i", os.fspath(path), *FAT[request.param], *geometry, "::"])
    for name in ("many", "d/e", "d/pieces"):
        run(["mcopy", "-s", "-i", os.fspath(path), os.fspath(small_source / name), "::/"])
    data = bytearray(path.read_bytes())
    reserved, tables = struct.unpack_from("<H", data, 14)[0], data[16]
    sectors = struct.unpack_from("<H", data, 22)[0] or struct.unpack_from("<I", data, 36)[0]
    root = (reserved + tables * sectors) * 512
    if request.param == "FAT32":  # mformat makes it large, Linux mounts a small one too: keep what is used
        del data[root + (512 << 10) :]
        struct.pack_into("<I", data, 32, len(data) // 512)
    return data, [(0, 96), (reserved * 512, 512), (root, 1024), (root, 48 << 10)]


@pytest.mark.parametrize("fat_image", FAT, indirect=True)
@quick
@given(which=st.integers(0, 3), edits=changes)
def test_fat_with_changed_bytes(
    which: int, edits: list[tuple[int, int, int]], fat_image: tuple[bytearray, list[tuple[int, int]]], memory: Memory
) -> None:
    """Whatever is changed in boot sector, table and directories, only damage is raised, and soon."""
    started = time.process_time()
    with suppress(VerificationFailed):
        fat = open_fat(memory(mutate(*fat_image, which, edits)))
        assert len(fat.serial) == 9
        assert fat.dirty in (True, False)
        with suppress(ImageDamaged):
            assert len(fat.label) <= 11
        use_everything(FileTree(fat, ignore_case=True))
    assert time.process_time() - started < SECONDS


@pytest.fixture(scope="module")
def gpt_image(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytearray, list[tuple[int, int]]]:
    """Return a partitioned disk and its regions: MBR, headers, entries."""
    path = tmp_path_factory.mktemp("gpt") / "disk.raw"
    path.touch()
    os.truncate(path, 2 << 20)
    script = b"label: gpt\nstart=64, size=64, type=U\nstart=128, size=512, type=L\n"
    run(["sfdisk", "-q", os.fspath(path)], stdin=script)
    data = bytearray(path.read_bytes())
    end = len(data)
    return data, [(0, 512), (512, 92), (1024, 384), (end - 512, 92), (end - 33 * 512, 384)]


@quick
@given(which=st.integers(0, 4), edits=changes)
def test_gpt_with_changed_bytes(
    which: int, edits: list[tuple[int, int, int]], gpt_image: tuple[bytearray, list[tuple[int, int]]], memory: Memory
) -> None:
    """A changed table gives the right partitions from the other copy, a problem, or damage; never silence and a lie."""
    data, regions = gpt_image
    right = read_gpt(memory(bytes(data)))
    changed = mutate(data, regions, which, edits)
    with suppress(ImageDamaged):
        table = read_gpt(memory(changed))
        assert table.problems or table.partitions == right.partitions
        for part in table.partitions:
            assert part.offset >= 0
            assert part.length > 0
