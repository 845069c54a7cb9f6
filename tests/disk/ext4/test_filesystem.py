"""The ext4 reader against what mke2fs was given and what debugfs reads."""

import os
import shutil
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.directory import Directory
from imagekit.disk.ext4.block_map import map_blocks
from imagekit.disk.ext4.filesystem import Ext4, open_ext4
from imagekit.disk.ext4.layout import InodeTable, read_superblock
from imagekit.disk.tree import FileTree, FileType
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged
from imagekit.host.local import run

MakeExt4 = Callable[..., Path]
Facts = dict[str, tuple[object, ...]]

VARIANTS = {
    "ext2, 1 KiB blocks": ("-t", "ext2", "-b", "1024"),
    "ext2, old inodes": ("-t", "ext2", "-b", "4096", "-I", "128"),
    "ext3": ("-t", "ext3", "-b", "2048"),
    "ext4, 1 KiB blocks": ("-t", "ext4", "-b", "1024"),
    "ext4, 2 KiB blocks": ("-t", "ext4", "-b", "2048"),
    "ext4, 4 KiB blocks": ("-t", "ext4", "-b", "4096"),
    "ext4, 64 KiB blocks": ("-t", "ext4", "-b", "65536"),
    "32 bits": ("-t", "ext4", "-O", "^64bit,^metadata_csum"),
    "inline data": ("-t", "ext4", "-O", "inline_data", "-I", "256"),
    "inline data, wide inodes": ("-t", "ext4", "-O", "inline_data", "-I", "1024"),
    "bigalloc": ("-t", "ext4", "-b", "1024", "-O", "bigalloc,^resize_inode", "-C", "8192"),
    "sparse_super2": ("-t", "ext4", "-O", "sparse_super2,^resize_inode"),
    "meta_bg": ("-t", "ext4", "-b", "1024", "-g", "1024", "-O", "meta_bg,^resize_inode,^flex_bg"),
    "checksum seed and orphan file": ("-t", "ext4", "-O", "metadata_csum_seed,orphan_file"),
    "no journal": ("-t", "ext4", "-O", "^has_journal,large_dir,ea_inode"),
}


@pytest.fixture
def opened(memory: Callable[[bytes], Readable]) -> Callable[[Path], Ext4]:
    """Return a function that opens the filesystem in a file."""
    return lambda path: open_ext4(memory(path.read_bytes()))


@pytest.fixture
def scratch(make_ext4: MakeExt4, tmp_path: Path) -> Iterator[Path]:
    """Yield a small filesystem of its own that debugfs may change."""
    source = tmp_path / "source"
    (source / "a/b").mkdir(parents=True)
    (source / "file").write_text("content")
    (source / "long").write_bytes(bytes(range(256)) * 40)
    (source / "link").symlink_to("x" * 100)
    image = tmp_path / "scratch.raw"
    shutil.copy(make_ext4(source, "1M", "-t", "ext4", "-b", "1024", "-O", "^has_journal,^metadata_csum"), image)
    yield image
    image.unlink()


def change(image: Path, *commands: str) -> None:
    """Let debugfs change the image, one command at a time."""
    for command in commands:
        said = run(["debugfs", "-w", "-R", command, os.fspath(image)])
        assert "not found" not in said.errors + said.output.decode(), said.errors


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_every_layout_reads_back_what_was_written(
    options: tuple[str, ...],
    make_ext4: MakeExt4,
    files: Path,
    files_facts: Facts,
    describe: Callable[[FileTree], Facts],
) -> None:
    """Whatever the block size and features, types, modes, owners, times, contents and link texts are the source's."""
    with open_raw(make_ext4(files, "64M", *options)) as disk:
        found = describe(FileTree(open_ext4(disk)))
    assert found.pop("/lost+found")[0] is FileType.DIRECTORY
    assert found.keys() == files_facts.keys()
    wrong = [path for path in found if found[path] != files_facts[path]]
    assert wrong == []


@pytest.mark.parametrize("variant", ["ext2, 1 KiB blocks", "ext4, 1 KiB blocks", "sparse_super2"])
def test_debugfs_reads_the_same(
    variant: str, make_ext4: MakeExt4, files: Path, tmp_path: Path, describe: Callable[[FileTree], Facts]
) -> None:
    """What debugfs copies out of an image equals what the reader sees in it."""
    image = make_ext4(files, "64M", *VARIANTS[variant])
    run(["debugfs", "-R", f"rdump / {tmp_path}", os.fspath(image)])
    with open_raw(image) as disk, Directory(tmp_path) as dumped:
        ours, theirs = describe(FileTree(open_ext4(disk))), describe(FileTree(dumped))
    del ours["/fifo"]  # rdump leaves special files out
    assert ours.keys() == theirs.keys()
    assert [path for path in ours if ours[path][-1] != theirs[path][-1]] == []


