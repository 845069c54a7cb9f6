"""Options that several commands share, and the settings they make."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from imagekit.definition import Project
    from imagekit.host.ssh_target import SshTarget
    from imagekit.settings import NixPlace, Settings

Command = Callable[..., Any]


def json_option(command: Command) -> Command:
    """Add ``--json`` to a reading command."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def store_option(command: Command) -> Command:
    """Add ``--store``, which overrides where versions are kept."""
    return click.option("--store", metavar="DIR", help="Where versions are kept (IMAGEKIT_STORE).")(command)


def make_settings(**flags: str | None) -> "Settings":
    """Return the settings in force with the flags that were given."""
    from imagekit.settings import read_settings

    return read_settings({name: value for name, value in flags.items() if value is not None})


def read_place(text: str) -> "tuple[NixPlace, SshTarget | None] | None":
    """Return where Nix is to build by what ``--builder`` says, with the host of ``ssh://``; ``None`` for another word.

    Raises :class:`imagekit.errors.DefinitionInvalid` for an address that is none.
    """
    from imagekit.host.ssh_target import SshTarget
    from imagekit.settings import NixPlace

    if text in ("local", "remote", "vagrant"):
        return NixPlace(text), None
    return (NixPlace.REMOTE, SshTarget.parse(text)) if text.startswith("ssh://") else None


def find_project() -> "Project":
    """Return the project of the working directory."""
    from imagekit.definition import read_project

    return read_project(Path.cwd())
