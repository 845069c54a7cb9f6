"""The ext4 reader beside debugfs and dissect.extfs, on disks with every feature that decides how files are found."""

import os
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from dissect.extfs.extfs import ExtFS, INode

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.ext4.block_map import map_blocks
from imagekit.disk.ext4.filesystem import Ext4, open_ext4
from imagekit.disk.ext4.layout import InodeTable, read_superblock
from imagekit.disk.tree import FileTree, FileType
from imagekit.host.local import run

MakeExt4 = Callable[..., Path]
# Type and mode, owner, group, size; the content's or the link's SHA-256, empty for what has none.
Row = tuple[int, int, int, int, str]

VARIANTS = {
    "ext2, indirect blocks of 1 KiB": ("-t", "ext2", "-b", "1024"),
    "ext3, indirect blocks of 4 KiB": ("-t", "ext3", "-b", "4096"),
    "ext4, 1 KiB, no journal": ("-t", "ext4", "-b", "1024", "-O", "^has_journal,dir_index"),
    "ext4, 4 KiB, 64 bits, checksums": ("-t", "ext4", "-b", "4096", "-O", "64bit,metadata_csum,dir_index"),
    "ext4, inline data": ("-t", "ext4", "-b", "4096", "-I", "256", "-O", "inline_data,64bit,metadata_csum"),
}
_TYPES = {FileType.FILE: 0x8000, FileType.DIRECTORY: 0x4000, FileType.SYMLINK: 0xA000}
_FIFO = 0x1000
_BIG_ID = 0xFFFE1234
_NAMES = 5000
_PIECES = 340 * 4 + 40  # more extents than four full leaves of 4 KiB: the tree is two levels deep


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return files for every feature: a directory of 5000 names, a file in 1400 pieces, links, holes, odd sizes."""
    root = tmp_path_factory.mktemp("matrix")
    for name in ("many", "pieces", "edges", "nested/a/b/c/d"):
        (root / name).mkdir(parents=True)
    for index in range(_NAMES):
        (root / f"many/{index:05d}-{'n' * (index % 40)}").symlink_to(f"to-{index}")
    with (root / "pieces/comb").open("wb") as file:
        for index in range(_PIECES):
            file.seek(index * 8192)
            file.write(b"%08d" % index)
    with (root / "pieces/hole").open("wb") as file:
        file.seek((1 << 32) + 5)  # a size of more than 32 bits
        file.write(b"end")
    for size in (0, 59, 60, 61, 155, 156, 157, 1024, 4095, 4097, 12 * 1024, 12 * 4096 + 1, 300_000):
        (root / f"edges/{size}").write_bytes(b"%d-" % size * (size // 2) if size else b"")
        os.truncate(root / f"edges/{size}", size)
    for length in (1, 58, 59, 60, 61, 1023):
        (root / f"edges/link-{length}").symlink_to("l" * length)
    (root / "nested/a/b/c/d/file").write_text("deep")
    (root / "nested/mode").write_text("bits")
    (root / "nested/mode").chmod(0o6751)
    os.link(root / "nested/mode", root / "nested/second-name")
    os.mkfifo(root / "nested/fifo")
    return root


@pytest.fixture(scope="module", params=list(VARIANTS.values()), ids=list(VARIANTS))
def image(
    request: pytest.FixtureRequest, matrix: Path, make_ext4: MakeExt4, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a filesystem of one variant, with big owners and attributes put in by debugfs."""
    path = tmp_path_factory.mktemp("agreement") / "disk.raw"
    shutil.copy(make_ext4(matrix, "96M", "-N", "6000", *request.param), path)
    commands = [
        f"sif /nested/mode uid {_BIG_ID}", "sif /nested/mode gid 54321", "ea_set /nested/mode user.own value",
        f"ea_set /nested/a user.large {'v' * 700}", "ea_set /nested/a security.selinux label",
    ]  # fmt: skip
    (path.parent / "commands").write_text("\n".join(commands))
    run(["debugfs", "-w", "-f", os.fspath(path.parent / "commands"), os.fspath(path)])
    return path


def list_ours(ext4: Ext4) -> dict[str, Row]:
    """Return what our reader says of every path."""
    tree = FileTree(ext4)
    rows: dict[str, Row] = {}
    for path, node in tree.walk():
        content = b""
        match node.type:
            case FileType.FILE if node.size <= 1 << 24:
                content = ext4.data(node, 1 << 24)
            case FileType.SYMLINK:
                content = ext4.target(node).encode()
            case _:
                pass
        kind = _TYPES.get(node.type, _FIFO)
        rows[path] = (kind | node.mode, node.uid, node.gid, node.size, sha256(content).hexdigest() if content else "")
    return rows