@pytest.mark.parametrize("variant", VARIANTS)
def test_superblock_says_what_debugfs_says(variant: str, make_ext4: MakeExt4, files: Path) -> None:
    """UUID, features, sizes and counts are those that debugfs shows."""
    image = make_ext4(files, "64M", *VARIANTS[variant])
    said = run(["debugfs", "-R", "show_super_stats -h", os.fspath(image)]).output.decode()
    shown = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in said.splitlines())}
    with open_raw(image) as disk:
        ext4 = open_ext4(disk)
    features = shown["Filesystem features"]
    assert ext4.features == frozenset(() if features == "(none)" else features.split())
    assert ext4.uuid == shown["Filesystem UUID"]
    assert str(ext4.block_size) == shown["Block size"]
    assert str(ext4.block_count) == shown["Block count"]
    assert str(ext4.free_blocks) == shown["Free blocks"]
    assert str(ext4.inode_count) == shown["Inode count"]
    assert str(ext4.free_inodes) == shown["Free inodes"]
    assert ext4.state_clean
    assert not ext4.has_errors
    assert not ext4.needs_recovery


def test_label_times_and_states_are_read(scratch: Path, opened: Callable[[Path], Ext4]) -> None:
    """Label, mount count, mount time, recorded errors and an unreplayed journal are told."""
    change(
        scratch,
        'ssv volume_name "cloudimg"',
        "ssv mnt_count 3",
        "ssv mtime @1700000000",
        "ssv state 3",
        "feature needs_recovery",
    )
    ext4 = opened(scratch)
    assert (ext4.label, ext4.mount_count, ext4.last_mount_time) == ("cloudimg", 3, 1_700_000_000)
    assert (ext4.state_clean, ext4.has_errors, ext4.needs_recovery) == (False, True, True)


def test_large_directory_is_read_whole(make_ext4: MakeExt4, tmp_path: Path) -> None:
    """A hashed directory of 3000 entries lists all of them, and each leads to its own file."""
    for index in range(3000):
        (tmp_path / f"entry-{index:05}").write_text(str(index))
    image = make_ext4(tmp_path, "32M", "-t", "ext4", "-b", "1024", "-N", "4000")
    run(["e2fsck", "-fyD", os.fspath(image)], check=False)  # -D builds the hash tree; status 1 says that it did
    stat = run(["debugfs", "-R", "stat /", os.fspath(image)]).output.decode()
    assert "Flags: 0x81000" in stat
    with open_raw(image) as disk:
        tree = FileTree(open_ext4(disk))
        assert len(tree.names("/")) == 3001
        assert all(tree.read(f"entry-{index:05}") == str(index).encode() for index in range(3000))


def test_extent_tree_with_several_levels(make_ext4: MakeExt4, files: Path) -> None:
    """500 pieces need a tree two levels deep on 1 KiB blocks; the beginning can be read without the rest."""
    image = make_ext4(files, "64M", *VARIANTS["ext4, 1 KiB blocks"])
    assert " 2/ 2" in run(["debugfs", "-R", "dump_extents /deep/comb", os.fspath(image)]).output.decode()
    with open_raw(image) as disk:
        tree = FileTree(open_ext4(disk))
        whole = (files / "deep/comb").read_bytes()
        assert tree.read("deep/comb", len(whole)) == whole
        assert tree.read("deep/comb", 16_384 + 5) == whole[: 16_384 + 5]
        assert tree.read("deep/comb", 0) == b""


def test_triple_indirect_blocks(make_ext4: MakeExt4, tmp_path: Path) -> None:
    """On ext2 with 1 KiB blocks, data beyond 64 MiB hangs on the third level of pointers."""
    with (tmp_path / "far").open("wb") as file:
        for place in (5_000, 300_000, 70_000_000):
            file.seek(place)
            file.write(b"here")
    with open_raw(make_ext4(tmp_path, "4M", "-t", "ext2", "-b", "1024")) as disk:
        content = FileTree(open_ext4(disk)).read("far", 1 << 30)
    assert content == (tmp_path / "far").read_bytes()


def test_times_after_2038_and_before_1970(scratch: Path, opened: Callable[[Path], Ext4]) -> None:
    """The two epoch bits beside the nanoseconds are added; without them the time is a signed number."""
    change(scratch, "sif file mtime 0x80000000", "sif file mtime_extra 0", "sif long mtime 5", "sif long mtime_extra 1")
    tree = FileTree(opened(scratch))
    early, late = tree.stat("file"), tree.stat("long")
    assert early is not None
    assert late is not None
    assert (early.mtime, late.mtime) == (-(1 << 31), (1 << 32) + 5)


