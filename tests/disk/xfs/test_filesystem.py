"""XFS made by mkfs.xfs: what is read is what was put in, and what another reader finds."""

import os
import struct
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from dissect.xfs.xfs import XFS, INode

from imagekit.disk.child.library import LibraryFailed
from imagekit.disk.containers.raw import open_raw
from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree, FileType, Node
from imagekit.disk.window import Readable
from imagekit.disk.xfs.filesystem import Xfs, open_xfs
from imagekit.disk.xfs.layout import is_log_clean, read_xfs_superblock
from imagekit.errors import ImageDamaged
from tests.disk.made_xfs import make_xfs, run_xfs_db

Memory = Callable[[bytes | bytearray], Readable]
Describe = Callable[[FileTree], dict[str, tuple[object, ...]]]
VARIANTS = {
    "default": (),
    "v4": ("-m", "crc=0"),
    "small blocks": ("-b", "size=1024"),
    "large counters": ("-i", "nrext64=1"),
    "large directory blocks": ("-n", "size=8192"),
    "reverse map, old times": ("-m", "rmapbt=1,bigtime=0"),
}


@pytest.fixture(scope="module")
def xfs_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with files, links and directories of every size that XFS stores in another way."""
    root = tmp_path_factory.mktemp("xfs-files")
    random = Random(5)
    for name in ("etc", "bin", "deep/er/est", "many", "few", "none", "tmp"):
        (root / name).mkdir(parents=True)
    for size in (0, 1, 511, 4096, 4097, 70_001, 700_000):
        (root / f"{size}-bytes").write_bytes(random.randbytes(size))
    for index in range(1500):
        (root / f"many/a-file-with-a-rather-long-name-{index}").write_text(str(index))
    for index in range(20):
        (root / f"few/file-number-{index}").write_text("x" * index)
    (root / "bin/su").write_bytes(b"\x7fELF")
    (root / "bin/su").chmod(0o4755)
    (root / "etc/shadow").write_text("root:*:1::::::\n")
    (root / "etc/shadow").chmod(0o600)
    (root / "tmp").chmod(0o1777)
    (root / "absolute").symlink_to("/etc/shadow")
    (root / "deep/up").symlink_to("../../../etc/shadow")
    (root / "dangling").symlink_to("n" * 250)
    os.mkfifo(root / "fifo")
    return root


@pytest.fixture(scope="module", params=VARIANTS)
def xfs_image(request: pytest.FixtureRequest, xfs_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an image with the files, in one of the variants of the format."""
    return make_xfs(xfs_files, tmp_path_factory.mktemp("xfs") / "disk.raw", *VARIANTS[request.param], size="128m")


@pytest.fixture
def plain_image(tmp_path: Path) -> Path:
    """Return a small image to change."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("content")
    return make_xfs(source, tmp_path / "disk.raw")


def test_files_are_what_was_put_in(xfs_image: Path, xfs_files: Path, describe: Describe) -> None:
    """Names, kinds, modes, owners, sizes, contents and targets equal the source's; mkfs.xfs sets its own times."""

    def without_time(facts: dict[str, tuple[object, ...]]) -> dict[str, tuple[object, ...]]:
        return {path: (*fact[:4], *fact[5:]) for path, fact in facts.items()}

    with Directory(xfs_files) as source:
        expected = without_time(describe(FileTree(source)))
    with open_raw(xfs_image) as disk:
        xfs = open_xfs(disk)
        try:
            assert without_time(describe(FileTree(xfs))) == expected
        finally:
            xfs.close()


@pytest.mark.parametrize("xfs_image", ["default", "v4", "large counters", "reverse map, old times"], indirect=True)
def test_another_reader_finds_the_same(xfs_image: Path) -> None:
    """dissect.xfs lists the same entries with the same inode, mode, owner, size, time and content.

    It loses entries of directories whose blocks are not the filesystem's; those variants are compared with the source.
    """
    with open_raw(xfs_image) as disk, xfs_image.open("rb") as file:
        other = XFS(file)
        xfs = open_xfs(disk)
        try:
            compare(xfs, xfs.root(), other, other.root, "")
        finally:
            xfs.close()


