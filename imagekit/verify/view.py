"""What a check may ask: files of the image, and, where the view has them, its partitions and filesystems.

A check asks for facts and never for a kind of view. What a view cannot see raises :class:`CannotSee`, which the runner
records as *not observed* with the reason; it never counts as passed.
"""

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar, cast

from imagekit.disk.tree import FileTree, FileType, Node
from imagekit.errors import ImageDamaged

if TYPE_CHECKING:
    from imagekit.disk.containers.open import Disk
    from imagekit.disk.partitions.gpt import PartitionTable
    from imagekit.disk.volume import Volume
    from imagekit.verify.live import LiveFacts
    from imagekit.verify.vm_config import VmConfig

Answer = TypeVar("Answer")
ESP_TYPE = "c12a7328-f81f-11d2-ba4b-00a0c93ec93b"  # UEFI specification 2.10, table 5.7

_LONGEST_LINE = 4096
_ABSURD = 64  # times what is read: a hosts file may hold a list of a few MiB, and none of a GiB
_MOST_OBJECTS = 4_000_000


class CannotSee(Exception):
    """This view does not show what was asked for; ``reason`` says why, in a few words."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ViewKind(StrEnum):
    """Where the facts come from."""

    DISK = "disk"
    DIRECTORY = "directory"
    SSH = "ssh"
    VM_CONFIG = "vm-config"


_BLIND = {
    ViewKind.DIRECTORY: "a directory has no partitions or filesystems to look at",
    ViewKind.SSH: "a running machine's partitions and filesystems are not read over SSH",
    ViewKind.VM_CONFIG: "a VM's configuration says nothing about what is on its disk",
}


class View:
    """Files under ``tree``; ``table``, ``volumes``, ``root_volume`` and ``esp`` exist only for a disk."""

    def __init__(
        self,
        kind: ViewKind,
        tree: FileTree,
        *,
        table: "PartitionTable | None" = None,
        volumes: "tuple[Volume, ...]" = (),
        root_volume: "Volume | None" = None,
        esp: FileTree | None = None,
        disk: "Disk | None" = None,
        vm_config: "VmConfig | None" = None,
        live: "LiveFacts | None" = None,
    ) -> None:
        self.kind = kind
        self.tree = tree
        self._table = table
        self._volumes = volumes
        self._root_volume = root_volume
        self._esp = esp
        self._disk = disk
        self._vm_config = vm_config
        self._live = live
        self._answers: dict[object, object] = {}
        self.deadline: float | None = None  # of time.monotonic(), in seconds; reading and walking end with it

    # -- files -----------------------------------------------------------------------------------------------------

    def text(self, path: str, limit: int = 1 << 20, *, head: bool = False) -> str | None:
        """Return a regular file as text, links followed; ``None`` when there is none.

        Raises :class:`CannotSee` for a file of more than ``limit`` bytes, whose end would not be judged, and
        :class:`ImageDamaged` for one that no honest image has; with ``head`` only its beginning is wanted.
        """
        self._check_time(path)
        data = self.tree.read(path, limit)
        if data is None:
            return None
        if len(data) >= limit and not head and (node := self.tree.stat(path)) is not None and node.size > limit:
            said = f"{path} has {node.size} bytes, of which {limit} would be read"
            raise ImageDamaged(said) if node.size > limit * _ABSURD else CannotSee(said)
        return data.decode("utf-8", "surrogateescape")

    def _check_time(self, path: str) -> None:
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise CannotSee(f"the time for this image ran out at {path}")

    def lines(self, path: str) -> list[str]:
        """Return the lines of :meth:`text`, each cut after 4096 characters, so that no pattern meets an endless one."""
        return [line[:_LONGEST_LINE] for line in (self.text(path) or "").splitlines()]

    def exists(self, path: str) -> bool:
        """Say whether ``path`` leads to something, links followed."""
        return self.tree.stat(path) is not None

    def is_file(self, path: str) -> bool:
        """Say whether ``path`` leads to a regular file, links followed."""
        node = self.tree.stat(path)
        return node is not None and node.type is FileType.FILE

    def children(self, directory: str, suffix: str = "") -> Iterator[tuple[str, Node]]:
        """Yield path and node (links not followed) of a directory's entries that end in ``suffix``, by name."""
        prefix = directory.rstrip("/")
        for name, node in self.tree.entries(directory):
            if name.endswith(suffix):
                yield f"{prefix}/{name}", node

    def files_below(self, directory: str) -> Iterator[tuple[str, Node]]:
        """Yield every entry below ``directory`` that is not itself a directory; links are named, not followed."""
        node = self.tree.lstat(directory)
        if node is None or node.type is not FileType.DIRECTORY:
            return
        for path, entry in self.walk(directory):
            if entry.type is not FileType.DIRECTORY:
                yield path, entry

    def walk(self, directory: str, skip: tuple[str, ...] = ()) -> Iterator[tuple[str, Node]]:
        """Yield every entry below ``directory`` as :meth:`FileTree.walk` does, while there is time."""
        for count, (path, entry) in enumerate(self.tree.walk(directory, _MOST_OBJECTS, skip)):
            if count % 1024 == 0:
                self._check_time(directory)
            yield path, entry

    # -- disk ------------------------------------------------------------------------------------------------------

    @property
    def has_disk(self) -> bool:
        """Say whether there are partitions to ask about."""
        return self.kind is ViewKind.DISK

    def _need_disk(self) -> None:
        if not self.has_disk:
            raise CannotSee(_BLIND[self.kind])

    def partition_table(self) -> "PartitionTable | None":
        """Return the GPT, or ``None`` when the disk has none; raises :class:`CannotSee` for a directory."""
        self._need_disk()
        return self._table

    def volumes(self) -> "tuple[Volume, ...]":
        """Return the filesystems in the order of their partitions; raises :class:`CannotSee` for a directory."""
        self._need_disk()
        return self._volumes

    def root_volume(self) -> "Volume":
        """Return the filesystem that holds ``/``; raises :class:`CannotSee` for a directory."""
        self._need_disk()
        if self._root_volume is None:
            raise CannotSee("the root filesystem was not identified")
        return self._root_volume

    def esp(self) -> FileTree | None:
        """Return the EFI system partition's tree, or ``None`` when the disk has none that is FAT.

        Raises :class:`CannotSee` for a directory.
        """
        self._need_disk()
        return self._esp

    def disk(self) -> "Disk":
        """Return the disk's bytes; raises :class:`CannotSee` for a view that has none."""
        self._need_disk()
        if self._disk is None:
            raise CannotSee("the bytes of the disk are not at hand")
        return self._disk

    # -- the machine around the disk -------------------------------------------------------------------------------

    @property
    def has_vm_config(self) -> bool:
        """Say whether a Proxmox VM's configuration was given with the target."""
        return self._vm_config is not None

    def vm_config(self) -> "VmConfig":
        """Return the Proxmox VM's configuration; raises :class:`CannotSee` when none was given."""
        if self._vm_config is None:
            raise CannotSee("no VM configuration was given")
        return self._vm_config

    @property
    def has_twin(self) -> bool:
        """Say whether a second machine was asked, to be compared with this one."""
        return self._live is not None and self._live.twin is not None

    def live(self) -> "LiveFacts":
        """Return what only a running machine tells; raises :class:`CannotSee` when the target does not run."""
        if self._live is None:
            raise CannotSee("only a running machine tells")
        return self._live

    # -- facts -----------------------------------------------------------------------------------------------------

    def recall(self, compute: Callable[["View"], Answer]) -> Answer:
        """Return ``compute(self)``, worked out once; an exception is remembered and raised again."""
        if compute not in self._answers:
            try:
                self._answers[compute] = compute(self)
            except Exception as problem:  # every check that asks must meet it, not only the first
                self._answers[compute] = _Raised(problem)
        answer = self._answers[compute]
        if isinstance(answer, _Raised):
            raise answer.problem
        return cast(Answer, answer)


@dataclass(frozen=True, slots=True)
class _Raised:
    problem: Exception


def fact(compute: Callable[[View], Answer]) -> Callable[[View], Answer]:
    """Make a function of a view compute once per view: several checks share what one of them has read."""

    @functools.wraps(compute)
    def remembered(view: View) -> Answer:
        return view.recall(compute)

    return remembered
