"""Where this operator's things are kept and how machines are run here: by flag, environment, file or default."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imagekit.definition.problems import Problems, Wrong, suggest
from imagekit.definition.toml_file import TomlFile
from imagekit.errors import SettingsInvalid
from imagekit.host.ssh_target import SshTarget
from imagekit.settings.file import find_xdg, read_own_cluster, read_settings_file
from imagekit.settings.values import (
    read_box,
    read_bytes,
    read_choice,
    read_directory,
    read_host,
    read_program,
    read_seconds,
    read_whole,
    read_word,
)

PLUGIN_VARIABLE = "PACKER_PLUGIN_PATH"  # Packer's own; one directory


class AcceleratorChoice(StrEnum):
    """How QEMU runs a machine; ``auto`` takes the fastest that works here."""

    AUTO = "auto"
    KVM = "kvm"
    HVF = "hvf"
    TCG = "tcg"


class NixPlace(StrEnum):
    """Where Nix builds: ``auto`` takes the nearest place that can."""

    AUTO = "auto"
    LOCAL = "local"
    REMOTE = "remote"
    VAGRANT = "vagrant"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are kept and how machines are run.

    ``mke2fs`` and ``packer`` are programs to use instead of the system's, or ``None``; ``packer_plugins`` is the
    directory of Packer's plugins, ``None`` for Packer's own. ``boot_timeout`` is in seconds, 0 for a limit that fits
    the accelerator. ``nix_host`` is the machine of ``remote``. ``vagrant_provider`` and ``vagrant_box`` are ``None``
    for those that fit this machine; ``vagrant_memory`` and ``vagrant_disk`` are bytes. ``origins`` maps each name to
    ``--flag``, a variable, ``settings.toml:LINE`` or ``default``.
    """

    store: Path
    cache: Path
    state: Path
    accelerator: AcceleratorChoice
    mke2fs: Path | None
    boot_timeout: int
    packer: Path | None
    packer_plugins: Path | None
    nix_place: NixPlace
    nix_host: SshTarget | None
    vagrant_provider: str | None
    vagrant_box: str | None
    vagrant_cpus: int
    vagrant_memory: int
    vagrant_disk: int
    origins: Mapping[str, str]

    @property
    def clones(self) -> Path:
        """The directory of clones that run on this machine."""
        return self.state / "clones"


def read_settings(flags: Mapping[str, str]) -> Settings:
    """Return the settings in force; ``flags`` maps names of settings to what the command line gave.

    Raises :class:`SettingsInvalid` with every mistake, each named by where it was written; those of the file's
    ``[cluster]`` too, which :func:`imagekit.settings.read_cluster` uses.
    """
    path, file = read_settings_file()
    mistakes = Problems(file)
    read_own_cluster(path, file, mistakes)
    for key in file.values:
        if key not in _READERS and key != "cluster":
            mistakes.add_unknown_key((key,), [*_READERS, "cluster"])
    elsewhere = [f"--{flag}: {_explain_unknown(flag)}" for flag in flags if flag not in _READERS]

    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name, read in _READERS.items():
        for origin, value in _list_sources(name, flags, file):
            try:
                values[name] = read(value)
                origins[name] = origin
            except Wrong as problem:
                if origin.startswith(f"{file.name}:"):
                    mistakes.add((name,), str(problem))
                else:
                    elsewhere.append(f"{origin}: {problem}")
            break  # a source of higher precedence hides the others, right or wrong
        else:
            values[name], origins[name] = _find_default(name), "default"
    if elsewhere:
        raise SettingsInvalid("a setting cannot be used", problems=[*elsewhere, *mistakes.list_sentences()])
    mistakes.raise_any(path, SettingsInvalid)
    return Settings(origins=origins, **values)  # type: ignore[arg-type] # each reader returns its field's type


def name_variable(name: str) -> str:
    """Return the environment variable of setting ``name``."""
    return f"IMAGEKIT_{name.upper()}"


def name_flag(name: str) -> str:
    """Return the command line's flag for setting ``name``."""
    return f"--{name.replace('_', '-')}"


def _list_sources(name: str, flags: Mapping[str, str], file: TomlFile) -> list[tuple[str, object]]:
    """Return origin and value of each place that sets ``name``, the strongest first; an empty variable sets nothing."""
    sources: list[tuple[str, object]] = []
    if name in flags:
        sources.append((name_flag(name), flags[name]))
    if value := os.environ.get(name_variable(name)):
        sources.append((name_variable(name), value))
    if name == "packer_plugins" and (value := os.environ.get(PLUGIN_VARIABLE)):
        sources.append((PLUGIN_VARIABLE, str(Path.cwd() / value)))  # Packer takes a relative one from where it runs
    if name in file.values:
        sources.append((f"{file.name}:{file.find_line((name,))}", file.values[name]))
    return sources


def _find_default(name: str) -> object:
    match name:
        case "store":
            return find_xdg("XDG_DATA_HOME", ".local/share")
        case "cache":
            return find_xdg("XDG_CACHE_HOME", ".cache")
        case "state":
            return find_xdg("XDG_STATE_HOME", ".local/state")
        case "accelerator":
            return AcceleratorChoice.AUTO
        case "boot_timeout":
            return 0
        case "nix_place":
            return NixPlace.AUTO
        case "vagrant_cpus":
            return 2
        case "vagrant_memory":
            return 4 << 30
        case "vagrant_disk":
            return 60 << 30
        case _:
            return None


def _explain_unknown(flag: str) -> str:
    meant = suggest(flag, _READERS)
    return f"unknown setting; did you mean {meant!r}?" if meant else f"unknown setting; known are {', '.join(_READERS)}"


_READERS = {
    "store": read_directory,
    "cache": read_directory,
    "state": read_directory,
    "accelerator": read_choice(AcceleratorChoice),
    "mke2fs": read_program,
    "boot_timeout": read_seconds,
    "packer": read_program,
    "packer_plugins": read_directory,
    "nix_place": read_choice(NixPlace),
    "nix_host": read_host,
    "vagrant_provider": read_word,
    "vagrant_box": read_box,
    "vagrant_cpus": read_whole(1, 512),
    "vagrant_memory": read_bytes(1 << 30),
    "vagrant_disk": read_bytes(20 << 30),
}
