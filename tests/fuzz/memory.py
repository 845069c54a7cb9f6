"""Images that a fuzzer made, as the readers want them: bytes with zeros behind, nameless files, trees of files."""

import os
from collections.abc import Mapping
from pathlib import Path

from imagekit.disk.containers.raw import RawDisk
from imagekit.disk.tree import FileTree, FileType, Node
from imagekit.disk.window import check_range


class Padded:
    """A disk of ``size`` bytes that begins with ``content`` and goes on with zeros: a seed needs no empty end."""

    def __init__(self, content: bytes, size: int) -> None:
        self._content = content
        self.size = max(size, len(content))

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes or raise as a raw disk does."""
        check_range(offset, length, self.size, "the disk in memory")
        return self._content[offset : offset + length].ljust(length, b"\0")


class TwoPieces:
    """A disk of zeros with two pieces of content: at its beginning, and at ``offset``."""

    def __init__(self, start: bytes, offset: int, rest: bytes, size: int) -> None:
        self._pieces = ((0, start), (offset, rest))
        self.size = size

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes or raise as a raw disk does."""
        check_range(offset, length, self.size, "the disk in memory")
        found = bytearray(length)
        for place, content in self._pieces:
            first, last = max(place, offset), min(place + len(content), offset + length)
            if first < last:
                found[first - offset : last - offset] = content[first - place : last - place]
        return bytes(found)


def open_bytes(content: bytes, name: str = "image") -> RawDisk:
    """Return a file in memory that holds ``content``; nothing of it is left when it is closed."""
    descriptor = os.memfd_create(name)
    os.write(descriptor, content)
    return RawDisk(Path(name), descriptor, len(content))


class MemoryFiles:
    """A source of regular files (path → content) and the directories above them."""

    def __init__(self, files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> None:
        self._files = dict(files)
        self._links = dict(links or {})
        self._directories: dict[str, set[str]] = {"": set()}
        for path in (*self._files, *self._links):
            while path:
                parent, _, name = path.rpartition("/")
                self._directories.setdefault(parent, set()).add(name)
                path = parent

    def root(self) -> Node:
        """Return the root directory."""
        return self._node("")

    def children(self, directory: Node) -> dict[str, Node]:
        """Return the entries of a directory."""
        path = str(directory.handle)
        return {name: self._node(f"{path}/{name}") for name in self._directories[path]}

    def data(self, file: Node, limit: int) -> bytes:
        """Return the beginning of a file."""
        return self._files[str(file.handle)][: max(limit, 0)]

    def target(self, link: Node) -> str:
        """Return a link's text."""
        return self._links[str(link.handle)]

    def _node(self, path: str) -> Node:
        if path in self._links:
            return Node(FileType.SYMLINK, 0o777, 0, 0, len(self._links[path]), 0, path)
        if path in self._files:
            return Node(FileType.FILE, 0o644, 0, 0, len(self._files[path]), 0, path)
        return Node(FileType.DIRECTORY, 0o755, 0, 0, 4096, 0, path)


def make_file_tree(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> FileTree:
    """Return a tree of these files, whose paths are absolute."""
    return FileTree(MemoryFiles(files, links))
