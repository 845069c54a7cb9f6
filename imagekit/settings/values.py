"""Readers of settings: what a flag, a variable or the file gave becomes a typed value, or ``Wrong`` says why not."""

import os
from pathlib import Path

from imagekit.definition.problems import Wrong, name_type, quote

LONGEST_BOOT_SECONDS = 86_400


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
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        found = quote(value) if isinstance(value, str) else name_type(value)
        raise Wrong(f"expected whole seconds, found {found}")
    if not 0 <= value <= LONGEST_BOOT_SECONDS:
        raise Wrong(f"{name_type(value)} is out of range; it must be 0 (automatic) to {LONGEST_BOOT_SECONDS}")
    return value
