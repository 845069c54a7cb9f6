"""A source with one entry of its root replaced by a symbolic link: the tree as it will be once something has run."""

from imagekit.disk.tree import FileType, Node, ReadPart, Source, open_parts, read_attribute

_MODE = 0o777


class Grafted:
    """A :class:`imagekit.disk.tree.Source`: ``source``, with a link ``name`` in its root that leads to ``target``.

    Whatever ``source`` has under that name is hidden.
    """

    def __init__(self, source: Source, name: str, target: str) -> None:
        self._source = source
        self._root = source.root()
        self._name = name
        self._target = target
        self._link = Node(FileType.SYMLINK, _MODE, 0, 0, len(target), 0, self)  # a handle that no source has

    def root(self) -> Node:
        """Return the root directory."""
        return self._root

    def children(self, directory: Node) -> dict[str, Node]:
        """Return the entries of a directory; of the root, with the link."""
        found = self._source.children(directory)
        return {**found, self._name: self._link} if directory.handle == self._root.handle else found

    def data(self, file: Node, limit: int) -> bytes:
        """Return up to ``limit`` bytes of a regular file."""
        return self._source.data(file, limit)

    def target(self, link: Node) -> str:
        """Return a symbolic link's text."""
        return self._target if link.handle is self else self._source.target(link)

    def parts(self, file: Node) -> ReadPart:
        """Return a function that reads parts of a regular file."""
        return open_parts(self._source, file)

    def xattr(self, file: Node, name: str) -> bytes | None:
        """Return an extended attribute; raises as :func:`imagekit.disk.tree.read_attribute`."""
        return None if file.handle is self else read_attribute(self._source, file, name)
