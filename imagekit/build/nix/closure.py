"""The closure of a NixOS system: every store path it consists of, with its size, and the packages by their names.

``nix path-info --json`` writes a list up to Nix 2.18 and in Lix, an object by path from 2.19 on, and from 2.33 on, when
asked for its format 2, an object that has the paths without their store under ``info``. All three are read.
"""

import json
import re
from collections.abc import Iterable, Iterator

from imagekit.disk.packages.nix_store import parse_store_path
from imagekit.errors import ToolFailed
from imagekit.image import ClosurePath, Package

_MAX_PATHS = 500_000
_LARGEST = 1 << 50
_LONGEST = 4096
_NO_PACKAGES = frozenset(("unit",))  # NixOS names a systemd unit's path unit-NAME, and NAME may begin with a digit
_STORE_NAME = re.compile(r"[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+\-._?=]{1,211}")  # nix, src/libstore/path.cc


def parse_closure(output: bytes, store_dir: str = "/nix/store") -> tuple[ClosurePath, ...]:
    """Read the output of ``nix path-info --json -r`` (see ``make_path_info_command``), sorted by path.

    Raises :class:`ToolFailed` when it is no such list, names a path outside ``store_dir``, one that is not valid, or
    no path at all.
    """
    try:
        document = json.loads(output)
        paths = {_parse_path(path, store_dir): _parse_size(path, entry) for path, entry in _list_entries(document)}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as problem:
        raise ToolFailed("Nix's description of the closure cannot be read", detail=str(problem)[:500]) from None
    if not paths:
        raise ToolFailed("Nix describes a closure without a single path")
    return tuple(ClosurePath(path, size) for path, size in sorted(paths.items()))


def _list_entries(document: object) -> Iterator[tuple[object, object]]:
    if isinstance(document, dict) and isinstance(document.get("info"), dict):
        document = document["info"]
    if not isinstance(document, dict | list) or len(document) > _MAX_PATHS:
        raise ValueError("neither a list nor an object, or too long")
    yield from document.items() if isinstance(document, dict) else ((entry["path"], entry) for entry in document)


def _parse_path(path: object, store_dir: str) -> str:
    if not isinstance(path, str) or len(path) > _LONGEST:
        raise ValueError("a path that is no text")
    directory, _, name = path.rpartition("/")
    if directory not in ("", store_dir) or not _STORE_NAME.fullmatch(name):
        raise ValueError(f"{path[:200]!r} is not in {store_dir}")
    return f"{store_dir}/{name}"


def _parse_size(path: object, entry: object) -> int:
    size = entry.get("narSize") if isinstance(entry, dict) else None
    if not isinstance(size, int) or not 0 <= size < _LARGEST:
        raise ValueError(f"{str(path)[:200]} is not valid, or has no size")
    return size


def list_packages(closure: Iterable[ClosurePath]) -> tuple[Package, ...]:
    """Return the store paths that have a version, as packages, sorted, each name and version once.

    A name is cut as Nix's parseDrvName does it (nix, src/libstore/names.cc). What has no version is configuration:
    units, scripts, files of ``/etc``. Outputs count as part of the version (``3.5.1-bin``), as Nix itself shows it.
    Store paths tell no architecture.
    """
    found = set()
    for each in closure:
        parsed = parse_store_path(f"/nix/store/{each.path.rpartition('/')[2]}")
        if parsed is not None and parsed.version and parsed.name not in _NO_PACKAGES:
            found.add((parsed.name, parsed.version))
    return tuple(Package(name, version, "") for name, version in sorted(found))
