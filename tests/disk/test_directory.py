"""A directory of this machine as a source: never outside it, never into a device."""

import os
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory, Unreadable
from imagekit.disk.tree import FileTree, FileType
from imagekit.errors import ImageDamaged


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a small tree with the links that matter."""
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    (root / "etc/hostname").write_text("unit\n")
    (root / "etc/link").symlink_to("hostname")
    (root / "sub").symlink_to("etc")
    (tmp_path / "canary").write_text("secret of the host")
    (root / "absolute").symlink_to(tmp_path / "canary")
    (root / "escaping").symlink_to("../canary")
    (root / "etc/escaping").symlink_to("../../../../../../../../../../" + os.fspath(tmp_path / "canary").lstrip("/"))
    return root


def test_links_never_leave_the_directory(root: Path) -> None:
    """Absolute and '..' targets that exist on this machine are absent; the same names inside are found."""
    with Directory(root) as source:
        tree = FileTree(source)
        assert tree.read("absolute") is None
        assert tree.read("escaping") is None
        assert tree.read("etc/escaping") is None
        assert tree.read("../canary") is None
        assert tree.read("sub/link") == b"unit\n"
    (root / "canary").write_text("inside")
    with Directory(root) as source:
        assert FileTree(source).read("escaping") == b"inside"


def test_directory_swapped_for_a_link_is_not_followed(root: Path, tmp_path: Path) -> None:
    """A component that becomes a link after it was seen ends the read."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/hostname").write_text("secret of the host")
    with Directory(root) as source:
        tree = FileTree(source)
        seen = tree.stat("etc/hostname")
        assert seen is not None
        (root / "etc").rename(root / "moved")
        (root / "etc").symlink_to(tmp_path / "outside")
        with pytest.raises(Unreadable):
            source.data(seen, 100)


def test_replaced_file_is_damage(root: Path) -> None:
    """A file that is another one when it is opened is not read as the first."""
    with Directory(root) as source:
        seen = FileTree(source).stat("etc/hostname")
        assert seen is not None
        (root / "etc/other").write_text("another file")
        (root / "etc/other").rename(root / "etc/hostname")
        with pytest.raises(ImageDamaged, match="replaced"):
            source.data(seen, 100)


def test_special_files_are_described_and_never_opened(root: Path) -> None:
    """A FIFO without a writer does not block, neither when it was one at once nor when it became one."""
    os.mkfifo(root / "fifo")
    with Directory(root) as source:
        tree = FileTree(source)
        node, file = tree.stat("fifo"), tree.stat("etc/hostname")
        assert node is not None
        assert node.type is FileType.OTHER
        assert tree.read("fifo") is None
        assert file is not None
        (root / "etc/hostname").unlink()
        os.mkfifo(root / "etc/hostname")
        with pytest.raises(ImageDamaged, match="no regular file any more"):
            source.data(file, 100)


def test_limit_modes_and_undecodable_names(root: Path) -> None:
    """Reading stops at the limit, permission bits are told, and any name the kernel allows is listed."""
    odd = os.fsdecode(b"latin-\xe9")
    (root / odd).write_text("content")
    (root / odd).chmod(0o4750)
    with Directory(root) as source:
        tree = FileTree(source)
        node = tree.lstat(odd)
        assert node is not None
        assert (node.mode, node.size, node.type) == (0o4750, 7, FileType.FILE)
        assert tree.read(odd, 3) == b"con"
        assert odd in tree.names("/")


def test_missing_root_and_vanished_files_are_told(root: Path) -> None:
    """What cannot be opened is an error that names it, never an empty answer."""
    with pytest.raises(Unreadable, match="No such file"):
        Directory(root / "absent")
    with pytest.raises(Unreadable, match="Not a directory"):
        Directory(root / "etc/hostname")
    with Directory(root) as source:
        seen = FileTree(source).stat("etc/hostname")
        assert seen is not None
        (root / "etc/hostname").unlink()
        with pytest.raises(Unreadable, match="etc/hostname cannot be read"):
            source.data(seen, 100)


def test_mounted_filesystems_are_not_entered() -> None:
    """Another filesystem below is listed, not entered, and named; on request it is entered."""
    with Directory(Path("/")) as source:
        tree = FileTree(source)
        assert tree.lstat("proc") is not None
        assert tree.names("proc") == ()
        assert source.not_entered == {"/proc"}
    with Directory(Path("/"), one_filesystem=False) as source:
        assert "self" in FileTree(source).names("proc")
        assert source.not_entered == set()


def test_descriptors_are_given_back(root: Path) -> None:
    """Reading, listing and failing leave no descriptor open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with Directory(root) as source:
        tree = FileTree(source)
        assert len(list(tree.walk())) == 7
        assert tree.read("sub/link") == b"unit\n"
        node = tree.stat("etc/hostname")
        (root / "etc/hostname").unlink()
        assert node is not None
        with pytest.raises(Unreadable):
            source.data(node, 1)
    source.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
