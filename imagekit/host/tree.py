"""A directory tree on its way to a host: what may be in it, and the tar stream that carries it."""

import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from imagekit.errors import HostFailed, Refused


def check_tree(source: Path) -> None:
    """Raise :class:`Refused` for anything in ``source`` but directories, files, and links that stay inside.

    A link counts by its text: an absolute one, and one that climbs above ``source``, leave the tree.
    """
    for path in _walk(source):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            target = os.fspath(path.readlink())
            place = os.path.normpath(os.path.join(path.parent.relative_to(source), target))  # noqa: PTH118 - text only
            if target.startswith("/") or place == ".." or place.startswith("../"):
                raise Refused(
                    f"{path} is a link that leaves its directory: {target}",
                    hint="put the file itself there; on another machine the link would lead nowhere, or elsewhere",
                )
        elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise Refused(f"{path} is neither a file nor a directory", hint="remove it; it cannot be sent")


def write_tar(source: Path, stream: IO[bytes]) -> None:
    """Write what is in ``source`` as a pax archive, in order of names: owner root, times 1, modes 0755 and 0644.

    The same tree makes the same bytes. The files' content is never in memory as a whole.
    """
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, dereference=False) as archive:
        for path in _walk(source):
            name = path.relative_to(source).as_posix()
            entry = archive.gettarinfo(path, name)
            if entry.islnk():  # the second name of a file: the other end need not know that they are one
                entry.type, entry.size, entry.linkname = tarfile.REGTYPE, path.lstat().st_size, ""
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mtime = 1  # as in a Nix store; GNU tar calls 0 implausible
            entry.mode = 0o755 if entry.isdir() or entry.mode & stat.S_IXUSR else 0o644
            if entry.isreg():
                with path.open("rb") as file:
                    archive.addfile(entry, file)
            else:
                archive.addfile(entry)


def _walk(source: Path) -> Iterator[Path]:
    """Yield everything below ``source``, a directory before what it holds, by name."""
    if not source.is_dir():
        raise HostFailed(f"{source} is not a directory")
    for place, inner, files in os.walk(source):
        inner.sort()  # os.walk lists links to directories here too, and does not enter them
        yield from (Path(place) / name for name in sorted((*inner, *files)))
