"""XFS images made from a directory by mkfs.xfs, without a mount or root's rights."""

import os
import stat
from pathlib import Path

from imagekit.host import run


def make_xfs(source: Path, image: Path, *options: str, size: str = "24m", label: str = "root") -> Path:
    """Make an XFS filesystem at ``image`` with the files of ``source``; names must have no white space.

    ``--unsupported`` lets mkfs.xfs make less than 300 MB. A prototype has no sticky bit: xfs_db(8) sets it.
    """
    image.unlink(missing_ok=True)
    lines = ["/none", "0 0", _describe(source)]
    sticky: list[str] = []
    _list_directory(source, "", lines, sticky)
    prototype = image.with_suffix(".proto")
    prototype.write_bytes(os.fsencode("\n".join([*lines, "$", ""])))
    place = f"size={size},file,name={image}"
    run(["mkfs.xfs", "--unsupported", "-q", "-L", label, "-p", os.fspath(prototype), *options, "-d", place])
    for path in sticky:
        mode = oct(0o40000 | stat.S_IMODE((source / path.lstrip("/")).stat().st_mode))
        run_xfs_db(image, f"path {path}", f"write core.mode 0{mode[2:]}")
    return image


def run_xfs_db(image: Path, *commands: str) -> str:
    """Let xfs_db change or show the filesystem; returns what it said."""
    options = [word for command in commands for word in ("-c", command)]
    return run(["xfs_db", "-x", "-f", *options, os.fspath(image)]).output.decode(errors="replace")


def _list_directory(directory: Path, path: str, lines: list[str], sticky: list[str]) -> None:
    for entry in sorted(os.scandir(directory), key=lambda each: each.name):
        place = Path(entry.path)
        status = place.lstat()
        if stat.S_ISLNK(status.st_mode):
            lines.append(f"{entry.name} {_describe(place)} {place.readlink()}")
        elif stat.S_ISDIR(status.st_mode):
            if status.st_mode & stat.S_ISVTX:
                sticky.append(f"{path}/{entry.name}")
            lines.append(f"{entry.name} {_describe(place)}")
            _list_directory(place, f"{path}/{entry.name}", lines, sticky)
            lines.append("$")
        elif stat.S_ISREG(status.st_mode):
            lines.append(f"{entry.name} {_describe(place)} {place}")
        else:
            lines.append(f"{entry.name} {_describe(place)}")


def _describe(path: Path) -> str:
    """Return mode, owner and group as mkfs.xfs(8) wants them."""
    status = path.lstat()
    match stat.S_IFMT(status.st_mode):
        case stat.S_IFDIR:
            letter = "d"
        case stat.S_IFLNK:
            letter = "l"
        case stat.S_IFIFO:
            letter = "p"
        case _:
            letter = "-"
    flags = ("u" if status.st_mode & stat.S_ISUID else "-") + ("g" if status.st_mode & stat.S_ISGID else "-")
    return f"{letter}{flags}{status.st_mode & 0o777:03o} {status.st_uid} {status.st_gid}"
