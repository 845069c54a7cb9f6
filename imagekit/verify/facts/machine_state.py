"""State that means "this machine", as rows of a table: where it lies, what it is, how bad a second one would be.

A row names a place; its file counts when it holds something, or what the row says it must hold. Packages that were
installed and never started leave such places absent or empty, so they pass.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from imagekit.disk.tree import FileType, Node
from imagekit.verify.facts.accounts import find_homes
from imagekit.verify.facts.state_rows import Row
from imagekit.verify.view import CannotSee, View, fact

_LIMIT = 256 << 10
_MOST_PLACES = 2_000
_WILD = re.compile(r"[*?\[]")
# Homes of accounts such as daemon are /usr/sbin or /dev: nobody keeps state of an agent there.
_HOMES = ("/root", "/home/", "/var/lib/", "/opt/", "/srv/")


@dataclass(frozen=True, slots=True)
class Place:
    """What a row has found; ``found`` describes it without showing what it holds."""

    path: str
    found: str
    row: Row


def find_places(view: View, rows: Iterable[Row]) -> Iterator[Place]:
    """Yield what the rows name and the image has, each path once, by the first row that fits.

    Raises :class:`CannotSee` when a pattern fits thousands of directories.
    """
    seen: set[str] = set()
    for row in rows:
        for path in _expand(view, row.pattern):
            name = path.rsplit("/", 1)[-1]
            if path in seen or any(fnmatchcase(name, shipped) for shipped in row.except_names):
                continue
            found = _describe(view, path, row)
            if found:
                seen.add(path)
                yield Place(path, found, row)


def _describe(view: View, path: str, row: Row) -> str:
    node = view.tree.stat(path)
    if node is None or node.type is FileType.OTHER:
        return ""
    if node.type is FileType.DIRECTORY:
        count = len(view.tree.names(path))
        return f"{row.kind}: a directory with {count} entries" if count and not row.holds else ""
    return _describe_file(view, path, node, row)


def _describe_file(view: View, path: str, node: Node, row: Row) -> str:
    if node.size == 0 or (row.holds and not re.search(row.holds, view.text(path, _LIMIT, head=True) or "")):
        return ""
    return f"{row.kind} ({node.size} bytes)"


def _expand(view: View, pattern: str) -> Iterator[str]:
    """Yield the paths that fit, directory by directory, so that only those on the way are read."""
    starts = find_state_homes(view) if pattern.startswith("~/") else ("",)
    parts = pattern.removeprefix("~").strip("/").split("/")
    for start in starts:
        places = [start]
        for part in parts:
            if not _WILD.search(part):
                places = [f"{place}/{part}" for place in places]
                continue
            places = [f"{place}/{name}" for place in places for name in _match(view, place or "/", part)]
            if len(places) > _MOST_PLACES:
                raise CannotSee(f"more than {_MOST_PLACES} directories fit {pattern}")
        yield from places


def _match(view: View, directory: str, part: str) -> list[str]:
    return [name for name in view.tree.names(directory) if fnmatchcase(name, part)]


@fact
def find_state_homes(view: View) -> tuple[str, ...]:
    """Return the homes in which a person or a service may keep state; without passwd, those that the tree shows."""
    try:
        homes = tuple(find_homes(view))
    except CannotSee:
        homes = ("/root", *(path for path, _ in view.children("/home")))
    return tuple(home for home in homes if f"{home}/".startswith(_HOMES) or home == "/root")


@fact
def read_claimed_paths(view: View) -> frozenset[str]:
    """Return what the rows of every table have found here, directories among it."""
    from imagekit.verify.facts.agent_state import AGENT_ROWS
    from imagekit.verify.facts.cluster_state import CLUSTER_ROWS

    tables = (*AGENT_ROWS.values(), *CLUSTER_ROWS.values())
    return frozenset(place.path for rows in tables for place in find_places(view, rows))


def is_claimed(view: View, path: str) -> bool:
    """Say whether a row has found ``path`` or a directory above it: a broad search for secrets leaves it alone."""
    claimed = read_claimed_paths(view)
    while path:
        if path in claimed:
            return True
        path = path.rpartition("/")[0]
    return False