def test_extended_attributes(scratch: Path, opened: Callable[[Path], Ext4], tmp_path: Path) -> None:
    """Attributes are found in the inode and in their own block, by full name; others are None."""
    value = tmp_path / "value"
    value.write_bytes(bytes(range(200)) * 3)
    change(
        scratch,
        "ea_set file user.short abc",
        f"ea_set -f {value} file security.long",
        "ea_set a user.on-a-directory yes",
    )
    ext4 = opened(scratch)
    tree = FileTree(ext4)
    node, directory = tree.stat("file"), tree.stat("a")
    assert node is not None
    assert directory is not None
    assert ext4.xattr(node, "user.short") == b"abc"
    assert ext4.xattr(node, "security.long") == value.read_bytes()
    assert ext4.xattr(node, "user.absent") is None
    assert ext4.xattr(directory, "user.on-a-directory") == b"yes"


def test_attribute_too_large_for_its_block(make_ext4: MakeExt4, tmp_path: Path, opened: Callable[[Path], Ext4]) -> None:
    """With ea_inode a large value is kept in an inode of its own and read from there."""
    (tmp_path / "source").mkdir()
    (tmp_path / "source/file").write_text("content")
    image, value = tmp_path / "image.raw", tmp_path / "value"
    shutil.copy(make_ext4(tmp_path / "source", "1M", "-t", "ext4", "-b", "1024", "-O", "ea_inode,^has_journal"), image)
    value.write_bytes(bytes(range(256)) * 4)  # a whole block: with its header it does not fit one
    change(image, f"ea_set -f {value} file user.large")
    ext4 = opened(image)
    node = FileTree(ext4).stat("file")
    assert node is not None
    assert ext4.xattr(node, "user.large") == value.read_bytes()


def test_links_of_the_image_never_reach_this_machine(make_ext4: MakeExt4, tmp_path: Path) -> None:
    """Absolute and '..' targets that exist on this machine are looked up in the image: absent, or the image's own."""
    canary = tmp_path / "canary"
    canary.write_text("secret of the host")
    source = tmp_path / "source"
    (source / "etc").mkdir(parents=True)
    (source / "etc/hostname").write_text("image\n")
    (source / "absolute").symlink_to(canary)
    (source / "escaping").symlink_to("../" * 30 + os.fspath(canary).lstrip("/"))
    (source / "etc/own").symlink_to("../" * 30 + "etc/hostname")
    with open_raw(make_ext4(source, "1M", "-t", "ext4")) as disk:
        tree = FileTree(open_ext4(disk))
        assert tree.read("absolute") is None
        assert tree.read("escaping") is None
        assert tree.read("etc/own") == b"image\n"
        assert tree.resolve("../../etc/own") == "/etc/hostname"
        assert tree.readlink("absolute") == os.fspath(canary)


def test_filesystem_larger_than_its_partition_is_refused(scratch: Path, memory: Callable[[bytes], Readable]) -> None:
    """A truncated image is named as such when it is opened."""
    with pytest.raises(ImageDamaged, match="claims 1024 blocks of 1024 bytes"):
        open_ext4(memory(scratch.read_bytes()[: 512 << 10]))


@pytest.mark.parametrize(
    ("command", "path", "sentence"),
    [
        ("sif file flags 0x80800", "file", "encrypted"),
        ("sif link size 0x7fffffff", "link", "has 2147483647 bytes"),
        ("sif link size 0", "link", "has 0 bytes"),
        ("sif file mode 0170000", "file", "no kind of file"),
        ("sif a size 1000", "a", "has 1000 bytes"),
        ("sif a size 4096", "a", "has 4096 bytes and 1 blocks"),
        ("sif file block[5] 0x00050000", "file", "1 blocks at 327680 of 1024"),
    ],
)
def test_impossible_inode_is_damage(
    command: str, path: str, sentence: str, scratch: Path, opened: Callable[[Path], Ext4]
) -> None:
    """An inode that cannot be right is told with its number; the rest of the image stays readable."""
    change(scratch, command)
    tree = FileTree(opened(scratch))
    with pytest.raises(ImageDamaged, match=sentence):
        _ = tree.read(path), tree.readlink(path), tree.names(path)


def test_refused_features_are_named(scratch: Path, memory: Callable[[bytes], Readable]) -> None:
    """A feature that changes the layout in an unknown way stops the reader before it reads anything wrong."""
    for bit, sentence in ((0x1, "compression"), (0x8, "journal_dev"), (0x1000, "dirdata"), (0x80000000, "0x80000000")):
        data = bytearray(scratch.read_bytes())
        data[1024 + 0x60 : 1024 + 0x64] = struct.pack("<I", 0x42 | bit)
        with pytest.raises(ImageDamaged, match=sentence):
            open_ext4(memory(bytes(data)))


