"""Readers of settings: what a flag, a variable or the file gave becomes a typed value, or ``Wrong`` says why not."""

import os
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from imagekit.definition.problems import Wrong, name_type, quote, suggest
from imagekit.definition.size import parse_size
from imagekit.errors import DefinitionInvalid
from imagekit.host.ssh_target import SshTarget

LONGEST_BOOT_SECONDS = 86_400
_LARGEST = 16 << 40
_WORD = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_BOX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*|[a-z0-9][a-z0-9._-]*")  # OWNER/NAME, or NAME

Choice = TypeVar("Choice", bound=StrEnum)


def read_directory(value: object) -> Path:
    """Return an absolute path; a leading ``~`` is the home directory, which in a file no shell would replace."""
    if not isinstance(value, str):
        raise Wrong(f"expected a string, found {name_type(value)}")
    try:
        path = Path(value).expanduser()
    except RuntimeError:
        raise Wrong(f"{quote(value)} names the home of an account that has none") from None
    if "\0" in value or not path.is_absolute():
        raise Wrong(f"{quote(value)} is not an absolute path")
    return path


def read_program(value: object) -> Path:
    """Return the absolute path of a program that this operator can run."""
    path = read_directory(value)
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise Wrong(f"{quote(str(path))} is not a program that can be run")
    return path


def read_seconds(value: object) -> int:
    """Return whole seconds; a flag or variable has them as digits."""
    seconds = _read_digits(value, "seconds")
    if not 0 <= seconds <= LONGEST_BOOT_SECONDS:
        raise Wrong(f"{name_type(seconds)} is out of range; it must be 0 (automatic) to {LONGEST_BOOT_SECONDS}")
    return seconds


def read_whole(smallest: int, largest: int) -> Callable[[object], int]:
    """Return a reader of whole numbers; a flag or variable has them as digits."""

    def read(value: object) -> int:
        number = _read_digits(value, "numbers")
        if not smallest <= number <= largest:
            raise Wrong(f"{name_type(number)} is out of range; it must be {smallest} to {largest}")
        return number

    return read


def read_bytes(smallest: int) -> Callable[[object], int]:
    """Return a reader of sizes, as ``imagekit.toml`` writes them, in bytes."""

    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise Wrong(f"expected a size, found {name_type(value)}")
        try:
            size = parse_size(value) if isinstance(value, str) else value
        except ValueError:
            raise Wrong(f'{quote(str(value))} is not a size, such as "8G"') from None
        if not smallest <= size <= _LARGEST:
            raise Wrong(f"{size} bytes are out of range; at least {smallest >> 30}G are needed")
        return size

    return read


def read_choice(kind: type[Choice]) -> Callable[[object], Choice]:
    """Return a reader of one of the values of an enumeration."""

    def read(value: object) -> Choice:
        text = _read_string(value)
        try:
            return kind(text)
        except ValueError:
            meant = suggest(text, list(kind))
            allowed = ", ".join(kind)
            raise Wrong(
                f"{quote(text)} is not one of {allowed}" + (f"; did you mean {str(meant)!r}?" if meant else "")
            ) from None

    return read


def read_host(value: object) -> SshTarget:
    """Return a machine that is entered over SSH."""
    text = _read_string(value)
    try:
        return SshTarget.parse(text)
    except DefinitionInvalid as problem:
        raise Wrong(f"{problem.message}: {problem.hint}") from None


def read_word(value: object) -> str:
    """Return the name of a provider of Vagrant's."""
    text = _read_string(value)
    if not _WORD.fullmatch(text):
        raise Wrong(f'{quote(text)} cannot name a provider, such as "libvirt"')
    return text


def read_box(value: object) -> str:
    """Return the name of a box: OWNER/NAME, or the one under which it was added here."""
    text = _read_string(value)
    if not _BOX.fullmatch(text):
        raise Wrong(f'{quote(text)} cannot name a box, such as "bento/debian-12"')
    return text


def _read_string(value: object) -> str:
    if not isinstance(value, str):
        raise Wrong(f"expected a string, found {name_type(value)}")
    return value


def _read_digits(value: object, what: str) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        found = quote(value) if isinstance(value, str) else name_type(value)
        raise Wrong(f"expected whole {what}, found {found}")
    return value
