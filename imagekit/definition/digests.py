"""What files and directories beside a definition hold, as digests: for the provenance of what was built from them."""

import os
from pathlib import Path

from imagekit.errors import DefinitionInvalid

MOST_FILES = 5_000
MOST_BYTES = 64 << 20
_LEFT_OUT = frozenset({".git", "packer_cache"})  # history and downloads say nothing about what a template does


def digest_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal digits; raises :class:`DefinitionInvalid`."""
    import hashlib  # here: OpenSSL takes 25 ms to load, and most definitions name no file

    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        raise DefinitionInvalid(f"{path} cannot be read: {problem.strerror}") from None


def digest_directory(directory: Path) -> str:
    """Return one SHA-256 over all files of ``directory``, by their names in order, and what links point to.

    Each file counts as ``file``, its path and its own digest, each link as ``link``, its path and its target, with a
    zero byte after each of the three. ``.git`` and ``packer_cache`` are left out. Raises :class:`DefinitionInvalid`
    when something cannot be read, and beyond 5000 files or 64 MiB: an output directory is in it then.
    """
    import hashlib

    total = hashlib.sha256()
    left = MOST_BYTES
    for name, path in _list_files(directory):
        try:
            link = str(path.readlink()) if path.is_symlink() else None
            left -= 0 if link is not None else path.lstat().st_size
        except OSError as problem:
            raise DefinitionInvalid(f"{path} cannot be read: {problem.strerror}") from None
        if left < 0:
            raise _refuse(directory, f"more than {MOST_BYTES >> 20} MiB")
        kind, value = ("file", digest_file(path)) if link is None else ("link", link)
        total.update(b"".join(os.fsencode(part) + b"\0" for part in (kind, name, value)))
    return total.hexdigest()


def _list_files(directory: Path) -> list[tuple[str, Path]]:
    """Return name and path of every file and link below ``directory``, sorted by name; a link is not followed."""
    found: list[tuple[str, Path]] = []
    waiting = [directory]
    while waiting:
        place = waiting.pop()
        try:
            entries = list(place.iterdir())
        except OSError as problem:
            raise DefinitionInvalid(f"{place} cannot be read: {problem.strerror}") from None
        for entry in entries:
            if entry.name in _LEFT_OUT:
                continue
            if entry.is_dir() and not entry.is_symlink():
                waiting.append(entry)
            elif entry.is_symlink() or entry.is_file():
                found.append((entry.relative_to(directory).as_posix(), entry))
            else:
                raise DefinitionInvalid(f"{entry} is neither a file nor a directory")
        if len(found) + len(waiting) > MOST_FILES:
            raise _refuse(directory, f"more than {MOST_FILES} files")
    return sorted(found)


def _refuse(directory: Path, what: str) -> DefinitionInvalid:
    return DefinitionInvalid(
        f"{directory} holds {what}", hint="keep outputs and media outside of the template's directory"
    )
