"""RPM's database as rpm itself writes it, and what is refused."""

import os
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagekit.disk.directory import Directory
from imagekit.disk.packages.read import PackageKind, read_packages
from imagekit.disk.packages.rpm import DatabaseFormatUnread, RpmPackage, parse_header, read_rpm_database
from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged
from imagekit.host.local import run
from imagekit.image import Package

SPEC = """\
Name: {name}
Version: 1.2~rc1
Release: 3.fc40
{epoch}
Summary: a sample
License: MIT
BuildArch: noarch
%description
nothing
%files
"""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database into which rpm installed two packages that rpmbuild built."""
    work = tmp_path_factory.mktemp("rpm")
    for name, epoch in (("sample", "Epoch: 4"), ("other-sample", "")):
        (work / f"{name}.spec").write_text(SPEC.format(name=name, epoch=epoch))
        run(["rpmbuild", "-bb", "--define", f"_topdir {work}/top", os.fspath(work / f"{name}.spec")])
    built = sorted(str(path) for path in (work / "top").rglob("*.rpm"))
    # Debian 12's rpm refuses to install on a Debian without this option, and Debian 13's no longer knows it.
    forced = ["--force-debian"] if b"RPM version 4.18" in run(["rpm", "--version"]).output else []
    run(["rpm", "--dbpath", f"{work}/db", "--justdb", "--nodeps", "--noscripts", *forced, "-i", *built])
    return work / "db/rpmdb.sqlite"


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """Return the root of an image with an empty directory for the database."""
    (tmp_path / "usr/lib/sysimage/rpm").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def tree(image: Path) -> Iterator[FileTree]:
    """Return the image as a tree."""
    with Directory(image) as source:
        yield FileTree(source)


def put(image: Path, content: bytes, name: str = "rpmdb.sqlite") -> None:
    """Write a file beside the database."""
    (image / "usr/lib/sysimage/rpm" / name).write_bytes(content)


def test_reads_what_rpm_wrote(database: Path, image: Path, tree: FileTree) -> None:
    """Names, versions, epochs, architectures and times are those that rpm -qa shows."""
    put(image, database.read_bytes())
    form = "%{NAME} %{VERSION} %{RELEASE} %|EPOCH?{%{EPOCH}}:{0}| %{ARCH} %{INSTALLTIME}\\n"
    shown = run(["rpm", "--dbpath", os.fspath(database.parent), "-qa", "--qf", form]).output.decode().splitlines()
    read = read_rpm_database(tree)
    assert read is not None
    assert not read.has_log
    assert len(read.packages) == 2
    assert sorted(shown) == [
        f"{each.name} {each.version} {each.release} {each.epoch} {each.architecture} {each.install_time}"
        for each in read.packages
    ]
    assert read_packages(tree).packages == (
        Package("other-sample", "1.2~rc1-3.fc40", "noarch"),
        Package("sample", "4:1.2~rc1-3.fc40", "noarch"),
    )


def test_log_that_is_not_read_is_said(database: Path, image: Path, tree: FileTree) -> None:
    """Changes that only the write-ahead log has are named as missing."""
    put(image, database.read_bytes())
    put(image, b"x" * 32, "rpmdb.sqlite-wal")
    listed = read_packages(tree)
    assert listed.kind is PackageKind.RPM
    assert "rpmdb.sqlite-wal" in listed.problem


@pytest.mark.parametrize(("name", "form"), [("Packages", "Berkeley DB"), ("Packages.db", "ndb")])
def test_older_formats_are_named(image: Path, tree: FileTree, name: str, form: str) -> None:
    """A database of another format is said to be there, and is never taken for an empty one."""
    put(image, b"\0" * 16, name)
    with pytest.raises(DatabaseFormatUnread, match=form):
        read_rpm_database(tree)
    assert form in read_packages(tree).problem


def test_no_database(tree: FileTree) -> None:
    """An image without a package manager has no packages, and that is no damage."""
    assert read_rpm_database(tree) is None
    assert read_packages(tree).kind is PackageKind.NONE


@pytest.mark.parametrize("size", [0, 50, 99, 4096, 100_000])
def test_cut_database_is_damage(database: Path, image: Path, tree: FileTree, size: int) -> None:
    """A database that ends too early is damage, whatever its header says."""
    put(image, database.read_bytes()[:size])
    with pytest.raises(ImageDamaged):
        read_rpm_database(tree)


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE VIEW Packages AS SELECT zeroblob(1000000000) AS blob",
        "CREATE VIEW Packages AS WITH RECURSIVE n(blob) AS (SELECT 1 UNION ALL SELECT blob + 1 FROM n) SELECT * FROM n",
        "CREATE TABLE Packages (hnum INTEGER, blob BLOB AS (zeroblob(1000000000))); INSERT INTO Packages VALUES (1)",
        "CREATE TABLE Packages (blob BLOB); INSERT INTO Packages VALUES ('text')",
        "CREATE TABLE Packages (other BLOB)",
        "CREATE TABLE Package (blob BLOB)",
    ],
)
def test_hostile_schema_is_damage(image: Path, tree: FileTree, schema: str) -> None:
    """A schema that computes, recurses or lacks the column costs neither memory nor time."""
    path = image / "usr/lib/sysimage/rpm/rpmdb.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(schema)
    connection.close()
    with pytest.raises(ImageDamaged):
        read_rpm_database(tree)


def make_header(*entries: tuple[int, int, int, int], store: bytes = b"name\x001\x002\0") -> bytes:
    """Return a header of these index entries and values."""
    index = b"".join(struct.pack(">IIII", *entry) for entry in entries)
    return struct.pack(">II", len(entries), len(store)) + index + store


NAMED = ((1000, 6, 0, 1), (1001, 6, 5, 1), (1002, 6, 7, 1))


def test_smallest_header() -> None:
    """Name, version and release are enough; what is missing is empty or zero."""
    package = parse_header(make_header(*NAMED))
    assert package == RpmPackage("name", "1", "2", 0, "", 0)
    assert package.full_version == "1-2"


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\0" * 8,
        make_header(),
        make_header(*NAMED)[:-1],
        make_header(*NAMED[:2]),
        make_header((1000, 6, 9, 1), *NAMED[1:]),
        make_header((1000, 4, 0, 1), *NAMED[1:]),
        make_header((1000, 9, 0, 1), *NAMED[1:]),
        make_header(*NAMED, (1003, 6, 0, 1)),
        make_header(*NAMED, (1003, 4, 7, 1)),
        make_header(*NAMED, store=b"name\x001\x002"),
        struct.pack(">II", 0xFFFFFFFF, 0xFFFFFFFF) + bytes(64),
    ],
)
def test_impossible_headers_are_damage(blob: bytes) -> None:
    """A header whose numbers do not fit its bytes, or that names nothing, is damage."""
    with pytest.raises(ImageDamaged):
        parse_header(blob)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 63), st.integers(0, 255)), min_size=1, max_size=8))
def test_any_header_ends_in_a_package_or_damage(edits: list[tuple[int, int]]) -> None:
    """Whatever the bytes of a header are, reading ends."""
    blob = bytearray(make_header(*NAMED))
    for at, value in edits:
        blob[at % len(blob)] = value
    with suppress(ImageDamaged):
        assert parse_header(bytes(blob)).name


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(16, 1 << 18), st.integers(0, 255)), min_size=1, max_size=20))
def test_any_database_ends_in_packages_or_damage(database: Path, edits: list[tuple[int, int]]) -> None:
    """Whatever bytes of the database are changed, reading ends."""
    content = bytearray(database.read_bytes())
    for at, value in edits:
        content[at % len(content)] = value
    stand_in = SimpleNamespace(
        stat=lambda path: SimpleNamespace(size=len(content)) if path.endswith("sqlite") else None,
        read=lambda _path, _limit: bytes(content),
    )
    with suppress(ImageDamaged):
        found = read_rpm_database(stand_in)  # type: ignore[arg-type]  # two methods of a tree are used
        assert found is not None
