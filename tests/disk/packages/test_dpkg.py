"""The package database as dpkg writes it, and what is refused."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.packages.dpkg import MAX_STATUS_BYTES, read_dpkg_packages, read_dpkg_states
from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged
from imagekit.image import Package

STATUS = """\
Package: zlib1g
Status: install ok installed
Priority: required
Architecture: amd64
Multi-Arch: same
Version: 1:1.2.13.dfsg-1
Description: compression library - runtime
 zlib is a library implementing the deflate method.
 .
 Package: this is a description

Package: zlib1g
Status: install ok installed
Architecture: arm64
Version: 1:1.2.13.dfsg-1

Package: adduser
status: hold ok installed
Architecture: all
Version: 3.134
Conffiles:
 /etc/deluser.conf 773fb95e98a27947de4a95abb3d3f2a2

Package: old-kernel
Status: deinstall ok config-files
Architecture: amd64
Version: 6.1-1

Package: broken
Status: install reinstreq half-installed
Architecture: amd64

Package: libc-bin
Status: install ok triggers-pending
Architecture: amd64
Version: 2.36-9+deb12u7
Triggers-Pending: ldconfig
"""


@pytest.fixture
def tree_with(tmp_path: Path) -> Iterator[Callable[[str | bytes], FileTree]]:
    """Yield a function that makes a tree whose package database is the given text."""
    opened: list[Directory] = []

    def make(content: str | bytes) -> FileTree:
        path = tmp_path / "var/lib/dpkg/status"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        opened.append(Directory(tmp_path))
        return FileTree(opened[-1])

    yield make
    for source in opened:
        source.close()


def test_installed_packages_are_sorted(tree_with: Callable[[str], FileTree]) -> None:
    """Packages in place are listed by name, then architecture; removed and broken ones are not."""
    assert read_dpkg_packages(tree_with(STATUS)) == (
        Package("adduser", "3.134", "all"),
        Package("libc-bin", "2.36-9+deb12u7", "amd64"),
        Package("zlib1g", "1:1.2.13.dfsg-1", "amd64"),
        Package("zlib1g", "1:1.2.13.dfsg-1", "arm64"),
    )


def test_states_list_what_is_not_plainly_installed(tree_with: Callable[[str], FileTree]) -> None:
    """Held, removed, broken and waiting packages are told with dpkg's own words."""
    assert read_dpkg_states(tree_with(STATUS)) == {
        "adduser": "hold ok installed",
        "old-kernel": "deinstall ok config-files",
        "broken": "install reinstreq half-installed",
        "libc-bin": "install ok triggers-pending",
    }
    twice = "Package: a\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1\n"
    assert set(read_dpkg_states(tree_with(twice + "\n" + twice.replace("amd64", "i386")))) == {"a", "a:i386"}


def test_no_database_means_no_packages(tmp_path: Path) -> None:
    """An image without dpkg has no packages to list; that is no damage."""
    with Directory(tmp_path) as source:
        tree = FileTree(source)
        assert read_dpkg_packages(tree) == ()
        assert read_dpkg_states(tree) == {}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("no field here\n", "line 1 .* is no field"),
        (" begins with a continuation\n", "line 1 .* continues"),
        ("Package: a\nPackage: b\n", "line 2 .* repeats the field Package"),
        ("Status: install ok installed\nVersion: 1\nArchitecture: all\n", "without a usable name"),
        ("Package: ../../etc\nStatus: install ok installed\n", "without a usable name"),
        ("Package: a\nVersion: 1\n", "no usable status for package a"),
        ("Package: a\nStatus: installed\n", "no usable status for package a"),
        ("Package: a\nStatus: install ok installed\nArchitecture: all\n", "no usable version"),
        ("Package: a\nStatus: install ok installed\nVersion: 1\x1b[31m\nArchitecture: all\n", "no usable version"),
        (b"Package: \xff\n", "not UTF-8 text at byte 9"),
    ],
)
def test_malformed_database_is_damage(
    content: str | bytes, sentence: str, tree_with: Callable[[str | bytes], FileTree]
) -> None:
    """A database that dpkg could not have written is told with its line or package."""
    with pytest.raises(ImageDamaged, match=sentence):
        read_dpkg_packages(tree_with(content))


def test_enormous_database_is_damage(tree_with: Callable[[str], FileTree], tmp_path: Path) -> None:
    """More than 64 MiB are refused before they are parsed."""
    tree = tree_with("")
    os.truncate(tmp_path / "var/lib/dpkg/status", MAX_STATUS_BYTES + 10)
    with pytest.raises(ImageDamaged, match="larger than 64 MiB"):
        read_dpkg_packages(tree)
