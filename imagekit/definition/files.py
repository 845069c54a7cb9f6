"""Readers of what belongs to files: where they go in the image, their bytes, their permissions."""

import re
from collections.abc import Callable
from pathlib import Path

from imagekit.definition.problems import Wrong, quote
from imagekit.definition.values import CONTROL, Scope, read_text

_MODE = re.compile(r"[0-7]{3,4}")
_MOUNTED_OVER = ("/dev", "/proc", "/run", "/sys", "/tmp")


def read_guest_path(value: object, scope: Scope) -> str:
    """Return an absolute path in the image, in the one way to write it."""
    text = read_text(value, scope)
    if CONTROL.search(text):
        raise Wrong(f"{quote(text)} has a control character")
    if not text.startswith("/"):
        raise Wrong(f"{quote(text)} is not absolute; it must begin with '/'")
    parts = text[1:].split("/")
    if ".." in parts:
        raise Wrong(f"{quote(text)} climbs with '..'; write the path itself")
    if "" in parts or "." in parts:
        raise Wrong(f"{quote(text)} is not in its shortest form: no '//', no '.', no '/' at the end")
    if len(text.encode(errors="replace")) > 4095 or any(len(part.encode(errors="replace")) > 255 for part in parts):
        raise Wrong(f"{quote(text)} is longer than Linux allows")
    return text


def read_file_path(value: object, scope: Scope) -> str:
    """Return the path of a file to put into the image, where it will be seen."""
    text = read_guest_path(value, scope)
    for place in _MOUNTED_OVER:
        if text == place or text.startswith(f"{place}/"):
            raise Wrong(f"{quote(text)} would never be seen: a running system mounts or empties {place}")
    return text


def read_content(value: object, scope: Scope) -> str:
    """Return a file's text; it is kept in every version's provenance, so a private key is refused."""
    text = read_text(value, scope)
    if "PRIVATE KEY-----" in text:
        raise Wrong("holds a private key; every clone and every copy of the image would share it")
    return text


def read_mode(value: object, scope: Scope) -> int:
    """Return permission bits from octal digits in a string, as in chmod(1)."""
    if isinstance(value, int):
        raise Wrong('expected octal digits in a string, such as "0644", because 644 would be a decimal number')
    text = read_text(value, scope)
    if not _MODE.fullmatch(text):
        raise Wrong(f'{quote(text)} is not 3 or 4 octal digits, such as "0644"')
    return int(text, 8)


def read_source(value: object, scope: Scope) -> Path:
    """Return the path of an existing file, taken from the directory of the definition when it is relative."""
    return _read_existing(value, scope, "file", Path.is_file)


def read_directory(value: object, scope: Scope) -> Path:
    """Return the path of an existing directory, taken from the directory of the definition when it is relative."""
    return _read_existing(value, scope, "directory", Path.is_dir)


def _read_existing(value: object, scope: Scope, noun: str, is_there: Callable[[Path], bool]) -> Path:
    text = read_text(value, scope)
    if not text or CONTROL.search(text):
        raise Wrong(f"{quote(text)} is not a {noun}'s name")
    path = scope.directory / text
    try:
        found = is_there(path)
    except OSError as problem:
        raise Wrong(f"{quote(text)} cannot be read: {problem.strerror}") from None
    if not found:
        raise Wrong(f"{quote(text)} is not a {noun} in {scope.directory}")
    return path


def read_debian_archive(value: object, scope: Scope) -> Path:
    """Return the path of an existing ``.deb``."""
    path = read_source(value, scope)
    if path.suffix != ".deb":
        raise Wrong(f"{quote(path.name)} is not a .deb package")
    return path
