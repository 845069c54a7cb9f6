"""RPM's package database in its SQLite form, and the headers in it.

Source: rpm's documentation (docs/manual/hregions.md, lib/backend/sqlite.c): table ``Packages`` holds a header per row,
which is two big-endian lengths, index entries of 16 bytes (tag, type, offset, count) and a store of values.
"""

import struct
from dataclasses import dataclass

from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged, VerificationFailed

# Where distributions keep it: Fedora and SUSE below /usr, RHEL 9 and older in /var.
DIRECTORIES = ("/usr/lib/sysimage/rpm", "/var/lib/rpm")
_FOREIGN = {"Packages": "Berkeley DB", "Packages.db": "ndb"}
_MAX_PACKAGES = 100_000
_MAX_ENTRIES = 65_536
_LONGEST = 4096
_NAME, _VERSION, _RELEASE, _EPOCH, _INSTALL_TIME, _ARCHITECTURE = 1000, 1001, 1002, 1003, 1008, 1022
_WANTED = (_NAME, _VERSION, _RELEASE, _EPOCH, _INSTALL_TIME, _ARCHITECTURE)
_INT32, _STRING = 4, 6
_ENTRY = struct.Struct(">IIII")


class DatabaseFormatUnread(VerificationFailed):
    """The package database has a format that is not read; the message says which."""


@dataclass(frozen=True, slots=True)
class RpmPackage:
    """One installed package; ``install_time`` is in seconds since 1970, 0 when it is not recorded."""

    name: str
    version: str
    release: str
    epoch: int
    architecture: str
    install_time: int

    @property
    def full_version(self) -> str:
        """Return ``[epoch:]version-release`` as ``rpm -q`` compares it."""
        epoch = f"{self.epoch}:" if self.epoch else ""
        return f"{epoch}{self.version}-{self.release}"


@dataclass(frozen=True, slots=True)
class RpmDatabase:
    """The database of one image: ``has_log`` says that the newest changes are in a log that is not read."""

    path: str
    packages: tuple[RpmPackage, ...]
    has_log: bool


def read_rpm_database(tree: FileTree) -> RpmDatabase | None:
    """Return the installed packages by name and architecture, ``gpg-pubkey`` entries left out; ``None`` without any.

    Raises :class:`DatabaseFormatUnread` for Berkeley DB and ndb, :class:`ImageDamaged` when the database or a header
    contradicts itself.
    """
    for directory in DIRECTORIES:
        path = f"{directory}/rpmdb.sqlite"
        if tree.stat(path) is not None:
            return _read_sqlite(tree, path)
    for directory in DIRECTORIES:
        for name, form in _FOREIGN.items():
            if tree.stat(f"{directory}/{name}") is not None:
                raise DatabaseFormatUnread(
                    f"{directory}/{name} is a {form} database, which is not read",
                    hint="rpmdb --rebuilddb in the image makes it an SQLite database, with rpm 4.16 and newer",
                )
    return None


def _read_sqlite(tree: FileTree, path: str) -> RpmDatabase:
    from imagekit.disk.packages.sqlite_file import open_database

    packages = []
    with open_database(tree, path) as database:
        for (blob,) in database.rows("Packages", ("blob",), _MAX_PACKAGES):
            if not isinstance(blob, bytes):
                raise ImageDamaged(f"{path} has a header that is no sequence of bytes")
            package = parse_header(blob)
            if package.name != "gpg-pubkey":
                packages.append(package)
        has_log = database.has_log
    packages.sort(key=lambda each: (each.name, each.architecture, each.install_time, each.full_version))
    return RpmDatabase(path, tuple(packages), has_log)


def parse_header(blob: bytes) -> RpmPackage:
    """Read the six tags that name a package; raises :class:`ImageDamaged` for what cannot be a header."""
    if len(blob) < 8:
        raise ImageDamaged("an RPM header is shorter than its first eight bytes")
    entries, length = struct.unpack_from(">II", blob)
    store = 8 + entries * _ENTRY.size
    if not 1 <= entries <= _MAX_ENTRIES or store + length > len(blob):
        raise ImageDamaged(f"an RPM header of {len(blob)} bytes announces {entries} entries and {length} bytes")
    values: dict[int, str | int] = {}
    for index in range(entries):
        tag, kind, offset, count = _ENTRY.unpack_from(blob, 8 + index * _ENTRY.size)
        if tag in _WANTED and tag not in values:
            values[tag] = _read_value(blob, store, length, kind, offset, count, tag)
    texts = [_text(values, tag) for tag in (_NAME, _VERSION, _RELEASE)]
    if not all(texts):
        raise ImageDamaged("an RPM header has no name, version or release")
    name, version, release = texts
    epoch, installed = (_number(values, tag) for tag in (_EPOCH, _INSTALL_TIME))
    return RpmPackage(name, version, release, epoch, _text(values, _ARCHITECTURE), installed)


def _read_value(blob: bytes, store: int, length: int, kind: int, offset: int, count: int, tag: int) -> str | int:
    end = store + length
    if kind == _INT32 and count >= 1 and offset + 4 <= length:
        return int.from_bytes(blob[store + offset : store + offset + 4], "big")
    if kind == _STRING and count == 1 and offset < length:
        stop = blob.find(b"\0", store + offset, min(end, store + offset + _LONGEST))
        if stop >= 0:
            return blob[store + offset : stop].decode("utf-8", "backslashreplace")
    raise ImageDamaged(f"tag {tag} of an RPM header has type {kind}, {count} values and offset {offset}")


def _text(values: dict[int, str | int], tag: int) -> str:
    value = values.get(tag, "")
    if not isinstance(value, str):
        raise ImageDamaged(f"tag {tag} of an RPM header is a number")
    return value


def _number(values: dict[int, str | int], tag: int) -> int:
    value = values.get(tag, 0)
    if not isinstance(value, int):
        raise ImageDamaged(f"tag {tag} of an RPM header is a text")
    return value
