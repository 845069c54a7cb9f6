"""What is registered in a Nix store: the closure of a NixOS image.

An image that never ran has ``/nix-path-registration`` (nixpkgs' closureInfo; ``nix-store --load-db`` reads it at the
first boot), one that did has ``/nix/var/nix/db/db.sqlite``. Names and versions come from the store paths, cut as Nix's
parseDrvName does: the version begins at the first dash that no letter follows.
"""

import re
from dataclasses import dataclass

from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged

REGISTRATION = "/nix-path-registration"
DATABASE = "/nix/var/nix/db/db.sqlite"
_MAX_BYTES = 64 << 20
_MAX_PATHS = 500_000
_MAX_REFERENCES = 100_000
_SIZE_DIGITS = 15  # of bytes, in decimal: beyond any disk that is read
_PATH = re.compile(r"/nix/store/([0-9a-df-np-sv-z]{32})-([0-9A-Za-z+\-._?=]{1,211})")
_VERSION = re.compile(r"-(?![A-Za-z])")


@dataclass(frozen=True, slots=True)
class StorePath:
    """One registered path: ``version`` is empty where the name has none (configuration files, units).

    ``size_bytes`` is that of its serialisation, Nix's ``narSize``, 0 where the registration does not tell it.
    """

    path: str
    hash: str
    name: str
    version: str
    size_bytes: int = 0


def parse_store_path(text: str, size_bytes: int = 0) -> StorePath | None:
    """Return the parts of ``/nix/store/<hash>-<name>``; ``None`` when it is no store path."""
    match = _PATH.fullmatch(text)
    if match is None:
        return None
    name, version = match.group(2), ""
    if (dash := _VERSION.search(name)) is not None and 0 < dash.start() < len(name) - 1:
        name, version = name[: dash.start()], name[dash.end() :]
    return StorePath(text, match.group(1), name, version, size_bytes)


def read_store_paths(tree: FileTree) -> tuple[StorePath, ...] | None:
    """Return what is registered, sorted by name, version and path; ``None`` when the image has no such registration.

    Raises :class:`ImageDamaged` when one of the two registrations contradicts itself.
    """
    found: dict[str, int] | None = None
    if tree.stat(REGISTRATION) is not None:
        found = _read_registration(tree)
    if tree.stat(DATABASE) is not None:
        found = (found or {}) | _read_database(tree)
    if found is None:
        return None
    paths = []
    for text, size in found.items():
        path = parse_store_path(text, size)
        if path is None:
            raise ImageDamaged(f"the Nix store has {text[:100]!r} registered, which is no store path")
        paths.append(path)
    return tuple(sorted(paths, key=lambda each: (each.name, each.version, each.path)))


def _read_registration(tree: FileTree) -> dict[str, int]:
    """Read path, hash, size, deriver, number of references and references, a line each; return each path's size."""
    content = tree.read(REGISTRATION, _MAX_BYTES + 1) or b""
    if len(content) > _MAX_BYTES:
        raise ImageDamaged(f"{REGISTRATION} is larger than {_MAX_BYTES >> 20} MiB")
    lines = content.decode("utf-8", "surrogateescape").removesuffix("\n").split("\n")
    if lines == [""]:
        return {}
    found: dict[str, int] = {}
    at = 0
    while at < len(lines):
        count = lines[at + 4] if at + 4 < len(lines) else ""
        if not count.isascii() or not count.isdecimal() or len(count) > 6 or int(count) > _MAX_REFERENCES:
            raise ImageDamaged(f"{REGISTRATION} has no number of references in line {at + 5}")
        if at + 5 + int(count) > len(lines):
            raise ImageDamaged(f"{REGISTRATION} ends within the references of line {at + 1}")
        found[lines[at]] = _read_size(lines[at + 2])
        at += 5 + int(count)
    return found


def _read_size(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _SIZE_DIGITS else 0


def _read_database(tree: FileTree) -> dict[str, int]:
    from imagekit.disk.packages.sqlite_file import open_database

    with open_database(tree, DATABASE) as database:
        rows = database.rows("ValidPaths", ("path", "narSize"), _MAX_PATHS)
        return {str(path): _read_size(str(size)) for path, size in rows}
