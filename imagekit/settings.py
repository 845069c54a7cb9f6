"""This operator's places and habits, each with its origin: flag, environment, settings file, default, in that order.

The file is ``$XDG_CONFIG_HOME/imagekit/settings.toml`` and optional. Directories follow the XDG Base Directory
Specification 0.8 on every system, macOS too.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imagekit.definition.problems import Problems, Wrong, name_type, quote, suggest
from imagekit.definition.toml_file import TomlFile, read_toml
from imagekit.errors import SettingsInvalid

LONGEST_BOOT_SECONDS = 86_400


class AcceleratorChoice(StrEnum):
    """How QEMU runs a machine; ``auto`` takes the fastest that works here."""

    AUTO = "auto"
    KVM = "kvm"
    HVF = "hvf"
    TCG = "tcg"


@dataclass(frozen=True, slots=True)
class Settings:
    """Where things are kept and how machines are run.

    ``mke2fs`` is the program to use instead of the system's, or ``None``. ``boot_timeout`` is in seconds, 0 for a limit
    that fits the accelerator. ``origins`` maps each name to ``--flag``, a variable, ``settings.toml:LINE`` or
    ``default``.
    """

    store: Path
    cache: Path
    state: Path
    accelerator: AcceleratorChoice
    mke2fs: Path | None
    boot_timeout: int
    origins: Mapping[str, str]

    @property
    def clones(self) -> Path:
        """The directory of clones that run on this machine."""
        return self.state / "clones"


def find_settings_file() -> Path:
    """Return where the settings file is or would be; raises :class:`SettingsInvalid` when there is no home."""
    return _find_xdg("XDG_CONFIG_HOME", ".config") / "settings.toml"


def read_settings(flags: Mapping[str, str]) -> Settings:
    """Return the settings in force; ``flags`` maps names of settings to what the command line gave.

    Raises :class:`SettingsInvalid` with every mistake, each named by where it was written.
    """
    path = find_settings_file()
    file = read_toml(path, SettingsInvalid) if _exists(path) else TomlFile(path.name, {}, {})
    mistakes = Problems(file)
    for key in file.values:
        if key not in _READERS:
            mistakes.add_unknown_key((key,), _READERS)
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


def _exists(path: Path) -> bool:
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as problem:  # the file may be there and say what to do; defaults would be a guess
        raise SettingsInvalid(f"{path} cannot be looked for: {problem.strerror}") from None
    return True


def _list_sources(name: str, flags: Mapping[str, str], file: TomlFile) -> list[tuple[str, object]]:
    """Return origin and value of each place that sets ``name``, the strongest first; an empty variable sets nothing."""
    sources: list[tuple[str, object]] = []
    if name in flags:
        sources.append((name_flag(name), flags[name]))
    if value := os.environ.get(name_variable(name)):
        sources.append((name_variable(name), value))
    if name in file.values:
        sources.append((f"{file.name}:{file.find_line((name,))}", file.values[name]))
    return sources


def _find_default(name: str) -> object:
    match name:
        case "store":
            return _find_xdg("XDG_DATA_HOME", ".local/share")
        case "cache":
            return _find_xdg("XDG_CACHE_HOME", ".cache")
        case "state":
            return _find_xdg("XDG_STATE_HOME", ".local/state")
        case "accelerator":
            return AcceleratorChoice.AUTO
        case "boot_timeout":
            return 0
        case _:
            return None


def _find_xdg(variable: str, fallback: str) -> Path:
    """Return imagekit's directory in an XDG base; the specification has relative and empty values ignored."""
    value = os.environ.get(variable, "")
    if Path(value).is_absolute():
        return Path(value) / "imagekit"
    try:
        return Path.home() / fallback / "imagekit"
    except RuntimeError:
        raise SettingsInvalid(
            "this account has no home directory", hint=f"set HOME or {variable} to an absolute path"
        ) from None


def _read_directory(value: object) -> Path:
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


def _read_program(value: object) -> Path:
    path = _read_directory(value)
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise Wrong(f"{quote(str(path))} is not a program that can be run")
    return path


def _read_accelerator(value: object) -> AcceleratorChoice:
    if not isinstance(value, str):
        raise Wrong(f"expected a string, found {name_type(value)}")
    try:
        return AcceleratorChoice(value)
    except ValueError:
        meant = suggest(value, list(AcceleratorChoice))
        allowed = ", ".join(AcceleratorChoice)
        raise Wrong(
            f"{quote(value)} is not one of {allowed}" + (f"; did you mean {str(meant)!r}?" if meant else "")
        ) from None


def _read_seconds(value: object) -> int:
    """Return whole seconds; a flag or variable has them as digits."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        found = quote(value) if isinstance(value, str) else name_type(value)
        raise Wrong(f"expected whole seconds, found {found}")
    if not 0 <= value <= LONGEST_BOOT_SECONDS:
        raise Wrong(f"{name_type(value)} is out of range; it must be 0 (automatic) to {LONGEST_BOOT_SECONDS}")
    return value


def _explain_unknown(flag: str) -> str:
    meant = suggest(flag, _READERS)
    return f"unknown setting; did you mean {meant!r}?" if meant else f"unknown setting; known are {', '.join(_READERS)}"


_READERS = {
    "store": _read_directory,
    "cache": _read_directory,
    "state": _read_directory,
    "accelerator": _read_accelerator,
    "mke2fs": _read_program,
    "boot_timeout": _read_seconds,
}
