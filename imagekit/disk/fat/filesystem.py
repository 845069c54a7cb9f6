"""FAT12, FAT16 and FAT32, read-only: the EFI system partition and boot partitions of SD cards."""

from collections.abc import Iterator

from imagekit.disk.fat.directory import DIRECTORY, LABEL, READ_ONLY, Entry, read_entries
from imagekit.disk.fat.layout import Clusters, read_boot_sector
from imagekit.disk.tree import FileType, Node
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

_MAX_DIRECTORY = 65536 * 32  # a directory has at most 65536 entries


def open_fat(window: Readable) -> "Fat":
    """Open the filesystem in ``window``; raises :class:`ImageDamaged` when its boot sector cannot be right."""
    return Fat(window)


class Fat:
    """A :class:`imagekit.disk.tree.Source`; a node's handle is its first cluster. Look-ups want ``ignore_case``."""

    def __init__(self, window: Readable) -> None:
        self._window = window
        self._boot = read_boot_sector(window)
        self._clusters = Clusters(window, self._boot)
        # Who owns a directory's cluster: one cluster in two directories would make the work larger than the image.
        self._owners: dict[int, int] = {}
        self.bits = self._boot.bits
        self.serial = self._boot.serial

    @property
    def label(self) -> str:
        """Return the volume label: the root directory's, else the boot sector's, else an empty text."""
        for entry in read_entries(self._directory(self._boot.root_cluster)):
            if entry.attributes & (LABEL | DIRECTORY) == LABEL:
                return entry.name
        return self._boot.label

    @property
    def dirty(self) -> bool:
        """Say whether it was not unmounted in order: by the boot sector's flag or the one in the table's entry 1."""
        if self._boot.dirty:
            return True
        match self.bits:
            case 12:  # has no such flag
                return False
            case 16:
                return self._clusters.entry(1) & 0xC000 != 0xC000
            case _:
                return self._clusters.entry(1) & 0x0C000000 != 0x0C000000

    def free_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of the free space in bytes, rising; nothing for one not unmounted in order."""
        from imagekit.disk.fat.free import find_free_clusters

        return iter(()) if self.dirty else find_free_clusters(self._window, self._boot)

    def root(self) -> Node:
        """Return the root directory, which has neither a date nor a mode of its own."""
        return Node(FileType.DIRECTORY, 0o755, 0, 0, 0, 0, self._boot.root_cluster)

    def children(self, directory: Node) -> dict[str, Node]:
        """Return the entries of a directory; raises :class:`ImageDamaged` for one that cannot be right."""
        found: dict[str, Node] = {}
        for entry in read_entries(self._directory(self._first(directory))):
            if entry.attributes & LABEL:
                continue
            if entry.name in found:
                raise ImageDamaged(f"a FAT directory has the name {entry.name!r} twice")
            found[entry.name] = self._node(entry)
        return found

    def data(self, file: Node, limit: int) -> bytes:
        """Return up to ``limit`` bytes from the beginning of a file."""
        length = min(file.size, max(limit, 0))
        chain = self._clusters.chain(self._first(file), -(-length // self._boot.cluster_size)) if length else []
        content = self._clusters.read(chain, length)
        if len(content) < length:
            raise ImageDamaged(f"a FAT file of {file.size} bytes has clusters for {len(content)} only")
        return content

    def target(self, link: Node) -> str:
        """Raise :class:`ImageDamaged`: FAT has no symbolic links."""
        raise ImageDamaged(f"FAT has no symbolic links, and the {link.type} was taken for one")

    def _first(self, node: Node) -> int:
        if not isinstance(node.handle, int):
            raise ImageDamaged("a file of another tree was asked for")
        return node.handle

    def _node(self, entry: Entry) -> Node:
        cluster = entry.cluster if self.bits == 32 else entry.cluster & 0xFFFF
        if entry.attributes & DIRECTORY:
            if not 2 <= cluster < self._boot.clusters + 2:
                raise ImageDamaged(f"FAT directory {entry.name!r} is said to begin at cluster {cluster}")
            return Node(FileType.DIRECTORY, 0o755, 0, 0, 0, entry.mtime, cluster)
        mode = 0o444 if entry.attributes & READ_ONLY else 0o644
        return Node(FileType.FILE, mode, 0, 0, entry.size, entry.mtime, cluster)

    def _directory(self, first: int) -> bytes:
        """Return the whole content of the directory that begins at cluster ``first``; 0 is the fixed root."""
        boot = self._boot
        if first == 0 and boot.bits != 32:
            return self._window.read(boot.root_offset, boot.root_size)
        limit = max(1, _MAX_DIRECTORY // boot.cluster_size)
        chain = self._clusters.chain(first, limit + 1)
        if len(chain) > limit:
            raise ImageDamaged(f"the FAT directory at cluster {first} has more than 65536 entries")
        for cluster in chain:
            if self._owners.setdefault(cluster, first) != first:
                raise ImageDamaged(f"FAT cluster {cluster} belongs to two directories")
        return self._clusters.read(chain, len(chain) * boot.cluster_size)