def test_directory_cycle_ends_the_walk(scratch: Path, opened: Callable[[Path], Ext4]) -> None:
    """A directory that was linked into its own child is damage, not an endless walk."""
    change(scratch, "ln a a/b/again")
    with pytest.raises(ImageDamaged, match="reached by more than one path"):
        list(FileTree(opened(scratch)).walk())


def locate(image: Path, path: str) -> tuple[int, int]:
    """Return the byte of a file's first block and of its inode's block map in ``image``."""
    with open_raw(image) as disk:
        superblock = read_superblock(disk)
        node = FileTree(open_ext4(disk)).lstat(path)
        assert node is not None
        assert isinstance(node.handle, int)
        inode = InodeTable(disk, superblock).read(node.handle)
        _, physical, _ = next(map_blocks(disk, superblock, inode, 1))
        content = image.read_bytes()
        return physical * superblock.block_size, content.index(inode.raw[:100]) + 40


@pytest.mark.parametrize(
    ("at", "replacement", "sentence"),
    [
        (4, b"\x00\x00", "entry of 0 bytes"),
        (4, b"\x06\x00", "entry of 6 bytes"),
        (4, b"\xff\x7f", "entry of 32767 bytes"),
        (24, b"\xff\xff\xff\xff", "inode 4294967295"),
        (6, b"\xff", "name of 255 bytes in an entry of 12"),
        (30, b"\x00", "name of 0 bytes"),
        (32, b"/", "slash or NUL"),
        (32, b"\x00", "slash or NUL"),
    ],
)
def test_impossible_directory_entry_is_damage(
    at: int, replacement: bytes, sentence: str, scratch: Path, memory: Callable[[bytes], Readable]
) -> None:
    """Lengths that leave the block, names with a slash, and inodes that do not exist are damage, never followed."""
    block, _ = locate(scratch, "a")
    data = bytearray(scratch.read_bytes())
    assert data[block + 32 : block + 33] == b"b"
    data[block + at : block + at + len(replacement)] = replacement
    with pytest.raises(ImageDamaged, match=sentence):
        FileTree(open_ext4(memory(bytes(data)))).names("a")


def test_extent_tree_that_contains_itself_is_damage(scratch: Path, memory: Callable[[bytes], Readable]) -> None:
    """An index that points at its own node ends at the level check, at once."""
    block, block_map = locate(scratch, "long")
    data = bytearray(scratch.read_bytes())
    root = struct.pack("<HHHHI", 0xF30A, 1, 4, 1, 0) + struct.pack("<IIHH", 0, block // 1024, 0, 0)
    data[block_map : block_map + 24] = root
    data[block : block + 24] = struct.pack("<HHHHI", 0xF30A, 1, 84, 1, 0) + struct.pack("<IIHH", 0, block // 1024, 0, 0)
    started = time.process_time()
    with pytest.raises(ImageDamaged, match="level 1"):
        FileTree(open_ext4(memory(bytes(data)))).read("long")
    data[block_map + 6 : block_map + 8] = b"\xff\xff"
    with pytest.raises(ImageDamaged, match="level 65535"):
        FileTree(open_ext4(memory(bytes(data)))).read("long")
    assert time.process_time() - started < 1


def test_indirect_block_that_contains_itself_is_damage(
    make_ext4: MakeExt4, tmp_path: Path, memory: Callable[[bytes], Readable]
) -> None:
    """A doubly indirect block that is its own pointer block is used twice and refused."""
    (tmp_path / "big").write_bytes(b"x" * 400_000)
    image = make_ext4(tmp_path, "2M", "-t", "ext2", "-b", "1024")
    _, block_map = locate(image, "big")
    data = bytearray(image.read_bytes())
    double = int.from_bytes(data[block_map + 52 : block_map + 56], "little")
    data[double * 1024 : double * 1024 + 4] = struct.pack("<I", double)
    with pytest.raises(ImageDamaged, match="used twice"):
        FileTree(open_ext4(memory(bytes(data)))).read("big")


def test_enormous_file_of_nothing_costs_its_limit_only(scratch: Path, opened: Callable[[Path], Ext4]) -> None:
    """A size of 2^60 bytes over a few blocks is read up to the limit."""
    change(scratch, "sif long size 0x1000000000000000")
    started = time.process_time()
    content = FileTree(opened(scratch)).read("long", 1 << 20)
    assert content is not None
    assert len(content) == 1 << 20
    assert content[:10_240] == bytes(range(256)) * 40
    assert time.process_time() - started < 1


def test_block_of_two_directories_is_damage(scratch: Path, opened: Callable[[Path], Ext4]) -> None:
    """Directories that share a block would make the work larger than the image."""
    first, _ = locate(scratch, "a")
    change(scratch, f"sif a/b block[5] {first // 1024}")
    with pytest.raises(ImageDamaged, match="used twice"):
        list(FileTree(opened(scratch)).walk())
