"""Giving a file of the project its new bytes: the old ones or the new ones are there at any moment, never a part."""

import contextlib
import fcntl
import os
import stat
from pathlib import Path

from imagekit.build.update.change import Renewal
from imagekit.durable import sync_descriptor, write_new_file
from imagekit.errors import DefinitionInvalid, Refused


def write_renewal(renewal: Renewal) -> None:
    """Write aside, flush, rename. What a crash leaves is the old file and a hidden one beside it, used up by the next.

    A link stays a link: the file that it leads to is replaced. Raises :class:`Refused` when the file is no longer what
    was read, as after an editor's saving, and :class:`DefinitionInvalid` when it cannot be written.
    """
    path = renewal.path.resolve()
    aside = path.with_name(f".{path.name}.imagekit-new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(directory, fcntl.LOCK_EX)  # one writer here at a time; it ends with its process
            _require_unchanged(path, renewal.before)
            try:
                aside.unlink(missing_ok=True)  # what a crash left
                write_new_file(aside, renewal.after, mode=_read_mode(path))
                os.replace(aside, path)  # noqa: PTH105 - the crash tests stop the process at this very call
            except OSError:
                aside.unlink(missing_ok=True)
                raise
            sync_descriptor(directory)
        finally:
            os.close(directory)
    except OSError as problem:
        raise DefinitionInvalid(f"{renewal.path} cannot be written: {problem.strerror}") from problem


def read_present(path: Path, limit: int) -> bytes | None:
    """Return a file's bytes, ``None`` when it is not there; :class:`DefinitionInvalid` beyond ``limit`` bytes."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise DefinitionInvalid(f"{path} cannot be read: {problem.strerror}") from problem
    if len(data) > limit:
        raise DefinitionInvalid(f"{path} is larger than {limit >> 20} MiB, which no lock is")
    return data


def _require_unchanged(path: Path, before: bytes | None) -> None:
    try:
        present = path.read_bytes()
    except FileNotFoundError:
        present = None
    if present != before:
        raise Refused(
            f"{path} was changed by somebody else meanwhile; it is left as it is", hint="run the update again"
        )


def _read_mode(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return stat.S_IMODE(path.stat().st_mode)
    return 0o644
