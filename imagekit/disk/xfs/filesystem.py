"""XFS, read-only: facts from the superblock are read here, files by libfsxfs in a child process with limits."""

from imagekit.disk.child.library import Library, LibraryFailed, parse_json
from imagekit.disk.tree import MAX_TARGET_BYTES, FileType, Node, ReadPart
from imagekit.disk.window import Readable
from imagekit.disk.xfs.layout import find_unread_features, is_log_clean, read_xfs_superblock
from imagekit.errors import ImageDamaged

_TYPES = {0x8000: FileType.FILE, 0x4000: FileType.DIRECTORY, 0xA000: FileType.SYMLINK}
_OTHER = (0x1000, 0x2000, 0x6000, 0xC000)  # FIFO, character and block device, socket
_MAX_ENTRIES = 250_000
_PIECE = 4 << 20
_MAX_FILE = 256 << 20
_MAX_VALUE = 1 << 16
_REMOTE_LINK = b"XSLM"
_FLAGS_BYTE = 219  # the lowest of the incompatible features
_HARMLESS_FLAGS = 0x14


def open_xfs(window: Readable) -> "Xfs":
    """Open the filesystem in ``window``; raises :class:`ImageDamaged` when its superblock cannot be right.

    The child process starts with the first file that is asked for, and ends with :meth:`Xfs.close`.
    """
    return Xfs(window)