def compare(xfs: Xfs, directory: Node, other: XFS, theirs: INode, path: str) -> None:
    """Compare one directory and everything below it."""
    children = xfs.children(directory)
    listed = theirs.listdir()
    assert {name: node.handle for name, node in children.items()} == {
        name: inode.inum for name, inode in listed.items() if name not in (".", "..")
    }, path
    for name, node in children.items():
        inode = other.get_inode(node.handle)
        core = inode.inode
        assert (node.mode, node.uid, node.gid) == (core.di_mode & 0xFFF, core.di_uid, core.di_gid), name
        assert node.mtime == int(inode.mtime.timestamp()), name
        match node.type:
            case FileType.FILE:
                assert xfs.data(node, 1 << 28) == inode.open().read(), name
                assert node.size == inode.size
            case FileType.SYMLINK:
                assert xfs.target(node) == inode.link, name
            case FileType.DIRECTORY:
                compare(xfs, node, other, inode, f"{path}/{name}")
            case FileType.OTHER:
                assert core.di_mode & 0xF000 == 0x1000


def test_parts_and_limits(xfs_image: Path, xfs_files: Path) -> None:
    """A part of a file is that part, and a limit cuts."""
    content = (xfs_files / "700000-bytes").read_bytes()
    with open_raw(xfs_image) as disk:
        xfs = open_xfs(disk)
        try:
            node = FileTree(xfs).stat("700000-bytes")
            assert node is not None
            part = xfs.parts(node)
            assert part(123_456, 5000) == content[123_456:128_456]
            assert part(699_990, 100) == content[-10:]
            assert part(700_000, 10) == b""
            assert xfs.data(node, 10) == content[:10]
        finally:
            xfs.close()


def test_superblock_facts(xfs_image: Path) -> None:
    """UUID, label and counts are what xfs_db shows, and a fresh filesystem has a clean log."""
    said = run_xfs_db(xfs_image, "sb 0", "print")
    shown = {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in said.splitlines())}
    with open_raw(xfs_image) as disk:
        xfs = open_xfs(disk)
        assert (xfs.uuid, xfs.label) == (shown["uuid"], shown["fname"].strip('"').rstrip("\\0"))
        assert (xfs.block_size, xfs.block_count) == (int(shown["blocksize"]), int(shown["dblocks"]))
        assert (xfs.free_blocks, xfs.inode_count) == (int(shown["fdblocks"]), int(shown["icount"]))
        assert xfs.free_inodes == int(shown["ifree"])
        assert xfs.log_clean is True
        assert not xfs.needs_repair


def test_attributes(plain_image: Path) -> None:
    """Attributes are read under Linux's names; one that is not there is None."""
    run_xfs_db(plain_image, "path /file", "attr_set -r -v 20 own", "attr_set -s -v 12 selinux")
    with open_raw(plain_image) as disk:
        xfs = open_xfs(disk)
        try:
            node = FileTree(xfs).stat("file")
            assert node is not None
            assert xfs.xattr(node, "trusted.own") == b"v" * 20
            assert xfs.xattr(node, "security.selinux") == b"v" * 12
            assert xfs.xattr(node, "security.capability") is None
        finally:
            xfs.close()


def test_name_that_is_not_utf8_is_not_lost(tmp_path: Path) -> None:
    """A name that the library cannot tell is listed by its inode, and the others as they are."""
    source = tmp_path / "source"
    source.mkdir()
    Path(os.fsdecode(os.fsencode(source) + b"/latin-\xe9")).write_text("x")
    (source / "ünï").write_text("y")
    with open_raw(make_xfs(source, tmp_path / "disk.raw")) as disk:
        xfs = open_xfs(disk)
        try:
            names = sorted(xfs.children(xfs.root()))
            assert names[0] == "ünï"
            assert names[1].startswith("\N{REPLACEMENT CHARACTER}inode-")
            assert len(names) == 2
        finally:
            xfs.close()


