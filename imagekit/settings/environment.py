"""The variables about Proxmox that people's other tools have put into their shells: Packer's, bpg's, Ansible's."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

from imagekit.definition.cluster_table import CLUSTER, ClusterTable, read_api_url
from imagekit.definition.problems import Problems, Wrong, quote
from imagekit.definition.toml_file import TomlFile
from imagekit.definition.values import Reader, Scope
from imagekit.errors import SettingsInvalid
from imagekit.host.secret import Secret, require_private

URL_VARIABLES = ("PROXMOX_URL", "PROXMOX_VE_ENDPOINT")
INSECURE_VARIABLES = ("PROXMOX_INSECURE", "PROXMOX_VE_INSECURE")
_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def read_variable(name: str, read: Reader, problems: list[str]) -> object:
    """Return what ``read`` makes of variable ``name``, ``None`` if it is empty or wrong, which joins ``problems``."""
    text = os.environ.get(name)
    return read_as(text, name, read, problems) if text else None


def read_as(text: str, origin: str, read: Reader, problems: list[str]) -> object:
    """Return what ``read`` makes of ``text``, ``None`` if that is wrong; the mistake joins ``problems``."""
    try:
        return read(text, Scope((), Path.cwd(), Problems(TomlFile(origin, {}, {}))))
    except Wrong as problem:
        problems.append(f"{origin}: {problem}")
        return None


def read_environment(problems: list[str]) -> ClusterTable:
    """Return what the environment says about the cluster, but for its token."""
    found: dict[str, object] = {}
    origins: dict[str, str] = {}
    for key, names, read in (
        ("url", URL_VARIABLES, read_api_url),
        ("node", ("PROXMOX_NODE",), CLUSTER.keys["node"]),
        ("insecure", INSECURE_VARIABLES, _read_switch),
    ):
        for name in names:
            if os.environ.get(name):
                found[key], origins[key] = read_variable(name, read, problems), name
                break  # the stronger variable hides the weaker one, right or wrong
    return ClusterTable(**found, origins=MappingProxyType(origins))  # type: ignore[arg-type] # each reader's own type


def find_secret(name: str, problems: list[str]) -> Secret | None:
    """Return the secret that variable ``name`` holds or refers to, or the file that ``NAME_FILE`` names."""
    if text := os.environ.get(name):
        with gather(problems):
            return Secret.from_text(name, text)
    elif path := os.environ.get(f"{name}_FILE"):
        with gather(problems, f"{name}_FILE"):
            return open_secret_file(f"{name}_FILE", Path(path))
    return None


def open_secret_file(origin: str, path: Path) -> Secret:
    """Return the secret in the file at ``path``, read on first use; raises :class:`SettingsInvalid`."""
    require_private(path)
    return Secret.from_file(origin, path)


@contextlib.contextmanager
def gather(problems: list[str], origin: str = "") -> Iterator[None]:
    """Let a setting that cannot be used join ``problems``, after its ``origin``, instead of ending all reading."""
    try:
        yield
    except SettingsInvalid as problem:
        problems.append(f"{origin}: {problem.message}" if origin else problem.message)


def _read_switch(value: object, _scope: Scope) -> bool:
    text = str(value).strip().lower()
    if text not in (*_TRUE, *_FALSE):
        raise Wrong(f"{quote(str(value))} is neither true nor false")
    return text in _TRUE
