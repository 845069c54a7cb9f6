"""A file tree inside an image or a directory, read-only; symbolic links are resolved *inside* it, not on this machine.

The primitives of a source (ext4, FAT, a directory) are :meth:`Source.root`, :meth:`Source.children`,
:meth:`Source.data` and :meth:`Source.target`; path resolution is written once, here, over them: absolute targets start
again at the tree's root, ``..`` at the root stays there, and 40 links end the search (the kernel's limit,
path_resolution(7)).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from imagekit.errors import ImageDamaged, VerificationFailed

MAX_LINKS = 40
MAX_TARGET_BYTES = 4096
_CACHED_ENTRIES = 250_000
_WHOLE_FILE = 256 << 20
_PATH_CHARACTERS = 32_768  # eight times PATH_MAX: a nest of long names may not cost quadratic time


class FileType(StrEnum):
    """What a directory entry is."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"  # device, FIFO, socket: never opened


@dataclass(frozen=True, slots=True)
class Node:
    """One file, not following a link: ``mode`` holds permission bits only, ``size`` is in bytes, ``mtime`` in seconds.

    ``handle`` belongs to the source (an inode number, a first cluster, a path); nobody else looks into it.
    """

    type: FileType
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    handle: object


class Source(Protocol):
    """What a filesystem reader offers. Names are text decoded with ``surrogateescape``.

    Every method raises :class:`imagekit.errors.ImageDamaged` when the bytes contradict themselves.
    """

    def root(self) -> Node:
        """Return the root directory."""

    def children(self, directory: Node) -> dict[str, Node]:
        """Return the entries of a directory without ``.`` and ``..``."""

    def data(self, file: Node, limit: int) -> bytes:
        """Return up to ``limit`` bytes from a regular file's beginning; holes read as zeros."""

    def target(self, link: Node) -> str:
        """Return a symbolic link's text, at most 4096 bytes."""


# Returns up to so many bytes from an offset of one file; fewer only at the file's end.
ReadPart = Callable[[int, int], bytes]


def open_parts(source: Source, file: Node) -> ReadPart:
    """Return a function that reads parts of a regular file.

    A source that can reach into a file has a method ``parts``; of another one the file is read once, up to 256 MiB.
    """
    own = getattr(source, "parts", None)
    if own is not None:
        found: ReadPart = own(file)
        return found
    content: list[bytes] = []

    def read(offset: int, length: int) -> bytes:
        if not content:
            content.append(source.data(file, _WHOLE_FILE))
        return content[0][offset : offset + length]

    return read


def read_attribute(source: Source, file: Node, name: str) -> bytes | None:
    """Return an extended attribute (xattr(7)), ``None`` when the file has none of that name.

    Raises :class:`VerificationFailed` for a source that does not show them.
    """
    own = getattr(source, "xattr", None)
    if own is None:
        raise VerificationFailed("extended attributes are not read from this kind of file tree")
    found: bytes | None = own(file, name)
    return found


