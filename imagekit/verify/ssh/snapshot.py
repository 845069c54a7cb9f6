"""What is known so far about a machine's files, and what was asked for and is not known yet.

A miss is answered with nothing and written down; whoever asked compares :attr:`Snapshot.misses` before and after, and
asks again once :meth:`Snapshot.take_wanted` was fetched. When nothing more may be fetched (:meth:`Snapshot.finish`) a
miss raises :class:`imagekit.verify.view.CannotSee`: what was not fetched is not absent.
"""

from imagekit.disk.tree import FileTree, FileType, Node
from imagekit.verify.ssh.collect import DISKS
from imagekit.verify.ssh.wire import Answer, Entry, Request, decode_path
from imagekit.verify.view import CannotSee

MOST_OF_ONE_FILE = 16 << 20
MOST_BYTES = 64 << 20
_TYPES = {"f": FileType.FILE, "d": FileType.DIRECTORY, "l": FileType.SYMLINK, "o": FileType.OTHER}
# Empty on the disk below them, whatever they show while the machine runs.
_VOLATILE = frozenset(
    {
        "binfmt_misc", "bpf", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "fusectl",
        "hugetlbfs", "mqueue", "nsfs", "proc", "pstore", "ramfs", "rpc_pipefs", "securityfs", "selinuxfs", "sysfs",
        "tmpfs", "tracefs",
    }
)  # fmt: skip
_ROOT = Node(FileType.DIRECTORY, 0o755, 0, 0, 0, 0, "/")
DENIED = "it can be seen only as root or with passwordless sudo"


