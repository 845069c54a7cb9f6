"""ext2, ext3 and ext4, read-only, without root or a mount: files, links and attributes of a partition.

The journal is not replayed: a transaction in it is as hostile as the rest, and a template that needs recovery is worth
a finding. Checksums are not compared; every number is checked against the partition instead.
"""

from collections.abc import Iterator

from imagekit.disk.ext4.attributes import MAX_VALUE, read_block_attributes, read_inode_attributes
from imagekit.disk.ext4.block_map import map_blocks
from imagekit.disk.ext4.directory import read_entries
from imagekit.disk.ext4.layout import (
    FLAG_ENCRYPTED,
    FLAG_EXTENTS,
    FLAG_INLINE_DATA,
    ROOT_INODE,
    Inode,
    InodeTable,
    read_superblock,
)
from imagekit.disk.tree import MAX_TARGET_BYTES, FileType, Node, ReadPart
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

_TYPES = {0x8000: FileType.FILE, 0x4000: FileType.DIRECTORY, 0xA000: FileType.SYMLINK}
_OTHER = (0x1000, 0x2000, 0x6000, 0xC000)  # FIFO, character and block device, socket
_MAX_DIRECTORY = 32 << 20
_MAX_ENTRIES = 250_000


def open_ext4(window: Readable) -> "Ext4":
    """Open the filesystem in ``window``; raises :class:`ImageDamaged` when its superblock cannot be right."""
    return Ext4(window)


