"""One tree out of several filesystems: the root with the volumes that its fstab mounts from the same disk."""

from dataclasses import dataclass

from imagekit.disk.tree import FileTree, FileType, Node, ReadPart, Source, open_parts, read_attribute
from imagekit.disk.volume import Volume
from imagekit.errors import VerificationFailed

_LIMIT = 1 << 20
_BY = {"by-uuid": "UUID", "by-label": "LABEL", "by-partuuid": "PARTUUID", "by-partlabel": "PARTLABEL"}


class MountUnreadable(VerificationFailed):
    """A directory is on a filesystem of its own that cannot be read; the message says which and why."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A node's own source and handle; ``path`` is kept for directories, where something may be mounted."""

    source: int
    handle: object
    path: str


class _Refusing:
    """Stands for a filesystem that cannot be read: whoever enters is told so, and nobody takes it for empty."""

    def __init__(self, target: str, reason: str) -> None:
        self._reason = f"{target} is on a filesystem of its own, which cannot be read: {reason}"

    def root(self) -> Node:
        return Node(FileType.DIRECTORY, 0o755, 0, 0, 0, 0, "")

    def children(self, directory: Node) -> dict[str, Node]:
        del directory
        raise MountUnreadable(self._reason)

    def data(self, file: Node, limit: int) -> bytes:
        del file, limit
        raise MountUnreadable(self._reason)

    def target(self, link: Node) -> str:
        del link
        raise MountUnreadable(self._reason)

    def parts(self, file: Node) -> ReadPart:
        del file
        raise MountUnreadable(self._reason)

    def xattr(self, file: Node, name: str) -> bytes | None:
        del file, name
        raise MountUnreadable(self._reason)


class Mounted:
    """A :class:`imagekit.disk.tree.Source` over a root and sources mounted at canonical paths inside it."""

    def __init__(self, root: Source, mounts: dict[str, Source]) -> None:
        self._sources: list[Source] = [root, *mounts.values()]
        self._mounts = {path: number for number, path in enumerate(mounts, 1)}

    def root(self) -> Node:
        """Return the root directory of the root filesystem."""
        return self._wrap(self._sources[0].root(), 0, "")

    def children(self, directory: Node) -> dict[str, Node]:
        """Return the entries of a directory; one that is a mount point shows the root of what is mounted there."""
        place = self._place(directory)
        entries = self._sources[place.source].children(self._unwrap(directory))
        return {name: self._show(node, place, name) for name, node in entries.items()}

    def find(self, directory: Node, name: str) -> Node | None:
        """Return one entry of a directory, or ``None``."""
        place, plain = self._place(directory), self._unwrap(directory)
        source = self._sources[place.source]
        find = getattr(source, "find", None)
        node = source.children(plain).get(name) if find is None else find(plain, name)
        return None if node is None else self._show(node, place, name)

    def _show(self, node: Node, place: _Place, name: str) -> Node:
        """Return an entry as this source's own: what is mounted there, or the node itself."""
        path = f"{place.path}/{name}"
        number = self._mounts.get(path) if node.type is FileType.DIRECTORY else None
        if number is None:
            return self._wrap(node, place.source, path)
        return self._wrap(self._sources[number].root(), number, path)

    def data(self, file: Node, limit: int) -> bytes:
        """Return up to ``limit`` bytes of a regular file."""
        return self._sources[self._place(file).source].data(self._unwrap(file), limit)

    def target(self, link: Node) -> str:
        """Return a symbolic link's text."""
        return self._sources[self._place(link).source].target(self._unwrap(link))

    def parts(self, file: Node) -> ReadPart:
        """Return a function that reads parts of a regular file."""
        return open_parts(self._sources[self._place(file).source], self._unwrap(file))

    def xattr(self, file: Node, name: str) -> bytes | None:
        """Return an extended attribute; raises as :func:`imagekit.disk.tree.read_attribute`."""
        return read_attribute(self._sources[self._place(file).source], self._unwrap(file), name)

    def _wrap(self, node: Node, source: int, path: str) -> Node:
        # A directory's path is part of its handle only at mount points' ancestors: elsewhere two paths to one
        # directory must stay one object, or the walk could not see a loop.
        keep = node.type is FileType.DIRECTORY and any(f"{mount}/".startswith(f"{path}/") for mount in self._mounts)
        return _move(node, _Place(source, node.handle, path if keep else "/?"))

    @staticmethod
    def _place(node: Node) -> _Place:
        assert isinstance(node.handle, _Place)
        return node.handle

    def _unwrap(self, node: Node) -> Node:
        return _move(node, self._place(node).handle)


def _move(node: Node, handle: object) -> Node:
    """Return the node with another handle; dataclasses.replace takes three times as long, for every file there is."""
    return Node(node.type, node.mode, node.uid, node.gid, node.size, node.mtime, handle)


def mount_volumes(root: Volume, volumes: tuple[Volume, ...]) -> FileTree:
    """Return the tree of ``root`` with every other volume where the root's fstab mounts it.

    A source that is not on this disk is left out: that is a finding of its own, and its directory is empty then.
    """
    assert root.filesystem is not None
    plain = FileTree(root.filesystem)
    mounts: dict[str, Source] = {}
    for line in (plain.read("/etc/fstab", _LIMIT) or b"").decode("utf-8", "surrogateescape").splitlines():
        fields = line.split()
        if len(fields) < 3 or fields[0].startswith("#") or not fields[1].startswith("/") or fields[1] == "/":
            continue
        volume = next((each for each in volumes if each is not root and _is_named(each, fields[0])), None)
        path = plain.resolve(fields[1])
        if volume is None or path is None or path == "/":
            continue
        mounts[path] = volume.filesystem or _Refusing(fields[1], volume.problem)
    return FileTree(Mounted(root.filesystem, mounts)) if mounts else plain


def _is_named(volume: Volume, source: str) -> bool:
    """Say whether an fstab source means this volume."""
    if source.startswith("/dev/disk/"):  # the links of udev's 60-persistent-storage.rules
        by, _, name = source.removeprefix("/dev/disk/").partition("/")
        source = f"{_BY.get(by, '')}={name}"
    kind, equals, value = source.partition("=")
    value = value.strip('"')
    if not equals or not value:
        return source in volume.device_names
    match kind:
        case "UUID":
            return volume.uuid.lower() == value.lower()
        case "LABEL":
            return volume.label == value
        case "PARTUUID":
            return volume.partition is not None and volume.partition.guid.lower() == value.lower()
        case "PARTLABEL":
            return volume.partition is not None and volume.partition.name == value
        case _:
            return False
