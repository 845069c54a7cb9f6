"""Open a VM's configuration for checking, without a disk."""

import contextlib
from collections.abc import Iterator

from imagekit.disk.tree import FileTree, FileType, Node
from imagekit.errors import VerificationFailed
from imagekit.verify.view import View, ViewKind
from imagekit.verify.vm_config import VmConfig


class _Nothing:
    """The tree of a view that has no files."""

    def root(self) -> Node:
        return Node(FileType.DIRECTORY, 0o755, 0, 0, 0, 0, "")

    def children(self, directory: Node) -> dict[str, Node]:
        del directory
        return {}

    def data(self, file: Node, limit: int) -> bytes:
        raise VerificationFailed(f"a VM's configuration has no file of {file.size} bytes to read {limit} of")

    def target(self, link: Node) -> str:
        raise VerificationFailed(f"a VM's configuration has no link of {link.size} bytes")


@contextlib.contextmanager
def open_vm_view(config: VmConfig) -> Iterator[View]:
    """Open a view of the configuration alone."""
    yield View(ViewKind.VM_CONFIG, FileTree(_Nothing()), vm_config=config)
