"""Open a directory for checking: a chroot, a mounted image, an unpacked container."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree
from imagekit.errors import VerificationFailed
from imagekit.verify.view import View, ViewKind


@contextlib.contextmanager
def open_directory_view(path: Path) -> Iterator[View]:
    """Open the tree under ``path`` for the length of the block; what only a disk has is not observed.

    Raises :class:`VerificationFailed` when ``path`` cannot be read or holds no operating system.
    """
    with Directory(path) as source:
        tree = FileTree(source)
        # A NixOS card that never ran has a store and no /etc.
        marks = ("/etc/os-release", "/etc/fstab", "/usr/lib/os-release", "/nix/store")
        if not any(tree.lstat(each) is not None for each in marks):
            raise VerificationFailed(
                f"{path} holds no operating system", hint="name the directory that holds etc, usr and var"
            )
        yield View(ViewKind.DIRECTORY, tree)


def is_live_root(path: Path) -> bool:
    """Say whether ``path`` is the root of a machine that runs: this one's, or one with its processes to be seen."""
    with contextlib.suppress(OSError):
        if path.samefile("/"):
            return True
    return (path / "proc" / "self").is_symlink()
