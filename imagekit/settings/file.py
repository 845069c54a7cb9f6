"""The settings file and the XDG directories: where they are, and what the file says."""

import os
from pathlib import Path

from imagekit.definition.cluster_table import OWN_CLUSTER, ClusterTable, parse_cluster
from imagekit.definition.problems import Problems
from imagekit.definition.toml_file import TomlFile, read_toml
from imagekit.errors import SettingsInvalid


def find_settings_file() -> Path:
    """Return where the settings file is or would be; raises :class:`SettingsInvalid` when there is no home."""
    return find_xdg("XDG_CONFIG_HOME", ".config") / "settings.toml"


def find_xdg(variable: str, fallback: str) -> Path:
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


def read_settings_file() -> tuple[Path, TomlFile]:
    """Return the path of the settings file and what it says, which is nothing where there is no file.

    Raises :class:`SettingsInvalid` when it is there and cannot be read: it may say what to do, and defaults would be a
    guess.
    """
    path = find_settings_file()
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return path, TomlFile(path.name, {}, {})
    except OSError as problem:
        raise SettingsInvalid(f"{path} cannot be looked for: {problem.strerror}") from None
    return path, read_toml(path, SettingsInvalid)


def read_own_cluster(path: Path, file: TomlFile, problems: Problems) -> ClusterTable | None:
    """Return the ``[cluster]`` of the settings file, ``None`` without one; its mistakes are taken down."""
    if "cluster" not in file.values:
        return None
    return parse_cluster(OWN_CLUSTER, file.values["cluster"], file, path.parent, problems)
