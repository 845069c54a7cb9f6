"""What this machine does with its disks: which filesystems, swap and volumes are on which of them.

Read from /sys/block and /proc once, as a value; the questions are then answered without looking at the machine again.
Formats: proc(5) for ``mountinfo`` and ``swaps``.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from imagekit.deliver.flash.sysfs import SYS

PROC = Path("/proc")
# Where a system keeps itself: a disk that carries one of these is never a card to be written.
_SYSTEM_POINTS = frozenset({"/", "/boot", "/efi", "/nix", "/usr", "/var", "/home", "/etc", "/opt", "/root"})
_SYSTEM_TREES = ("/boot/", "/nix/", "/efi/")
_ESCAPED = re.compile(rb"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Node:
    """A disk or partition and what it is made of: the disk around a partition, the devices under a volume.

    ``title`` is what the kernel's own name does not say: a volume's name, a RAID's level. ``backing_file`` is that of a
    loop device.
    """

    name: str
    number: str
    parent: str = ""
    made_of: tuple[str, ...] = ()
    title: str = ""
    backing_file: str = ""


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted filesystem: its device number (of no use for btrfs and others), where it is, and what was mounted."""

    number: str
    point: str
    filesystem: str
    source: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Everything that tells what the disks are used for. ``groups`` are the devices of each btrfs filesystem."""

    nodes: Mapping[str, Node]
    mounts: tuple[Mount, ...]
    swaps: tuple[str, ...]
    groups: tuple[frozenset[str], ...] = ()

    def find_disks(self, *names: str) -> frozenset[str]:
        """Return the whole disks below these devices, through partitions, volumes and loops; a disk is its own.

        A loop device is a disk itself, and the disk with its file is below it.
        """
        found: set[str] = set()
        waiting, seen = list(names), set[str]()
        while waiting:
            node = self.nodes.get(waiting.pop())
            if node is None or node.name in seen:  # a file may seem to be on the very loop device that it is under
                continue
            seen.add(node.name)
            below = [node.parent] if node.parent else list(node.made_of)
            if not below:
                found.add(node.name)
            if node.backing_file:
                below += [self._find_node(node.backing_file) or "", *self._name_nodes_of_path(node.backing_file)]
            waiting += below
        return frozenset(found)

    def find_disks_of_path(self, path: str) -> frozenset[str]:
        """Return the disks that hold the file ``path`` (absolute, without links)."""
        return self.find_disks(*self._name_nodes_of_path(path))

    def find_disks_of_mount(self, mount: Mount) -> frozenset[str]:
        """Return the disks of a mounted filesystem, all of them when it has several."""
        return self.find_disks(*self._name_nodes(mount))

    def list_mounts(self, disk: str) -> tuple[Mount, ...]:
        """Return what is mounted from ``disk``, in the order in which it was."""
        return tuple(mount for mount in self.mounts if disk in self.find_disks_of_mount(mount))

    def list_swaps(self, disk: str) -> tuple[str, ...]:
        """Return the swap partitions and files on ``disk``."""
        return tuple(path for path in self.swaps if disk in self._find_disks_of_swap(path))

    def list_holders(self, disk: str) -> tuple[Node, ...]:
        """Return the volumes, RAIDs and loop devices that are made of ``disk`` or of its partitions."""
        own = {disk, *(node.name for node in self.nodes.values() if node.parent == disk)}
        return tuple(
            node
            for node in self.nodes.values()
            if own.intersection(node.made_of) or (node.backing_file and self._find_node(node.backing_file) in own)
        )

    def list_system_uses(self, disk: str, kept: Mapping[str, str]) -> tuple[str, ...]:
        """Return what this system and this run keep on ``disk``, as the ends of "it carries …"; swap is not among it.

        ``kept`` maps such a phrase ("the store") to a path.
        """
        uses = [
            mount.point
            for mount in self.mounts
            if (mount.point in _SYSTEM_POINTS or mount.point.startswith(_SYSTEM_TREES))
            and disk in self.find_disks_of_mount(mount)
        ]
        uses += [phrase for phrase, path in kept.items() if disk in self.find_disks_of_path(path)]
        return tuple(dict.fromkeys(uses))

    def _find_disks_of_swap(self, path: str) -> frozenset[str]:
        name = self._find_node(path)
        return self.find_disks(name) if name else self.find_disks_of_path(path)

    def _name_nodes_of_path(self, path: str) -> frozenset[str]:
        """Return the devices that were mounted nearest to ``path``; a later mount hides an earlier one."""
        nearest: Mount | None = None
        for mount in self.mounts:
            inside = f"{path}/".startswith(mount.point.rstrip("/") + "/")
            if inside and (nearest is None or len(mount.point) >= len(nearest.point)):
                nearest = mount
        return frozenset() if nearest is None else self._name_nodes(nearest)

    def _name_nodes(self, mount: Mount) -> frozenset[str]:
        names = {node.name for node in self.nodes.values() if node.number == mount.number}
        if not names:  # btrfs has a number of its own
            names = {self._find_node(mount.source)} - {""}
        for group in self.groups:
            if names & group:
                names |= group
        return frozenset(names)

    def _find_node(self, path: str) -> str:
        """Return the kernel's name of the device ``path`` below /dev; empty when it is none, or an unknown one."""
        if not path.startswith("/dev/"):
            return ""
        name = path.removeprefix("/dev/").replace("/", "!")
        if name in self.nodes:
            return name
        title = path.rpartition("/")[2]
        return next((node.name for node in self.nodes.values() if node.title == title), "")