def test_log_that_was_not_replayed(plain_image: Path, memory: Memory) -> None:
    """A log is clean when it ends with an unmount record or was never written, and only then."""
    data = bytearray(plain_image.read_bytes())
    superblock = read_xfs_superblock(memory(data))
    begin, count = superblock.log_offset, superblock.log_length // 512
    body = data.index(b"\xfe\xed\xba\xbe", begin, begin + 512) + 512

    def judge() -> bool | None:
        return is_log_clean(memory(data), superblock)

    assert judge() is True
    assert data[body + 9] == 0x20  # the unmount's flag in its operation header
    data[body + 9] = 0
    assert judge() is False
    data[body + 9] = 0x20
    data[begin + 40 : begin + 44] = struct.pack(">I", 2)  # two operations: more than an unmount
    assert judge() is False
    # A log that went round: round 5 up to sector 8, round 4 behind it, the last record at sector 6.
    for sector in range(count):
        place = begin + sector * 512
        data[place : place + 512] = struct.pack(">I", 5 if sector < 8 else 4) + bytes(508)
    header = b"\xfe\xed\xba\xbe" + struct.pack(">III", 5, 2, 512)
    data[begin + 6 * 512 : begin + 6 * 512 + 16] = header
    data[begin + 6 * 512 + 40 : begin + 6 * 512 + 44] = struct.pack(">I", 1)
    data[begin + 7 * 512 + 9] = 0x20
    assert judge() is True
    data[begin + 7 * 512 + 9] = 0
    assert judge() is False
    data[begin : begin + superblock.log_length] = bytes(superblock.log_length)
    assert judge() is True
    data[begin + (count - 1) * 512 + 3] = 9
    data[begin + 3] = 7
    with pytest.raises(ImageDamaged, match="round 7 and ends in round 9"):
        judge()


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (0, b"XFSX", "no magic"),
        (4, b"\0\0\0\3", "blocks of 3 bytes"),
        (4, b"\x80\0\0\0", "blocks of"),
        (8, b"\0\0\0\0\0\0\0\0", "claims 0 blocks"),
        (8, b"\x7f\xff\xff\xff\xff\xff\xff\xff", "blocks of 4096 bytes in"),
        (84, b"\0\0\0\0", "groups of 0 blocks"),
        (88, b"\xff\xff\xff\xff", "groups of"),
        (102, b"\0\1", "sectors of 1"),
        (104, b"\0\0", "inodes of 0"),
        (126, b"\1", "did not finish"),
        (144, b"\xff" * 8, "free blocks of"),
        (48, b"\0\0\x7f\xff\xff\xff\xff\xff", "log outside"),
        (96, b"\xff\xff\xff\xff", "log outside"),
    ],
)
def test_superblock_that_cannot_be_right(at: int, value: bytes, said: str, plain_image: Path, memory: Memory) -> None:
    """Every number of the superblock that is used is checked before anything is read by it."""
    data = bytearray(plain_image.read_bytes())
    data[at : at + len(value)] = value
    with pytest.raises(ImageDamaged, match=said):
        open_xfs(memory(data))


def test_features_that_are_not_read(plain_image: Path, memory: Memory) -> None:
    """A feature that would be read wrong is named before the library is asked; a mark for repair is a fact."""
    data = bytearray(plain_image.read_bytes())
    data[216:220] = struct.pack(">I", struct.unpack(">I", data[216:220])[0] | 1 << 8 | 1 << 30)
    with pytest.raises(LibraryFailed, match="what is not read: incompatible-30, metadir"):
        open_xfs(memory(data)).root()
    data[216:220] = struct.pack(">I", 1 << 4)
    assert open_xfs(memory(data)).needs_repair


def test_changed_uuid(plain_image: Path) -> None:
    """A filesystem whose UUID was changed, which sets a feature, is read and has the new one."""
    uuid = "12345678-0000-4000-8000-00000000abcd"
    run_xfs_db(plain_image, f"uuid {uuid}")
    with open_raw(plain_image) as disk:
        xfs = open_xfs(disk)
        try:
            assert "meta-uuid" in xfs.features
            assert xfs.uuid == uuid
            assert FileTree(xfs).read("file") == b"content"
        finally:
            xfs.close()


def test_tiny_window(memory: Memory) -> None:
    """A partition too small for a superblock is damage."""
    with pytest.raises(ImageDamaged, match="cannot hold"):
        open_xfs(memory(b"XFSB"))
