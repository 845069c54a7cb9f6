"""A tree with a link grafted into its root."""

from pathlib import Path

from imagekit.disk.directory import Directory
from imagekit.disk.graft import Grafted
from imagekit.disk.tree import FileTree


def test_link_leads_where_it_says_and_hides_what_was_there(tmp_path: Path) -> None:
    """Paths through the graft see the target; the rest of the tree is as it was, deeper names of its own too."""
    for name in ("etc", "store/etc", "home/etc"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "etc/own").write_text("hidden", encoding="utf-8")
    (tmp_path / "store/etc/name").write_text("seen", encoding="utf-8")
    (tmp_path / "home/etc/mine").write_text("mine", encoding="utf-8")
    with Directory(tmp_path) as source:
        tree = FileTree(Grafted(source, "etc", "/store/etc"))
        assert tree.readlink("/etc") == "/store/etc"
        assert tree.resolve("/etc/name") == "/store/etc/name"
        assert tree.read("/etc/name") == b"seen"
        assert tree.stat("/etc/own") is None
        assert tree.read("/home/etc/mine") == b"mine"
        part = tree.parts("/etc/name")
        assert part is not None
        assert part(1, 2) == b"ee"


def test_graft_adds_a_name_that_was_not_there(tmp_path: Path) -> None:
    """A root without the name gets it, even when it leads nowhere."""
    with Directory(tmp_path) as source:
        tree = FileTree(Grafted(source, "etc", "/nowhere"))
        assert tree.names("/") == ("etc",)
        assert tree.stat("/etc") is None