class Xfs:
    """A :class:`imagekit.disk.tree.Source`; a node's handle is its inode number.

    Counts are in blocks and inodes. What needs the library raises :class:`LibraryMissing` without
    it, and :class:`LibraryFailed` when it cannot tell. The library does not tell names that are not UTF-8: such a file
    is listed as U+FFFD and ``inode-NUMBER``.
    """

    def __init__(self, window: Readable) -> None:
        self._window = window
        self._super = read_xfs_superblock(window)
        self.uuid = self._super.uuid
        self.label = self._super.label
        self.block_size = self._super.block_size
        self.block_count = self._super.block_count
        self.free_blocks = self._super.free_blocks
        self.inode_count = self._super.inode_count
        self.free_inodes = self._super.free_inodes
        self.features = self._super.features
        self._library = Library("pyfsxfs", _Simplified(window), "the XFS filesystem")

    def close(self) -> None:
        """End the child process, if it runs."""
        self._library.close()

    @property
    def log_clean(self) -> bool | None:
        """Say whether nothing waits in the log; ``None`` when the log is on another device."""
        return is_log_clean(self._window, self._super)

    @property
    def needs_repair(self) -> bool:
        """Say whether the filesystem is marked as one that xfs_repair(8) has to mend first."""
        return "needs-repair" in self.features

    def root(self) -> Node:
        """Return the root directory."""
        if unread := find_unread_features(self._super):
            raise LibraryFailed(f"the XFS filesystem uses what is not read: {', '.join(unread)}")
        _, body = self._library.ask("root")
        found = self._parse_entries(body)
        if len(found) != 1 or found[0][1].type is not FileType.DIRECTORY:
            raise ImageDamaged("the root of the XFS filesystem is no directory")
        return found[0][1]

    def children(self, directory: Node) -> dict[str, Node]:
        """Return the entries of a directory, in one answer of the child."""
        inode = _number(directory)
        _, body = self._library.ask("children", inode=inode)
        found: dict[str, Node] = {}
        for name, node in self._parse_entries(body):
            if not name or name in (".", "..") or "/" in name or "\0" in name or name in found:
                raise ImageDamaged(f"directory {inode} has the name {name!r}, which cannot be")
            found[name] = node
        return found

    def data(self, file: Node, limit: int) -> bytes:
        """Return up to ``limit`` bytes from the beginning of a regular file."""
        return self._read(file, 0, min(file.size, max(limit, 0)))

    def parts(self, file: Node) -> ReadPart:
        """Return a function that reads parts of a regular file without what lies before them."""
        return lambda offset, length: self._read(file, offset, max(0, min(length, file.size - offset)))

    def _read(self, file: Node, begin: int, length: int) -> bytes:
        """Return ``length`` bytes, of which the caller knows that the file has them; holes read as zeros."""
        if length > _MAX_FILE:
            raise ImageDamaged(f"{length} bytes of inode {file.handle} are more than is read at once")
        inode = _number(file)
        content = bytearray()
        while len(content) < length:
            place, wanted = begin + len(content), min(_PIECE, length - len(content))
            _, part = self._library.ask("read", most=wanted, inode=inode, offset=place, length=wanted)
            if not part:
                raise ImageDamaged(f"inode {inode} has {place} of the {file.size} bytes that it claims")
            content += part
        return bytes(content)

    def target(self, link: Node) -> str:
        """Return a symbolic link's text."""
        _, text = self._library.ask("target", most=MAX_TARGET_BYTES, inode=_number(link))
        if text.startswith(_REMOTE_LINK):  # the library takes the header of a link in a block of its own for its text
            raise LibraryFailed(f"the symbolic link in inode {link.handle} is too long for libfsxfs")
        if not text or b"\0" in text:
            raise ImageDamaged(f"the symbolic link in inode {link.handle} is empty or contains NUL")
        return text.decode(errors="surrogateescape")

    def xattr(self, node: Node, name: str) -> bytes | None:
        """Return an extended attribute such as ``security.capability``; ``None`` when there is none of that name."""
        # The library has the names of xfs_attr's own spaces: "secure" for what Linux calls "security".
        own = f"secure.{name.removeprefix('security.')}" if name.startswith("security.") else name
        present, value = self._library.ask("attribute", most=_MAX_VALUE, inode=_number(node), name=own)
        return value if present is True else None

    def _parse_entries(self, body: bytes) -> list[tuple[str, Node]]:
        """Return names and nodes of an answer, nothing of which is believed before it was looked at."""
        entries = parse_json(body)
        if not isinstance(entries, list) or len(entries) > _MAX_ENTRIES:
            raise LibraryFailed("the XFS filesystem cannot be read: its reader's answer is no list of files")
        return [self._parse_entry(entry) for entry in entries]

    def _parse_entry(self, entry: object) -> tuple[str, Node]:
        match entry:
            case [str(name), int(inode), int(mode), int(uid), int(gid), int(size), int(mtime)] if (
                0 < inode < 1 << 64 and 0 <= size < 1 << 63 and 0 <= uid < 1 << 32 and 0 <= gid < 1 << 32
            ):
                kind = mode & 0xF000
                type_ = _TYPES.get(kind)
                if type_ is None and kind not in _OTHER:
                    raise ImageDamaged(f"inode {inode} has the mode {mode:#o}, which is no kind of file")
                seconds = mtime // 1_000_000_000
                return name, Node(type_ or FileType.OTHER, mode & 0xFFF, uid, gid, size, seconds, inode)
            case _:
                raise LibraryFailed("the XFS filesystem cannot be read: its reader's answer describes no file")


class _Simplified:
    """The filesystem without two flags that change nothing for a reader, and for which libfsxfs refuses to open it.

    They are ``meta-uuid``, which ``xfs_admin -U`` sets, and ``needs-repair``; both are in one byte of the superblock.
    """

    def __init__(self, window: Readable) -> None:
        self._window = window
        self.size = window.size

    def read(self, offset: int, length: int) -> bytes:
        data = self._window.read(offset, length)
        at = _FLAGS_BYTE - offset
        return data[:at] + bytes([data[at] & ~_HARMLESS_FLAGS]) + data[at + 1 :] if 0 <= at < length else data


def _number(node: Node) -> int:
    if not isinstance(node.handle, int):
        raise ImageDamaged("a file of another tree was asked for")
    return node.handle