class Snapshot:
    """A :class:`imagekit.disk.tree.Source` over answers of the collector; handles are canonical paths."""

    def __init__(self) -> None:
        self.misses = 0
        self.uid = -1
        self.mounts: dict[str, str] = {}
        self._end = ""
        self._listings: dict[str, dict[str, Node] | str] = {}
        self._lookups: dict[str, Node | str | None] = {}
        self._contents: dict[str, tuple[bytes, bool] | str] = {}
        self._targets: dict[str, str] = {}
        self._read = 0  # bytes of files that a check asked for
        self._requested: set[str] = set()
        self._paths: set[str] = set()
        self._lists: set[str] = set()
        self._reads: dict[str, int] = {}

    # -- as a source -----------------------------------------------------------------------------------------------

    def root(self) -> Node:
        """Return the root directory."""
        return _ROOT

    def children(self, directory: Node) -> dict[str, Node]:
        """Return the entries of a directory; nothing for one that is still to be fetched."""
        path = str(directory.handle)
        known = self._find_mount(path) or self._listings.get(path)
        if isinstance(known, dict):
            return known
        if known is None:
            self._miss(path)
            self._lists.add(path)
            return {}
        return self._explain(path, known)

    def child(self, directory: Node, name: str, asked: str) -> Node | None:
        """Return one entry of a directory without its whole listing; ``asked`` is the path of which it is a part."""
        parent = str(directory.handle)
        listing = self._find_mount(parent) or self._listings.get(parent)
        if isinstance(listing, dict):
            return listing.get(name)
        if listing is not None and listing != "EFBIG":
            return self._explain(parent, listing).get(name)
        path = join(parent, name)
        if path not in self._lookups:
            self._miss(path)
            self._paths.add(_continue(path, name, asked))
            return None
        known = self._lookups[path]
        return self._explain(path, known).get(name) if isinstance(known, str) else known

    def data(self, file: Node, limit: int) -> bytes:
        """Return up to ``limit`` bytes of a regular file; nothing for one that is still to be fetched."""
        path = str(file.handle)
        if path in self.mounts:
            raise CannotSee(f"something is mounted over {path}: the file on the disk is not seen")
        known = self._contents.get(path)
        if isinstance(known, str):
            self._explain(path, known)
        elif known is not None:
            content, whole = known
            if whole or len(content) >= min(limit, file.size):
                return content[:limit]
        wanted = min(limit, file.size + 1)
        if wanted > MOST_OF_ONE_FILE:
            raise CannotSee(f"{path} is too large to be read over SSH: more than {MOST_OF_ONE_FILE >> 20} MiB")
        if self._read + wanted > MOST_BYTES:
            raise CannotSee(f"{path} was not read: more than {MOST_BYTES >> 20} MiB of files were asked for")
        self._miss(path)
        self._reads[path] = max(wanted, self._reads.get(path, 0))
        return b""

    def target(self, link: Node) -> str:
        """Return a symbolic link's text."""
        return self._targets[str(link.handle)]

    def _miss(self, path: str) -> None:
        if self._end:
            raise CannotSee(f"{path} was not read: {self._end}")
        self.misses += 1

    def is_mounted_file(self, path: str) -> bool:
        """Say whether something is mounted at ``path`` that is known to be a regular file."""
        parent, _, name = path.rpartition("/")
        listing = self._listings.get(parent or "/")
        node = listing.get(name) if isinstance(listing, dict) else None
        return path in self.mounts and node is not None and node.type is FileType.FILE

    def _find_mount(self, path: str) -> str:
        """Return how the collector names the mount of a filesystem that it does not enter; else nothing."""
        kind = self.mounts.get(path, "")
        return f"mount {kind}" if kind and kind not in DISKS else ""

    def _explain(self, path: str, problem: str) -> dict[str, Node]:
        """Return nothing for what is empty when the machine is off; raise for what could not be looked at."""
        kind, _, filesystem = problem.partition(" ")
        match kind:
            case "mount" if filesystem in _VOLATILE:
                return {}
            case "mount":
                raise CannotSee(f"{path} is on another filesystem ({filesystem[:40]}), which is not looked at")
            case "denied":
                raise CannotSee(f"{path} was not read: {DENIED}")
            case "EFBIG":
                raise CannotSee(f"{path} has too many entries")
            case _:
                raise CannotSee(f"{path} could not be read there: {kind[:40]}")

    # -- as a collection -------------------------------------------------------------------------------------------

    def take_wanted(self) -> Request | None:
        """Return what was missed since the last call, ``None`` when nothing was."""
        if not (self._paths or self._lists or self._reads):
            return None
        request = Request([(path, 6, 4096) for path in sorted(self._lists)], sorted(self._paths), self._reads)
        self._requested |= set(self._reads)
        self._paths, self._lists, self._reads = set(), set(), {}
        return request

    def finish(self, reason: str) -> None:
        """Fetch nothing any more; from now on a miss is an answer: not seen, for this reason."""
        self._end = reason

    def absorb(self, answer: Answer, blobs: memoryview) -> None:
        """Add an answer; raises :class:`imagekit.errors.HostFailed` for names that make no sense."""
        self.uid = answer.uid
        self.mounts = {decode_path(path): kind for path, kind in answer.mounts if path != "/"}
        for listing in answer.listings:
            path = decode_path(listing.path)
            self._listings[path] = listing.problem or dict(self._node(path, each) for each in listing.entries)
        for lookup in answer.lookups:
            path = decode_path(lookup.path)
            entry = lookup.entry
            node = None if entry is None else self._node(path.rpartition("/")[0], entry)[1]
            self._lookups[path] = lookup.problem or node
        at = 0
        for content in answer.contents:
            data = bytes(blobs[at : at + content.length])
            at += content.length
            path = decode_path(content.path)
            self._read += content.length if path in self._requested else 0
            self._contents[path] = content.problem or (data, content.whole)

    def _node(self, parent: str, entry: Entry) -> tuple[str, Node]:
        name = decode_path(entry.name)
        path = join(parent, name)
        if entry.kind == "l":
            self._targets[path] = decode_path(entry.target)
        node = Node(_TYPES[entry.kind], entry.mode, entry.uid, entry.gid, entry.size, entry.mtime, path)
        return name, node


class SnapshotTree(FileTree):
    """Paths over a snapshot; nothing is cached here, since the snapshot changes and a miss may not be remembered."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__(snapshot)
        self._snapshot = snapshot
        self._asked = ""

    def _find(self, path: str, *, follow: bool = True) -> tuple[str, Node] | None:
        self._asked = path
        return super()._find(path, follow=follow)

    def _child(self, directory: Node, name: str) -> tuple[str, Node] | None:
        node = self._snapshot.child(directory, name, self._asked)
        return None if node is None else (name, node)

    def _children(self, directory: Node) -> dict[str, Node]:
        return self._snapshot.children(directory)


def join(parent: str, name: str) -> str:
    """Return the path of an entry of a directory."""
    return f"{parent.rstrip('/')}/{name}"


def _continue(path: str, name: str, asked: str) -> str:
    """Return ``path`` with what ``asked`` has after ``name``: likely to be looked for next, and then at hand."""
    words = asked.split("/")
    if name not in words:
        return path
    place = len(words) - 1 - words[::-1].index(name)
    rest = [word for word in words[place + 1 :] if word not in ("", ".")]
    return path if ".." in rest else "/".join((path, *rest))