def read_usage(sys: Path = SYS, proc: Path = PROC) -> Usage:
    """Return what this machine's disks are used for, as this process's mount namespace shows it.

    What is mounted in another namespace, and a filesystem that is being unmounted lazily, is not seen here; opening the
    disk exclusively meets both.
    """
    nodes = {node.name: node for node in _read_nodes(sys)}
    mounts = read_mounts((proc / "self/mountinfo").read_bytes())
    try:
        swaps = read_swaps((proc / "swaps").read_bytes())
    except OSError:  # a kernel without swap
        swaps = ()
    groups = frozenset(
        frozenset(path.name for path in group.iterdir()) for group in (sys / "fs/btrfs").glob("*/devices")
    )
    return Usage(nodes, mounts, swaps, tuple(groups))


def read_mounts(text: bytes) -> tuple[Mount, ...]:
    """Return the lines of a ``mountinfo``; devices are written as the kernel names them, links resolved."""
    mounts = []
    for line in text.splitlines():
        head, dash, tail = line.partition(b" - ")
        fields, rest = head.split(), tail.split()
        if dash and len(fields) >= 5 and len(rest) >= 2:
            source = resolve_node(_unescape(rest[1]))
            mounts.append(Mount(_unescape(fields[2]), _unescape(fields[4]), _unescape(rest[0]), source))
    return tuple(mounts)


def read_swaps(text: bytes) -> tuple[str, ...]:
    """Return the devices and files in a ``/proc/swaps``."""
    lines = text.splitlines()[1:]
    return tuple(resolve_node(_unescape(line.split()[0])) for line in lines if line.split())


def resolve_node(path: str) -> str:
    """Return a path below /dev without links: /dev/mapper/… and /dev/disk/by-…/… are links to the kernel's names."""
    if path.startswith("/dev/"):
        with contextlib.suppress(OSError, RuntimeError):
            return str(Path(path).resolve())
    return path


def _unescape(field: bytes) -> str:
    """Return a field with its blanks and backslashes, which the kernel writes in octal."""
    return _ESCAPED.sub(lambda match: bytes([int(match.group(1), 8) & 0xFF]), field).decode(errors="surrogateescape")


def _read_nodes(sys: Path) -> Iterable[Node]:
    """Yield every disk and its partitions."""
    for place in sorted((sys / "block").iterdir()):
        backing = _read(place / "loop/backing_file").removesuffix(" (deleted)")
        yield Node(
            place.name,
            _read(place / "dev"),
            made_of=_list_names(place / "slaves"),
            title=_read(place / "dm/name") or _read(place / "md/level"),
            backing_file=resolve_node(backing),
        )
        for child in sorted(place.iterdir()):
            if (child / "partition").is_file():
                yield Node(child.name, _read(child / "dev"), parent=place.name)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="surrogateescape").strip()
    except OSError:
        return ""


def _list_names(path: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(child.name for child in path.iterdir()))
    except OSError:
        return ()
