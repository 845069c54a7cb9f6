"""A directory of this machine (a chroot, a mounted image) as a source, opened name by name below its root.

A symbolic link is never followed by the kernel here: each component is opened relative to the one before it with
O_NOFOLLOW (openat(2)), and what was opened is compared with what was seen, so a link that is swapped in meanwhile leads
to an error and not to a file of the host. Devices, FIFOs and sockets are described and never opened.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from imagekit.disk.tree import MAX_TARGET_BYTES, FileType, Node, ReadPart
from imagekit.errors import ImageDamaged, VerificationFailed

_TYPES = {stat.S_IFREG: FileType.FILE, stat.S_IFDIR: FileType.DIRECTORY, stat.S_IFLNK: FileType.SYMLINK}
_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_MAX_ENTRIES = 250_000


class Unreadable(VerificationFailed):
    """This user may not read something in the directory, or it went away; what was asked for was not seen."""


@dataclass(frozen=True, slots=True, eq=False)
class _Place:
    """Where a node is: names below the root, and which device and inode was seen there."""

    names: tuple[str, ...]
    device: int
    inode: int

    # Two paths to one directory are one place: the walk's visited set sees a bind-mounted loop.
    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place) and (self.device, self.inode) == (other.device, other.inode)

    def __hash__(self) -> int:
        return hash((self.device, self.inode))


class Directory:
    """A :class:`imagekit.disk.tree.Source` over the real directory ``root``.

    Directories on which another filesystem is mounted are listed and, with ``one_filesystem``, not entered;
    ``not_entered`` names them, so that nobody takes them for empty. Raises :class:`Unreadable` for what this user may
    not read. Use :meth:`close`, or a ``with`` block, to give the root's descriptor back.
    """

    def __init__(self, root: Path, *, one_filesystem: bool = True) -> None:
        self._path = root
        self._one_filesystem = one_filesystem
        self.not_entered: set[str] = set()
        self._descriptor = -1
        with self._explained(()):
            # The root itself is the operator's word and may be a link.
            self._descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._device = os.fstat(self._descriptor).st_dev

    def __enter__(self) -> "Directory":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the root; a second call does nothing."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def root(self) -> Node:
        """Return the directory itself."""
        return self._node(os.fstat(self._descriptor), ())

    def children(self, directory: Node) -> dict[str, Node]:
        """Return the entries of a directory; none for one on which another filesystem is mounted."""
        place = self._place(directory)
        if self._one_filesystem and place.device != self._device:
            self.not_entered.add("/" + "/".join(place.names))
            return {}
        found: dict[str, Node] = {}
        with self._explained(place.names), self._opened(place) as descriptor:
            for name in os.listdir(descriptor):  # noqa: PTH208 - pathlib cannot list a descriptor
                if len(found) >= _MAX_ENTRIES:
                    raise ImageDamaged(f"directory {'/'.join(place.names)} has more than {_MAX_ENTRIES} entries")
                with contextlib.suppress(FileNotFoundError):  # removed since it was listed
                    status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    found[name] = self._node(status, (*place.names, name))
        return found

    def data(self, file: Node, limit: int) -> bytes:
        """Return up to ``limit`` bytes from the beginning of a regular file."""
        place = self._place(file)
        with self._explained(place.names), self._parent(place) as (parent, name):
            if not stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise ImageDamaged(f"{'/'.join(place.names)} is no regular file any more")
            descriptor = os.open(name, _OPEN_FILE, dir_fd=parent)
            with os.fdopen(descriptor, "rb", buffering=0) as opened:
                self._compare(descriptor, place)
                content = bytearray()
                while len(content) < limit and (piece := opened.read(min(limit - len(content), 1 << 20))):
                    content += piece
                return bytes(content)

    def parts(self, file: Node) -> ReadPart:
        """Return a function that reads parts of a regular file, which is opened anew each time."""
        place = self._place(file)

        def read(offset: int, length: int) -> bytes:
            with self._explained(place.names), self._parent(place) as (parent, name):
                if not stat.S_ISREG(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    raise ImageDamaged(f"{'/'.join(place.names)} is no regular file any more")
                descriptor = os.open(name, _OPEN_FILE, dir_fd=parent)
                with os.fdopen(descriptor, "rb", buffering=0):
                    self._compare(descriptor, place)
                    return os.pread(descriptor, length, offset)

        return read

    def target(self, link: Node) -> str:
        """Return a symbolic link's text."""
        place = self._place(link)
        with self._explained(place.names), self._parent(place) as (parent, name):
            text = os.readlink(name, dir_fd=parent)
        if len(os.fsencode(text)) > MAX_TARGET_BYTES:
            raise ImageDamaged(f"the symbolic link {'/'.join(place.names)} is longer than {MAX_TARGET_BYTES} bytes")
        return text

    def _place(self, node: Node) -> _Place:
        if not isinstance(node.handle, _Place):
            raise ImageDamaged("a file of another tree was asked for")
        return node.handle

    def _node(self, status: os.stat_result, names: tuple[str, ...]) -> Node:
        return Node(
            _TYPES.get(stat.S_IFMT(status.st_mode), FileType.OTHER),
            stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            status.st_size,
            int(status.st_mtime),
            _Place(names, status.st_dev, status.st_ino),
        )

    @contextlib.contextmanager
    def _opened(self, place: _Place) -> Iterator[int]:
        """Open a directory component by component; closed at the end of the block."""
        descriptor = self._descend(place.names)
        try:
            self._compare(descriptor, place)
            yield descriptor
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _parent(self, place: _Place) -> Iterator[tuple[int, str]]:
        """Open the directory that holds the place and yield it with the last name."""
        descriptor = self._descend(place.names[:-1])
        try:
            yield descriptor, place.names[-1]
        finally:
            os.close(descriptor)

    def _descend(self, names: tuple[str, ...]) -> int:
        descriptor = os.dup(self._descriptor)
        for name in names:
            try:
                following = os.open(name, _OPEN_DIRECTORY, dir_fd=descriptor)
            finally:
                os.close(descriptor)
            descriptor = following
        return descriptor

    def _compare(self, descriptor: int, place: _Place) -> None:
        """Raise unless what was opened is what was seen: a rename or a link may have come in between."""
        status = os.fstat(descriptor)
        if (status.st_dev, status.st_ino) != (place.device, place.inode):
            raise ImageDamaged(f"{'/'.join(place.names) or self._path} was replaced while it was read")

    @contextlib.contextmanager
    def _explained(self, names: tuple[str, ...]) -> Iterator[None]:
        """Turn the kernel's refusal into a sentence."""
        try:
            yield
        except OSError as problem:
            raise Unreadable(
                f"{self._path.joinpath(*names)} cannot be read: {problem.strerror}",
                hint="read it as the owner of its files, or give the disk image itself",
            ) from problem