def list_debugfs(image: Path, directories: list[str], work: Path) -> dict[str, Row]:
    """Return what ``ls -p`` and ``rdump`` of debugfs say."""
    (work / "commands").write_text("".join(f"ls -p {directory}\n" for directory in directories))
    lines = run(["debugfs", "-f", os.fspath(work / "commands"), os.fspath(image)]).output.decode().splitlines()
    (work / "dump").mkdir()
    run(["debugfs", "-f", "-", os.fspath(image)], stdin=f"rdump /edges /nested /many {work}/dump\n".encode())
    run(["debugfs", "-R", f"dump /pieces/comb {work}/dump/comb", os.fspath(image)])
    rows: dict[str, Row] = {}
    directory = ""
    for line in lines:
        if line.startswith("debugfs: ls -p "):
            directory = line.removeprefix("debugfs: ls -p ").rstrip("/")
        elif line.startswith("/"):
            _, _, mode, uid, gid, name, size, *_ = line.split("/")
            path = f"{directory}/{name}"
            if name not in ("", ".", ".."):  # an unused entry has no name
                owners = int(uid) & 0xFFFFFFFF, int(gid) & 0xFFFFFFFF  # printed with a sign
                rows[path] = (int(mode, 8), *owners, int(size or 0), _hash_dumped(work / "dump", path, int(size or 0)))
    return rows


def _hash_dumped(dump: Path, path: str, size: int) -> str:
    """Return the hash of what was copied; of an empty file kept as inline data debugfs 1.47 copies out 60 bytes."""
    place = dump / ("comb" if path == "/pieces/comb" else path.lstrip("/"))
    if place.is_symlink():
        content = os.fsencode(place.readlink())
    else:
        content = place.read_bytes()[:size] if place.is_file() else b""
    return sha256(content).hexdigest() if content else ""


def list_dissect(image: Path) -> dict[str, Row]:
    """Return what dissect.extfs says."""
    rows: dict[str, Row] = {}

    def describe(inode: INode, path: str) -> None:
        raw = inode.inode
        content = b""
        if raw.i_mode & 0xF000 == 0x8000 and inode.size <= 1 << 24:
            content = inode.open().read()
        elif raw.i_mode & 0xF000 == 0xA000:
            content = inode.link.encode()
        uid, gid = raw.i_uid | raw.i_uid_high << 16, raw.i_gid | raw.i_gid_high << 16
        rows[path] = (raw.i_mode, uid, gid, inode.size, sha256(content).hexdigest() if content else "")
        if raw.i_mode & 0xF000 == 0x4000:
            for name, child in inode.listdir().items():
                if name not in (".", ".."):
                    describe(child, f"{path}/{name}")

    with image.open("rb") as file:
        describe(ExtFS(file).root, "")
    del rows[""]
    return rows


def test_debugfs_agrees(image: Path, tmp_path: Path) -> None:
    """Paths, types, modes, owners, sizes and contents are debugfs's, which prints no size of directories."""
    with open_raw(image) as disk:
        ours = list_ours(open_ext4(disk))
    directories = ["/", *(path for path, row in ours.items() if row[0] & 0xF000 == 0x4000)]
    theirs = list_debugfs(image, directories, tmp_path)
    assert len(ours) > _NAMES
    assert ours.keys() == theirs.keys()
    for path, row in ours.items():
        other = theirs[path]
        sized = row[0] & 0xF000 == 0x8000
        assert (row[:3], row[3] if sized else 0, row[4]) == (other[:3], other[3] if sized else 0, other[4]), path


@pytest.mark.parametrize("image", list(VARIANTS.values())[:-1], ids=list(VARIANTS)[:-1], indirect=True)
def test_dissect_agrees(image: Path) -> None:
    """dissect.extfs tells the same of every path; its 3.15 does not come back from inline data."""
    with open_raw(image) as disk:
        ours = list_ours(open_ext4(disk))
    theirs = list_dissect(image)
    assert ours.keys() == theirs.keys()
    assert [path for path in ours if ours[path] != theirs[path]] == []


def test_features_are_really_there(image: Path) -> None:
    """The disk has what it is meant to try: owners above 16 bits, a size above 32 bits, a deep tree, attributes."""
    with open_raw(image) as disk:
        ext4 = open_ext4(disk)
        tree = FileTree(ext4)
        node = tree.stat("/nested/mode")
        assert node is not None
        assert (node.uid, node.gid, node.mode) == (_BIG_ID, 54321, 0o6751)
        assert tree.xattr("/nested/mode", "user.own") == b"value"
        assert tree.xattr("/nested/a", "user.large") == b"v" * 700
        assert tree.xattr("/nested/a", "security.selinux") == b"label"
        hole = tree.parts("/pieces/hole")
        assert hole is not None
        assert hole((1 << 32) - 3, 100) == bytes(8) + b"end"
        superblock = read_superblock(disk)
        comb = tree.stat("/pieces/comb")
        assert comb is not None
        assert isinstance(comb.handle, int)
        inode = InodeTable(disk, superblock).read(comb.handle)
        assert len(list(map_blocks(disk, superblock, inode, -(-inode.size // superblock.block_size)))) == _PIECES
        if inode.flags & 0x80000:
            assert int.from_bytes(inode.blocks[6:8], "little") == 2
