"""What keeps packages from being updated: stanzas, exclusions, locks, and how much of a system they hold."""

from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.packages.read import PackageKind, PackageList
from imagekit.disk.tree import FileTree
from imagekit.image import Package
from imagekit.verify import verify_directory
from imagekit.verify.checks import updates
from imagekit.verify.facts.pins import Pin, find_excluded_share, read_apt_pins, read_excluded_packages
from imagekit.verify.view import View, ViewKind
from tests.verify.clean_tree import write


def test_stanzas_end_at_empty_lines(tmp_path: Path) -> None:
    """Comments do not end a stanza, a missing field voids it, and ``never`` is a priority."""
    write(
        tmp_path,
        "/etc/apt/preferences",
        "Package: a b\n# why\nPin: version 1*\nPin-Priority: 1001\n\nPackage: c\nPin: release a=x\n\n"
        "Package: *\nPin: origin x\nPin-Priority: never",
    )
    with Directory(tmp_path) as source:
        pins = read_apt_pins(View(ViewKind.DIRECTORY, FileTree(source)))
    path = "/etc/apt/preferences"
    assert pins == (Pin(path, "a b", "version 1*", 1001), Pin(path, "*", "origin x", -1))


def test_locks_are_named_by_package(tmp_path: Path) -> None:
    """A lock's version is left out where the list has dnf's own form."""
    write(tmp_path, "/etc/dnf/plugins/versionlock.list", "# x\nkernel-core-0:6.1-1.fc40.*\nopenssl\n!bash-0:5-1.*\n")
    write(tmp_path, "/etc/dnf/versionlock.toml", 'version = "1.0"\n[[packages]]\nname = "curl"\n')
    with Directory(tmp_path) as source:
        found = read_excluded_packages(View(ViewKind.DIRECTORY, FileTree(source)))
    assert [package for _, package in found] == ["kernel-core", "openssl", "curl"]


@pytest.mark.parametrize(
    ("excluded", "share"),
    [(["*"], 1.0), (["kernel*, curl"], 0.75), (["curl", "curl"], 0.25), (["[z-a] [!"], 0.0), ([], 0.0)],
)
def test_share_counts_packages_once(excluded: list[str], share: float) -> None:
    """Patterns are the shell's, separated by blanks or commas; impossible ones match nothing."""
    assert find_excluded_share(excluded, ["kernel", "kernel-core", "curl", "bash"]) == share
    assert find_excluded_share(excluded, []) == 0.0


def test_mostly_excluded_system_fails(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an rpm system that updates less than half of its packages, the exclusion is a failure."""
    packages = tuple(Package(name, "1", "x86_64") for name in ("a", "b", "c"))
    monkeypatch.setattr(updates, "read_packages", lambda tree: PackageList(PackageKind.RPM, packages))
    write(tree, "/etc/dnf/dnf.conf", "[main]\nexcludepkgs=a b\n")
    (finding,) = [each for each in verify_directory(tree).findings if each.check == "package-holds"]
    assert finding.severity.value == "fail"
