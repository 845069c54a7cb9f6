"""``[images.NAME.packer]``: readers of where Packer starts from, what it runs, and what one's own template gets."""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from types import MappingProxyType

from imagekit.definition.files import read_directory, read_source
from imagekit.definition.lint_packer import find_medium_contradictions, find_packer_contradictions
from imagekit.definition.model import Medium, PackerBuild, PackerSource
from imagekit.definition.names import check_url, read_vm_id
from imagekit.definition.problems import Wrong, name_type, quote
from imagekit.definition.table import Table
from imagekit.definition.toml_lines import format_key
from imagekit.definition.values import CONTROL, Scope, read_choice, read_each, read_text

_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
# pve-common, PVE::JSONSchema: the storage id's pattern; pve-storage's plugins take .iso and .img as content "iso".
_VOLUME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]:iso/[^/\s]+\.(?:iso|img)", re.IGNORECASE)
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DNS_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_ONLY = re.compile(r"[A-Za-z0-9_*?\[][A-Za-z0-9_.*?\[\]!-]*(?:,[A-Za-z0-9_*?\[][A-Za-z0-9_.*?\[\]!-]*)*")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")  # HCL 2 identifiers, in ASCII
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:password|passwd|passphrase|secret|token|api_?key|private_?key)$", re.IGNORECASE
)
_DEEPEST = 16


def read_sha256(value: object, scope: Scope) -> str:
    """Return a SHA-256 digest as 64 lower-case hexadecimal digits."""
    text = read_text(value, scope)
    if not _SHA256.fullmatch(text):
        raise Wrong(f"{quote(text)} is not a SHA-256 digest of 64 hexadecimal digits, as sha256sum prints it")
    return text.lower()


def read_medium_path(value: object, scope: Scope) -> Path:
    """Return the path of a disk or medium, which need not be there yet: it may be large, and on one machine only."""
    text = read_text(value, scope)
    if not text or CONTROL.search(text) or text.endswith("/"):
        raise Wrong(f"{quote(text)} is not a file's name")
    try:
        return scope.directory / Path(text).expanduser()
    except RuntimeError:
        raise Wrong(f"{quote(text)} names the home of an account that has none") from None


def read_download(value: object, scope: Scope) -> str:
    """Return an http or https address; http will do, because what comes from it is held against its digest."""
    return check_url(read_text(value, scope), "carries a user or password, which every version's record would keep")


def read_volume(value: object, scope: Scope) -> str:
    """Return an installation medium's name on the cluster."""
    text = read_text(value, scope)
    if not _VOLUME.fullmatch(text):
        raise Wrong(f'{quote(text)} is not a medium on a storage, such as "local:iso/debian.iso"')
    return text


def read_clone(value: object, scope: Scope) -> int | str:
    """Return the VM id or the name of a template; Proxmox's names are those of DNS (PVE::JSONSchema, dns-name)."""
    if not isinstance(value, str):
        return read_vm_id(value, scope)
    if value.isdigit():
        raise Wrong(f"{quote(value)} would be a name; write a VM id without quotes")
    if not _DNS_NAME.fullmatch(value) or len(value) > 253:
        raise Wrong(f"{quote(value)} cannot name a template; names are letters, digits and '-', with dots between")
    return value


def read_only(value: object, scope: Scope) -> str:
    """Return what ``packer build -only`` takes: builds' names with ``*`` for parts of them, and commas between."""
    text = read_text(value, scope)
    if not _ONLY.fullmatch(text):
        raise Wrong(f'{quote(text)} does not name builds, such as "proxmox-iso.template"')
    return text


def read_variables(value: object, scope: Scope) -> Mapping[str, object]:
    """Return the values for a template's variables, which nobody can change any more."""
    if not isinstance(value, dict):
        raise Wrong(f"expected a table of variables, found {name_type(value)}")
    found: dict[str, object] = {}
    for name, element in value.items():
        place = scope.enter(name)
        try:
            if not _VARIABLE.fullmatch(name):
                raise Wrong(f"{quote(name)} cannot name a variable of Packer")
            if _SECRET_NAME.search(name) and isinstance(element, str) and element:
                raise Wrong(
                    f"a secret would be kept with every version; remove it and set PKR_VAR_{name} in the environment"
                )
            found[name] = _freeze(element, place.path[len(scope.path) :], _DEEPEST)
        except Wrong as problem:
            scope.problems.add(place.path, str(problem))
    return MappingProxyType(found)


def _freeze(value: object, where: tuple[str | int, ...], depth: int) -> object:
    """Return a read-only copy of what JSON can say; raises :class:`Wrong` for what it cannot."""
    if depth == 0:
        raise Wrong("is nested too deeply")
    match value:
        case str():
            if "PRIVATE KEY-----" in value:
                raise Wrong("holds a private key, which every version's record would keep")
            return value
        case float() if not math.isfinite(value):
            raise Wrong(f"{format_key(where)} is {value}, which JSON cannot say")
        case datetime() | date() | time():
            raise Wrong(f"{format_key(where)} is a date or time, which JSON cannot say; put it in quotes")
        case list():
            return tuple(_freeze(inner, (*where, index), depth - 1) for index, inner in enumerate(value))
        case dict():
            frozen = {key: _freeze(inner, (*where, key), depth - 1) for key, inner in value.items()}
            return MappingProxyType(frozen)
        case _:
            return value


def _make_packer(**got: object) -> PackerBuild:
    if "vars" in got:  # a builtin's name, which the field does not take
        got["variables"] = got.pop("vars")
    return PackerBuild(**got)  # type: ignore[arg-type] # each reader returns its field's type


_FILE = {"path": read_medium_path, "url": read_download, "sha256": read_sha256}
DISK = Table(Medium, _FILE, find=find_medium_contradictions)
ISO = Table(Medium, {**_FILE, "volume": read_volume}, find=find_medium_contradictions)
PACKER = Table(
    _make_packer,
    {
        "source": read_choice({source.value: source for source in PackerSource}),
        "disk": DISK.read,
        "iso": ISO.read,
        "clone": read_clone,
        "playbook": read_source,
        "scripts": read_each(read_source, unique=str),
        "template": read_directory,
        "only": read_only,
        "vars": read_variables,
    },
    find=find_packer_contradictions,
)
