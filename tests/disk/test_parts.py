"""Reading a part of a file, and extended attributes, from every kind of tree."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.ext4.filesystem import open_ext4
from imagekit.disk.tree import FileTree, FileType, Node, open_parts
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged, VerificationFailed

MakeExt4 = Callable[..., Path]
PLACES = ((0, 10), (59, 3), (1000, 5000), (69_990, 100), (4095, 2), (80_000, 5), (0, 0))


class Plain:
    """A source that reads only from the beginning, and counts how often."""

    def __init__(self) -> None:
        self.reads = 0

    def root(self) -> Node:
        """Return a directory."""
        return Node(FileType.DIRECTORY, 0o755, 0, 0, 0, 0, 0)

    def children(self, directory: Node) -> dict[str, Node]:
        """Return one file."""
        del directory
        return {"file": Node(FileType.FILE, 0o644, 0, 0, 26, 0, 1)}

    def data(self, file: Node, limit: int) -> bytes:
        """Return the file's beginning."""
        del file
        self.reads += 1
        return b"abcdefghijklmnopqrstuvwxyz"[:limit]

    def target(self, link: Node) -> str:
        """Never asked for."""
        raise AssertionError(link)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a directory with a file, one with holes, an empty one and a link."""
    root = tmp_path / "source"
    root.mkdir()
    (root / "file").write_bytes(os.urandom(70_000))
    with (root / "holes").open("wb") as file:
        file.seek(60_000)
        file.write(b"end")
    (root / "empty").touch()
    (root / "link").symlink_to("file")
    return root


@pytest.mark.parametrize(
    "options",
    [("-b", "1024"), ("-b", "4096"), ("-O", "inline_data"), ("-O", "^extents,^64bit,^metadata_csum")],
    ids=["1 KiB blocks", "4 KiB blocks", "inline data", "indirect blocks"],
)
def test_parts_of_a_file_on_ext4(
    source: Path, make_ext4: MakeExt4, memory: Callable[[bytes], Readable], options: tuple[str, str]
) -> None:
    """Every part of a file is what the whole file has there; behind the end there is nothing."""
    tree = FileTree(open_ext4(memory(make_ext4(source, "4M", "-t", "ext4", *options).read_bytes())))
    for name in ("file", "holes", "empty", "link"):
        content, read = (source / name).read_bytes(), tree.parts(f"/{name}")
        assert read is not None
        assert [read(*place) for place in PLACES] == [content[at : at + length] for at, length in PLACES]


def test_parts_of_a_file_in_a_directory(source: Path) -> None:
    """A directory gives parts too, and notices when the file was replaced."""
    with Directory(source) as directory:
        read = FileTree(directory).parts("/file")
        assert read is not None
        content = (source / "file").read_bytes()
        assert [read(*place) for place in PLACES] == [content[at : at + length] for at, length in PLACES]
        (source / "other").write_bytes(b"x")
        (source / "other").rename(source / "file")
        with pytest.raises(ImageDamaged, match="replaced"):
            read(0, 1)


def test_a_source_without_parts_is_read_once() -> None:
    """Where only the beginning of a file can be read, it is read once for all parts."""
    source = Plain()
    read = open_parts(source, source.children(source.root())["file"])
    assert (read(0, 3), read(24, 9), read(30, 1), source.reads) == (b"abc", b"yz", b"", 1)


def test_there_are_no_parts_of_what_is_no_file(source: Path) -> None:
    """A directory and an absent path have no parts."""
    with Directory(source) as directory:
        tree = FileTree(directory)
        assert (tree.parts("/"), tree.parts("/absent")) == (None, None)


def test_attributes_are_read_where_the_source_has_them(
    source: Path, make_ext4: MakeExt4, memory: Callable[[bytes], Readable]
) -> None:
    """An absent attribute is an answer on ext4; a source that does not show attributes says so."""
    tree = FileTree(open_ext4(memory(make_ext4(source, "4M", "-t", "ext4").read_bytes())))
    assert tree.xattr("/file", "security.selinux") is None
    assert tree.xattr("/absent", "security.selinux") is None
    with pytest.raises(VerificationFailed, match="not read"):
        FileTree(Plain()).xattr("/file", "security.selinux")