class Ext4:
    """A :class:`imagekit.disk.tree.Source`; a node's handle is its inode number.

    Counts are in blocks and inodes; ``last_mount_time`` is in seconds since 1970, 0 for a filesystem never mounted.
    """

    def __init__(self, window: Readable) -> None:
        self._window = window
        self._super = read_superblock(window)
        self._inodes = InodeTable(window, self._super)
        # Who owns a directory's block: one block in two directories would make the work larger than the image.
        self._owners: dict[int, int] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._known_names = 0
        self.uuid = self._super.uuid
        self.label = self._super.label
        self.block_size = self._super.block_size
        self.block_count = self._super.blocks_count
        self.free_blocks = self._super.free_blocks
        self.inode_count = self._super.inodes_count
        self.free_inodes = self._super.free_inodes
        self.features = self._super.features
        self.mount_count = self._super.mount_count
        self.last_mount_time = self._super.mount_time
        self.error_count = self._super.error_count
        self.has_orphans = self._super.last_orphan != 0 or "orphan_present" in self.features

    @property
    def state_clean(self) -> bool:
        """Say whether it was unmounted in order and no error is recorded (``s_state``)."""
        return self._super.state & 3 == 1

    @property
    def has_errors(self) -> bool:
        """Say whether the kernel found an error in it (``s_state``)."""
        return bool(self._super.state & 2)

    @property
    def needs_recovery(self) -> bool:
        """Say whether its journal holds transactions that were not replayed."""
        return "needs_recovery" in self.features

    def free_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of the free space in bytes, rising; see :func:`find_free_ranges` for what it trusts.

        Nothing is yielded for a filesystem whose bitmaps may be old.
        """
        from imagekit.disk.ext4.free import find_free_ranges

        return find_free_ranges(self._window, self._super)

    def slack_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of what lies between a file's end and the end of its last block, in inode order."""
        from imagekit.disk.ext4.slack import find_slack

        return find_slack(self._window, self._super)

    def root(self) -> Node:
        """Return the root directory, inode 2."""
        root = self._node(self._inodes.read(ROOT_INODE))
        if root.type is not FileType.DIRECTORY:
            raise ImageDamaged("the root of the ext4 filesystem is no directory")
        return root

    def children(self, directory: Node) -> dict[str, Node]:
        """Return the entries of a directory; raises :class:`ImageDamaged` for one that cannot be right."""
        return {name: self._node(self._inodes.read(number)) for name, number in self._list(directory).items()}

    def find(self, directory: Node, name: str) -> Node | None:
        """Return one entry of a directory: a look at one file must not read the inodes of a thousand others."""
        number = self._list(directory).get(name)
        return None if number is None else self._node(self._inodes.read(number))

    def _list(self, directory: Node) -> dict[str, int]:
        """Return the inode numbers of a directory's entries, read once."""
        known = self._names.get(self._number(directory))
        if known is not None:
            return known
        inode = self._inodes.read(self._number(directory))
        self._refuse_encrypted(inode)
        found: dict[str, int] = {}
        for block in self._directory_blocks(inode):
            for name, number in read_entries(block, inode.number):
                if name in found:
                    raise ImageDamaged(f"directory {inode.number} has the name {name!r} twice")
                if len(found) >= _MAX_ENTRIES:
                    raise ImageDamaged(f"directory {inode.number} has more than {_MAX_ENTRIES} entries")
                found[name] = number
        self._known_names += len(found)
        if self._known_names > _MAX_ENTRIES:  # forgotten before a hostile tree can fill memory
            self._names.clear()
            self._known_names = len(found)
        self._names[inode.number] = found
        return found

    def data(self, file: Node, limit: int) -> bytes:
        """Return up to ``limit`` bytes from the beginning of a regular file."""
        inode = self._inodes.read(self._number(file))
        self._refuse_encrypted(inode)
        return self._content(inode, min(inode.size, max(limit, 0)))

    def parts(self, file: Node) -> ReadPart:
        """Return a function that reads parts of a regular file without what lies before them."""
        inode = self._inodes.read(self._number(file))
        self._refuse_encrypted(inode)

        def read(offset: int, length: int) -> bytes:
            end = min(offset + length, inode.size)
            if not 0 <= offset < end:
                return b""
            if inode.flags & FLAG_INLINE_DATA:
                return self._content(inode, end)[offset:]
            return self._part(inode, offset, end)

        return read

    def target(self, link: Node) -> str:
        """Return a symbolic link's text."""
        inode = self._inodes.read(self._number(link))
        self._refuse_encrypted(inode)
        if not 0 < inode.size <= MAX_TARGET_BYTES:
            raise ImageDamaged(f"the symbolic link in inode {inode.number} has {inode.size} bytes")
        fast = inode.size < 60 and not inode.flags & (FLAG_EXTENTS | FLAG_INLINE_DATA)
        text = inode.blocks[: inode.size] if fast else self._content(inode, inode.size)
        if b"\0" in text:
            raise ImageDamaged(f"the symbolic link in inode {inode.number} contains NUL")
        return text.decode(errors="surrogateescape")

    def xattr(self, node: Node, name: str) -> bytes | None:
        """Return an extended attribute such as ``security.capability``; ``None`` when there is none of that name."""
        return self._attribute(self._inodes.read(self._number(node)), name)

    def _attribute(self, inode: Inode, name: str) -> bytes | None:
        attributes = list(read_inode_attributes(inode))
        if inode.attribute_block:
            block = inode.attribute_block
            if not self._super.first_data_block < block < self._super.blocks_count:
                raise ImageDamaged(f"the attribute block of inode {inode.number} is said to be block {block}")
            content = self._window.read(block * self.block_size, self.block_size)
            attributes.extend(read_block_attributes(content, inode.number))
        for attribute in attributes:
            if attribute.name != name:
                continue
            if not attribute.value_inode:
                return attribute.value
            holder = self._inodes.read(attribute.value_inode)
            if not attribute.size == holder.size <= MAX_VALUE or holder.flags & FLAG_INLINE_DATA:
                raise ImageDamaged(f"the attribute {name} of inode {inode.number} claims {attribute.size} bytes")
            return self._content(holder, holder.size)
        return None

    def _number(self, node: Node) -> int:
        if not isinstance(node.handle, int):
            raise ImageDamaged("a file of another tree was asked for")
        return node.handle

    def _refuse_encrypted(self, inode: Inode) -> None:
        if inode.flags & FLAG_ENCRYPTED:
            raise ImageDamaged(f"inode {inode.number} is encrypted and cannot be read")

    def _node(self, inode: Inode) -> Node:
        kind = inode.mode & 0xF000
        type_ = _TYPES.get(kind)
        if type_ is None:
            if kind not in _OTHER:
                raise ImageDamaged(f"inode {inode.number} has the mode {inode.mode:#o}, which is no kind of file")
            type_ = FileType.OTHER
        return Node(type_, inode.mode & 0xFFF, inode.uid, inode.gid, inode.size, inode.mtime, inode.number)

    def _content(self, inode: Inode, length: int) -> bytes:
        """Return the first ``length`` bytes, of which the caller knows that they are not more than the size."""
        if inode.flags & FLAG_INLINE_DATA:
            # mke2fs -d keeps a file that is one hole as inline data without data; as in Linux, the rest is zeros.
            return self._inline(inode)[:length].ljust(length, b"\0")
        content = bytearray(length)
        size = self.block_size
        for logical, physical, count in map_blocks(self._window, self._super, inode, -(-length // size)):
            begin = logical * size
            end = min(begin + count * size, length)
            content[begin:end] = self._window.read(physical * size, end - begin)
        return bytes(content)

    def _part(self, inode: Inode, begin: int, end: int) -> bytes:
        """Return the bytes from ``begin`` to ``end``, which lie within the file; holes read as zeros."""
        content = bytearray(end - begin)
        size = self.block_size
        for logical, physical, count in map_blocks(self._window, self._super, inode, -(-end // size)):
            first, last = max(logical * size, begin), min((logical + count) * size, end)
            if first < last:
                content[first - begin : last - begin] = self._window.read(
                    physical * size + first - logical * size, last - first
                )
        return bytes(content)

    def _inline(self, inode: Inode) -> bytes:
        """Return what is kept inside the inode: 60 bytes of the block map, then the attribute ``system.data``."""
        rest = b""
        if inode.size > len(inode.blocks):
            rest = next((each.value for each in read_inode_attributes(inode) if each.name == "system.data"), b"")
        return (inode.blocks + rest)[: inode.size]

    def _directory_blocks(self, inode: Inode) -> Iterator[bytes]:
        """Yield the directory's blocks, each of which may belong to one directory only."""
        if inode.flags & FLAG_INLINE_DATA:
            # The parent's number in four bytes, then entries; those in the attribute are a block of their own.
            content = self._inline(inode)
            if len(content) < inode.size:
                raise ImageDamaged(f"directory {inode.number} claims {inode.size} bytes inside its inode and has fewer")
            yield from (part for part in (content[4:60], content[60:]) if part)
            return
        size = self.block_size
        if inode.size % size or inode.size > min(_MAX_DIRECTORY, self._window.size):
            raise ImageDamaged(f"directory {inode.number} has {inode.size} bytes")
        done = 0
        seen: set[int] = set()
        for logical, physical, count in map_blocks(self._window, self._super, inode, inode.size // size):
            if logical != done:
                raise ImageDamaged(f"directory {inode.number} has a hole")
            for block in range(physical, physical + count):
                if block in seen or self._owners.setdefault(block, inode.number) != inode.number:
                    raise ImageDamaged(
                        f"block {block} is used twice, by directories {self._owners[block]} and {inode.number}"
                    )
                seen.add(block)
            content = self._window.read(physical * size, count * size)
            yield from (content[begin : begin + size] for begin in range(0, len(content), size))
            done += count
        if done != inode.size // size:
            raise ImageDamaged(f"directory {inode.number} has {inode.size} bytes and {done} blocks")
