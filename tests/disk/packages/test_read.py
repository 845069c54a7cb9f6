"""apk and Nix, and which database is taken when an image has several."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagekit.disk.directory import Directory
from imagekit.disk.packages.apk import read_apk_packages
from imagekit.disk.packages.nix_store import StorePath, parse_store_path, read_store_paths
from imagekit.disk.packages.read import PackageKind, PackageList, read_packages
from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged
from imagekit.image import Package

HASHES = ("0c0sqfxm2b3bg6iywhbx5wzwhyc8p2lk", "1v0bqy5nx2sp9r8w7d6fzs4jha3c2b1g", "zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz")
INSTALLED = """\
C:Q1Qabc=
P:musl
V:1.2.5-r0
A:x86_64
S:383459
o:musl
t:1711000000
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755
Z:Q1xyz=

C:Q1def=
P:alpine-baselayout
V:3.6.5-r0
A:x86_64
F:etc
R:fstab

"""
# The schema of Nix (src/libstore/schema.sql).
NIX_SCHEMA = """
create table if not exists ValidPaths (
    id integer primary key autoincrement not null,
    path text unique not null,
    hash text not null,
    registrationTime integer not null,
    deriver text,
    narSize integer,
    ultimate integer,
    sigs text,
    ca text
);
"""

Write = Callable[[str, str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return ``write(path, content)``, which puts a file into the image."""

    def put(path: str, content: str | bytes) -> Path:
        place = tmp_path / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
        return place

    return put


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[FileTree]:
    """Return the image as a tree."""
    with Directory(tmp_path) as source:
        yield FileTree(source)


def store_path(index: int, name: str) -> str:
    """Return a store path with one of a few hashes."""
    return f"/nix/store/{HASHES[index]}-{name}"


@pytest.mark.parametrize("path", ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"])
def test_apk_packages(write: Write, tree: FileTree, path: str) -> None:
    """The packages are those of the stanzas, sorted; the lists of files are not taken for fields."""
    write(path, INSTALLED)
    expected = (Package("alpine-baselayout", "3.6.5-r0", "x86_64"), Package("musl", "1.2.5-r0", "x86_64"))
    assert read_packages(tree) == PackageList(PackageKind.APK, expected)


@pytest.mark.parametrize("stanza", ["P:musl\nA:x86_64\n", "V:1-r0\n", "P:\nV:1\n", "P:a b\nV:1\n"])
def test_apk_package_without_a_name_or_version_is_damage(write: Write, tree: FileTree, stanza: str) -> None:
    """A stanza that does not name a package is damage."""
    write("/lib/apk/db/installed", INSTALLED + stanza)
    with pytest.raises(ImageDamaged, match="usable name and version"):
        read_apk_packages(tree)


def test_empty_apk_database_has_no_packages(write: Write, tree: FileTree) -> None:
    """An empty database is one without packages, not an image without apk."""
    write("/lib/apk/db/installed", "")
    assert read_packages(tree) == PackageList(PackageKind.APK, ())


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openssl-3.0.13", ("openssl", "3.0.13")),
        ("openssl-3.0.13-bin", ("openssl", "3.0.13-bin")),
        ("nixos-system-pi-24.05.20240611.a1b2c3", ("nixos-system-pi", "24.05.20240611.a1b2c3")),
        ("python3.11-requests-2.31.0", ("python3.11-requests", "2.31.0")),
        ("etc-hostname", ("etc-hostname", "")),
        ("unit-sshd.service", ("unit-sshd.service", "")),
        ("apache-httpd-2.0.48", ("apache-httpd", "2.0.48")),
        ("ends-", ("ends-", "")),
    ],
)
def test_store_paths_are_cut_as_nix_does(name: str, expected: tuple[str, str]) -> None:
    """The version begins at the first dash that no letter follows."""
    path = parse_store_path(store_path(0, name))
    assert path is not None
    assert (path.name, path.version) == expected


@pytest.mark.parametrize("text", ["", "/nix/store", "/nix/store/short-name", f"/nix/store/{'e' * 32}-x", "/etc/passwd"])
def test_other_paths_are_no_store_paths(text: str) -> None:
    """What has no hash of Nix's 32 letters (without e, o, t, u) is no store path."""
    assert parse_store_path(text) is None


def test_nix_registration(write: Write, tree: FileTree) -> None:
    """A registration lists paths, each with its references, which are not paths of their own."""
    first, second = store_path(0, "openssl-3.0.13"), store_path(1, "unit-sshd.service")
    write(
        "/nix-path-registration",
        f"{first}\nsha256:abc\n120\n\n1\n{first}\n{second}\nsha256:def\n8\n\n2\n{first}\n{second}\n",
    )
    assert read_store_paths(tree) == (
        StorePath(first, HASHES[0], "openssl", "3.0.13", 120),
        StorePath(second, HASHES[1], "unit-sshd.service", "", 8),
    )
    assert read_packages(tree) == PackageList(PackageKind.NIX, (Package("openssl", "3.0.13", ""),))


def test_nix_database_and_registration_are_joined(write: Write, tree: FileTree, tmp_path: Path) -> None:
    """Paths of both registrations are there once."""
    write("/nix-path-registration", f"{store_path(0, 'hello-2.12')}\nx\n1\n\n0\n")
    database = write("/nix/var/nix/db/db.sqlite", b"")
    with sqlite3.connect(database) as connection:
        connection.executescript("pragma journal_mode = wal;" + NIX_SCHEMA)
        for text in (store_path(0, "hello-2.12"), store_path(2, "bash-5.2p26")):
            connection.execute(
                "INSERT INTO ValidPaths (path, hash, registrationTime, narSize) VALUES (?, 'sha256:0', 1, 77)", (text,)
            )
    connection.close()
    paths = read_store_paths(tree)
    assert paths is not None
    assert [(each.name, each.size_bytes) for each in paths] == [("bash", 77), ("hello", 77)]


@pytest.mark.parametrize(
    "text",
    ["x\n", f"{store_path(0, 'a-1')}\nx\n1\n\nmany\n", f"{store_path(0, 'a-1')}\nx\n1\n\n2\nr\n", "/etc\nx\n1\n\n0\n"],
)
def test_broken_registration_is_damage(write: Write, tree: FileTree, text: str) -> None:
    """A registration that ends early, counts wrongly or names no store path is damage."""
    write("/nix-path-registration", text)
    with pytest.raises(ImageDamaged):
        read_store_paths(tree)


def test_dpkg_comes_first(write: Write, tree: FileTree) -> None:
    """A Debian image with rpm installed is Debian's: the tool rpm brings an empty database of its own."""
    write("/var/lib/dpkg/status", "Package: rpm\nStatus: install ok installed\nArchitecture: amd64\nVersion: 4.18\n")
    write("/var/lib/rpm/Packages", b"\0" * 16)
    assert read_packages(tree) == PackageList(PackageKind.DPKG, (Package("rpm", "4.18", "amd64"),))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="/nixstore0-a1\n2", max_size=200))
def test_any_registration_ends_in_paths_or_damage(text: str) -> None:
    """Whatever a registration says, reading ends."""

    class OneFile:
        """A tree of one file."""

        def stat(self, path: str) -> object:
            """Say that only the registration exists."""
            return path if path == "/nix-path-registration" else None

        def read(self, _path: str, _limit: int) -> bytes:
            """Return its content."""
            return text.encode()

    with suppress(ImageDamaged):
        paths = read_store_paths(OneFile())  # type: ignore[arg-type]  # two methods of a tree are used
        assert paths is not None
