"""Path resolution over a tree that is written down here."""

import pytest

from imagekit.disk.tree import FileTree, FileType, Node
from imagekit.errors import ImageDamaged

Content = dict[str, "bytes | str | Content"]


class Written:
    """A source from nested dictionaries: bytes are files, text is a link's target."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self.listed = 0

    def _node(self, content: "bytes | str | Content") -> Node:
        kind = {bytes: FileType.FILE, str: FileType.SYMLINK, dict: FileType.DIRECTORY}[type(content)]
        self.kept = [*getattr(self, "kept", []), content]
        return Node(kind, 0o644, 0, 0, len(content), 0, id(content) if kind is FileType.DIRECTORY else content)

    def root(self) -> Node:
        """Return the outermost dictionary."""
        return self._node(self._content)

    def children(self, directory: Node) -> dict[str, Node]:
        """Return a dictionary's entries."""
        self.listed += 1
        content = next(each for each in self.kept if id(each) == directory.handle)
        return {name: self._node(each) for name, each in content.items()}

    def data(self, file: Node, limit: int) -> bytes:
        """Return a file's beginning."""
        assert isinstance(file.handle, bytes)
        return file.handle[:limit]

    def target(self, link: Node) -> str:
        """Return a link's target."""
        assert isinstance(link.handle, str)
        return link.handle


@pytest.fixture
def tree() -> FileTree:
    """Return a tree with the links that real images have."""
    return FileTree(
        Written(
            {
                "bin": "usr/bin",
                "usr": {"bin": {"sh": "dash", "dash": b"shell"}, "lib": {"os-release": b"ID=debian"}},
                "etc": {
                    "os-release": "../usr/lib/os-release",
                    "localtime": "/usr/share/zoneinfo/Nowhere",
                    "alias": "/bin/sh",
                    "empty-link": "",
                },
                "var": {"run": "/run", "self": ".", "top": "../../../.."},
                "run": {"lock": {}},
                "loop": "loop",
                "file": b"content",
            }
        )
    )


@pytest.mark.parametrize(
    ("path", "canonical"),
    [
        ("/", "/"),
        ("", "/"),
        ("/..", "/"),
        ("bin/sh", "/usr/bin/dash"),
        ("//bin///sh", "/usr/bin/dash"),
        ("/etc/alias", "/usr/bin/dash"),
        ("/etc/os-release", "/usr/lib/os-release"),
        ("/bin/../lib/os-release", "/usr/lib/os-release"),
        ("/var/run/lock", "/run/lock"),
        ("/var/self/self/run", "/run"),
        ("/var/top/file", "/file"),
        ("/bin/", "/usr/bin"),
        ("/etc/localtime", None),
        ("/etc/empty-link", None),
        ("/file/", None),
        ("/file/.", None),
        ("/file/..", None),
        ("/absent/../file", None),
    ],
)
def test_resolve_gives_the_canonical_path(tree: FileTree, path: str, canonical: str | None) -> None:
    """Links, dots and slashes are resolved as path_resolution(7) says, and never above the root."""
    assert tree.resolve(path) == canonical


def test_last_link_is_followed_by_stat_only(tree: FileTree) -> None:
    """lstat and readlink see the link, stat and read what it leads to."""
    link, file = tree.lstat("/bin/sh"), tree.stat("/bin/sh")
    assert link is not None
    assert file is not None
    assert (link.type, file.type) == (FileType.SYMLINK, FileType.FILE)
    assert tree.readlink("/bin/sh") == "dash"
    assert tree.readlink("/bin/dash") is None
    assert tree.read("/bin/sh", 3) == b"she"
    assert tree.lstat("/etc/localtime") is not None
    assert tree.stat("/etc/localtime") is None


def test_absent_and_wrong_kinds_are_none(tree: FileTree) -> None:
    """A directory cannot be read, a file cannot be listed, and what is absent is None or empty."""
    assert tree.read("/usr") is None
    assert tree.read("/nothing") is None
    assert tree.names("/file") == ()
    assert tree.names("/nothing") == ()
    assert tree.names("/bin") == ("dash", "sh")


def test_link_loop_is_damage(tree: FileTree) -> None:
    """The 41st link on one path ends the search; 40 are allowed, as in the kernel."""
    with pytest.raises(ImageDamaged, match="more than 40"):
        tree.stat("/loop")
    assert tree.lstat("/loop") is not None
    chain: Content = {f"l{index}": f"l{index + 1}" for index in range(41)}
    chain["l41"] = b"end"
    assert FileTree(Written(chain)).read("l1") == b"end"
    with pytest.raises(ImageDamaged, match="more than 40"):
        FileTree(Written(chain)).read("l0")


def test_walk_is_depth_first_and_sorted(tree: FileTree) -> None:
    """Every object appears once, parents before their children, links not followed."""
    paths = [path for path, _ in tree.walk()]
    assert paths[:8] == [
        "/bin",
        "/etc",
        "/etc/alias",
        "/etc/empty-link",
        "/etc/localtime",
        "/etc/os-release",
        "/file",
        "/loop",
    ]
    assert len(paths) == len(set(paths)) == 20
    assert [path for path, _ in tree.walk("bin")] == ["/usr/bin/dash", "/usr/bin/sh"]
    assert list(tree.walk("/file")) == list(tree.walk("/absent")) == []


def test_walk_has_a_limit(tree: FileTree) -> None:
    """More objects than the limit are damage."""
    assert len(list(tree.walk(limit=20))) == 20
    with pytest.raises(ImageDamaged, match="more than 19"):
        list(tree.walk(limit=19))


def test_walk_ends_in_a_cycle() -> None:
    """A directory that contains its own parent is damage."""
    inner: Content = {}
    outer: Content = {"inner": inner}
    inner["outer"] = outer
    with pytest.raises(ImageDamaged, match="more than one path"):
        list(FileTree(Written(outer)).walk())


def test_walk_refuses_a_bottomless_nest() -> None:
    """Directories nested until a path has 32 KiB are damage: each level would cost more than the one before."""
    content: Content = {}
    for _ in range(200):
        content = {"d" * 255: content}
    with pytest.raises(ImageDamaged, match="nested too deeply"):
        list(FileTree(Written(content)).walk())


def test_directory_is_listed_once() -> None:
    """Children are cached: a hundred look-ups in one directory read it once."""
    source = Written({"etc": {str(index): b"" for index in range(100)}})
    tree = FileTree(source)
    assert all(tree.read(f"/etc/{index}") == b"" for index in range(100))
    assert source.listed == 2


def test_case_is_ignored_on_request_only() -> None:
    """With ignore_case any case finds the entry; an exact match wins."""
    content: Content = {"EFI": {"Boot.EFI": b"loader"}, "efi": b"other"}
    assert FileTree(Written(content)).resolve("/EFI/BOOT.efi") is None
    tree = FileTree(Written(content), ignore_case=True)
    assert tree.resolve("/EFI/BOOT.efi") == "/EFI/Boot.EFI"
    assert tree.read("/efi") == b"other"
    assert tree.stat("/EFI/absent") is None