class FileTree:
    """Paths over a :class:`Source`: look up, read and walk without ever leaving the tree.

    Paths are text; a leading ``/`` is optional. Every method raises :class:`ImageDamaged` when the tree contradicts
    itself: more than 40 links on one path, a directory that is reached twice, bytes that cannot be right.
    With ``ignore_case`` (FAT) a component matches an entry that differs only in case.
    """

    def __init__(self, source: Source, *, ignore_case: bool = False) -> None:
        self.source = source
        self._ignore_case = ignore_case
        self._root = source.root()
        # A source may offer ``find(directory, name)``, where one entry costs less than all of them.
        self._find_one: Callable[[Node, str], Node | None] | None = getattr(source, "find", None)
        self._cache: dict[object, dict[str, Node]] = {}
        self._folded: dict[object, dict[str, str]] = {}
        self._cached_entries = 0

    def lstat(self, path: str) -> Node | None:
        """Return what is at ``path`` without following a link there; ``None`` when it is absent."""
        found = self._find(path, follow=False)
        return found and found[1]

    def stat(self, path: str) -> Node | None:
        """Return what ``path`` leads to; ``None`` when it is absent or a link dangles."""
        found = self._find(path)
        return found and found[1]

    def resolve(self, path: str) -> str | None:
        """Return the canonical absolute path inside the tree, links followed; ``None`` when it leads nowhere."""
        found = self._find(path)
        return found and found[0]

    def read(self, path: str, limit: int = 1 << 20) -> bytes | None:
        """Return the first ``limit`` bytes of the regular file at ``path``, links followed; ``None`` if it is none."""
        node = self.stat(path)
        if node is None or node.type is not FileType.FILE:
            return None
        return self.source.data(node, limit)

    def parts(self, path: str) -> ReadPart | None:
        """Return a function that reads any part of the regular file at ``path``, links followed; ``None`` if none."""
        node = self.stat(path)
        return open_parts(self.source, node) if node is not None and node.type is FileType.FILE else None

    def xattr(self, path: str, name: str) -> bytes | None:
        """Return an extended attribute of what ``path`` leads to; ``None`` when either is absent.

        Raises :class:`VerificationFailed` for a source that does not show them.
        """
        node = self.stat(path)
        return None if node is None else read_attribute(self.source, node, name)

    def names(self, path: str) -> tuple[str, ...]:
        """Return the sorted entries of the directory at ``path``, links followed; empty when there is none."""
        node = self.stat(path)
        if node is None or node.type is not FileType.DIRECTORY:
            return ()
        return tuple(sorted(self._children(node)))

    def entries(self, path: str) -> tuple[tuple[str, Node], ...]:
        """Return names and nodes of the directory at ``path``, sorted, links followed to it but not in it."""
        node = self.stat(path)
        if node is None or node.type is not FileType.DIRECTORY:
            return ()
        return tuple(sorted(self._children(node).items(), key=lambda entry: entry[0]))

    def readlink(self, path: str) -> str | None:
        """Return the text of the symbolic link at ``path``; ``None`` when it is no link."""
        node = self.lstat(path)
        return self.source.target(node) if node is not None and node.type is FileType.SYMLINK else None

    def walk(self, path: str = "/", limit: int = 200_000, skip: tuple[str, ...] = ()) -> Iterator[tuple[str, Node]]:
        """Yield canonical path and node of everything below ``path``: depth first, sorted, links not followed.

        ``path`` itself is not yielded; nothing is when it is no directory. Directories whose path ends in one of
        ``skip`` are yielded and not entered. More than ``limit`` objects, or a directory that is reached twice, raise
        :class:`ImageDamaged`.
        """
        start = self._find(path)
        if start is None or start[1].type is not FileType.DIRECTORY:
            return
        seen = {start[1].handle}
        prefix = start[0].rstrip("/")
        pending = [(f"{prefix}/{name}", node) for name, node in self._sorted(start[1])]
        count = 0
        while pending:
            place, node = pending.pop()
            count += 1
            if count > limit:
                raise ImageDamaged(f"more than {limit} files are below {start[0]}")
            if len(place) > _PATH_CHARACTERS:
                raise ImageDamaged(f"directories below {place[:64]} are nested too deeply")
            yield place, node
            if node.type is FileType.DIRECTORY and not (skip and place.endswith(skip)):
                if node.handle in seen:
                    raise ImageDamaged(f"directory {place} is reached by more than one path")
                seen.add(node.handle)
                pending.extend((f"{place}/{name}", child) for name, child in self._sorted(node))

    def _sorted(self, directory: Node) -> list[tuple[str, Node]]:
        """Return the children in reverse order, as a stack wants them."""
        return sorted(self._children(directory).items(), key=lambda entry: entry[0], reverse=True)

    def _find(self, path: str, *, follow: bool = True) -> tuple[str, Node] | None:
        """Resolve ``path``: the one place where components, ``..`` and links are interpreted."""
        stack: list[tuple[str, Node]] = []
        pending = path.split("/")[::-1]
        links = 0
        while pending:
            name = pending.pop()
            here = stack[-1][1] if stack else self._root
            if here.type is not FileType.DIRECTORY:
                return None
            if name in ("", "."):
                continue
            if name == "..":
                if stack:
                    stack.pop()
                continue
            entry = self._child(here, name)
            if entry is None:
                return None
            if entry[1].type is FileType.SYMLINK and (follow or pending):
                links += 1
                if links > MAX_LINKS:
                    raise ImageDamaged(f"{path} passes more than {MAX_LINKS} symbolic links")
                target = self.source.target(entry[1])
                if not target:
                    return None
                if target.startswith("/"):
                    stack.clear()
                pending.extend(target.split("/")[::-1])
            else:
                stack.append(entry)
        return "/" + "/".join(name for name, _ in stack), stack[-1][1] if stack else self._root

    def _child(self, directory: Node, name: str) -> tuple[str, Node] | None:
        """Return the entry's own name and node."""
        if self._find_one is not None and not self._ignore_case and directory.handle not in self._cache:
            one = self._find_one(directory, name)
            return None if one is None else (name, one)
        children = self._children(directory)
        node = children.get(name)
        if node is None and self._ignore_case:
            folded = self._folded.get(directory.handle)
            if folded is None:
                folded = self._folded[directory.handle] = {entry.casefold(): entry for entry in children}
            name = folded.get(name.casefold(), "")
            node = children.get(name)
        return None if node is None else (name, node)

    def _children(self, directory: Node) -> dict[str, Node]:
        """Return the directory's entries, read once; the cache is dropped before a hostile tree can fill memory."""
        children = self._cache.get(directory.handle)
        if children is None:
            children = self.source.children(directory)
            self._cached_entries += len(children)
            if self._cached_entries > _CACHED_ENTRIES:
                self._cache.clear()
                self._folded.clear()
                self._cached_entries = len(children)
            self._cache[directory.handle] = children
        return children
