"""``[cluster]``: where the Proxmox cluster is and where things go there, without a secret: the part a team can share.

A project's ``imagekit.toml`` has it, and an operator's ``settings.toml`` for what is their own.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from imagekit.definition.lint import Contradiction
from imagekit.definition.names import VM_IDS
from imagekit.definition.problems import Problems, Wrong, quote
from imagekit.definition.table import Table
from imagekit.definition.toml_file import TomlFile
from imagekit.definition.values import CONTROL, Reader, Scope, read_boolean, read_count, read_text
from imagekit.host.secret import is_reference

API_PORT = 8006
TEMPLATE_ID = 9000  # the id that templates are published as; builds never take it
_API_PATHS = ("", "/", "/api2", "/api2/", "/api2/json", "/api2/json/")

# The patterns of Proxmox VE: pve-common's PVE::JSONSchema for nodes, storages and bridges, pve-access-control's
# PVE::AccessControl for pools (three levels since 8.1) and PVE::JSONSchema's pve-tokenid for tokens.
_NODE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_STORAGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*[A-Za-z0-9]")
_BRIDGE = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,20}(?:[:.][0-9]+)?")
_POOL = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+){0,2}")
_USER = re.compile(r"[^\s:/!=\x00-\x1f]+@[A-Za-z][A-Za-z0-9._-]+")
_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9._-]+")
_RANGE = re.compile(r"([0-9]{3,9})(?:-([0-9]{3,9}))?")
_FINGERPRINT = re.compile(r"[0-9a-f]{64}|[0-9a-f]{2}(?::[0-9a-f]{2}){31}")


@dataclass(frozen=True, slots=True)
class ClusterTable:
    """A ``[cluster]`` as one file has it; ``None`` is what it does not say, and :mod:`imagekit.settings` decides then.

    ``token_secret`` is an ``op://`` reference in a project's file; in an operator's own it may be the secret itself, so
    it is in no ``repr``. ``origins`` maps each key that is there to ``imagekit.toml:12``.
    """

    url: str | None = None
    token_id: str | None = None
    token_secret: str | None = field(default=None, repr=False)
    token_secret_file: Path | None = None
    ca_file: Path | None = None
    fingerprint: str | None = None
    insecure: bool | None = None
    node: str | None = None
    storage: str | None = None
    iso_storage: str | None = None
    bridge: str | None = None
    vlan: int | None = None
    pool: str | None = None
    build_ids: range | None = None
    origins: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)


def read_api_url(value: object, scope: Scope) -> str:
    """Return ``https://HOST:PORT``: the API's path may be there or not, and its port is 8006 where none is.

    A wrong value is not echoed: it may be a token that came into the wrong variable.
    """
    from urllib.parse import urlsplit

    text = read_text(value, scope)
    if CONTROL.search(text):  # urlsplit would leave line ends and tabs out
        raise Wrong("is not an address, such as https://pve.example:8006")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        secret = parts.username is not None or parts.password is not None
    except ValueError:
        raise Wrong("is not an address, such as https://pve.example:8006") from None
    if secret or "@" in text:  # not echoed
        raise Wrong("carries a user or password; an API token logs in, by token_id and its secret")
    if parts.scheme != "https":
        raise Wrong("does not begin with https://, and a token never travels in clear")
    if not re.fullmatch(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}", host) or port == 0:
        raise Wrong("is not an address, such as https://pve.example:8006")
    if parts.path not in _API_PATHS or parts.query or parts.fragment or text.endswith(("?", "#")):
        raise Wrong("goes on after the host, where only /api2/json may follow")
    return f"https://{f'[{host}]' if ':' in host else host}:{port or API_PORT}"


def read_token_id(value: object, scope: Scope) -> str:
    """Return a token's whole id; what could be more than an id is never echoed."""
    text = read_text(value, scope)
    user, mark, name = text.partition("!")
    if "=" in text:
        raise Wrong('has more than an id behind the "="; the secret belongs into token_secret or a file')
    if not mark:
        raise Wrong('is not a whole token id: it needs the token\'s name behind a "!", as in user@realm!name')
    if not _USER.fullmatch(user) or not _TOKEN.fullmatch(name):
        raise Wrong("is not a token id, such as user@realm!name")
    return text


def read_user(value: object, scope: Scope) -> str:
    """Return a user with their realm, such as ``root@pam``."""
    text = read_text(value, scope)
    if not _USER.fullmatch(text):
        raise Wrong("is not a user, such as root@pam")
    return text


def read_token_name(value: object, scope: Scope) -> str:
    """Return a token's name without its user."""
    text = read_text(value, scope)
    if not _TOKEN.fullmatch(text):
        raise Wrong("is neither a token id, such as user@realm!name, nor a token's name")
    return text


def read_fingerprint(value: object, scope: Scope) -> str:
    """Return the SHA-256 of a certificate as 64 lower-case digits; colons may be between them, as Proxmox shows it."""
    text = read_text(value, scope).lower()
    if not _FINGERPRINT.fullmatch(text):
        raise Wrong(f"{quote(text)} is not a SHA-256 fingerprint of 64 hexadecimal digits, with colons or without")
    return text.replace(":", "")


def read_build_ids(value: object, scope: Scope) -> range:
    """Return the VM ids that builds may take."""
    text = read_text(value, scope)
    match = _RANGE.fullmatch(text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not VM_IDS[0] <= first <= last <= VM_IDS[1]:
        raise Wrong(f'{quote(text)} is not a range of VM ids, such as "9100-9199"')
    return range(first, last + 1)


def read_near_path(value: object, scope: Scope) -> Path:
    """Return a path, taken from the directory of its file when it is relative; whether it is there is not asked yet."""
    text = read_text(value, scope)
    if not text or CONTROL.search(text):
        raise Wrong(f"{quote(text)} is not a file's name")
    try:
        return scope.directory / Path(text).expanduser()
    except RuntimeError:
        raise Wrong(f"{quote(text)} names the home of an account that has none") from None


def read_own_secret(value: object, _scope: Scope) -> str:
    """Return a secret or its reference; what is neither is not shown, a number either."""
    if not isinstance(value, str):
        raise Wrong("expected a string in quotes")
    return value


def read_shared_secret(value: object, scope: Scope) -> str:
    """Return a reference to a secret; a secret itself is refused and not shown."""
    text = read_own_secret(value, scope)
    if not is_reference(text):
        raise Wrong(
            "holds a secret, which a project's file would give to everybody who has the project; write its op:// "
            "reference, or use PROXMOX_TOKEN_SECRET or token_secret_file, and make a new token if the file was shared"
        )
    return text


def _read_name(pattern: re.Pattern[str], what: str) -> Reader:
    def read(value: object, scope: Scope) -> str:
        text = read_text(value, scope)
        if not pattern.fullmatch(text):
            raise Wrong(f"{quote(text)} cannot name a {what} of Proxmox")
        return text

    return read


def find_cluster_contradictions(cluster: ClusterTable) -> Iterator[Contradiction]:
    """Yield what one ``[cluster]`` says against itself."""
    if cluster.token_secret is not None and cluster.token_secret_file is not None:
        yield Contradiction("token_secret_file", "token_secret is given as well; keep one of the two", ())
    ways = [key for key in ("ca_file", "fingerprint", "insecure") if getattr(cluster, key) not in (None, False)]
    if len(ways) > 1:
        why = f"{' and '.join(ways[:-1])} is given as well; a certificate is judged in one way"
        yield Contradiction(ways[-1], why, ())
    if cluster.build_ids is not None and TEMPLATE_ID in cluster.build_ids:
        yield Contradiction("build_ids", explain_taken(cluster.build_ids, TEMPLATE_ID), ())


def explain_taken(build_ids: range, vm_id: int) -> str:
    """Return the sentence for a range of build ids that contains a template's own."""
    return (
        f"{format_ids(build_ids)} contains {vm_id}, the id of a template, which only publishing may touch; "
        "choose another range"
    )


def format_ids(build_ids: range) -> str:
    """Return a range of VM ids as people write it: ``9100-9199``."""
    return f"{build_ids.start}-{build_ids.stop - 1}"


_NO_PASSWORD = "imagekit logs in with an API token: token_id and its secret"
CLUSTER = Table(
    ClusterTable,
    {
        "url": read_api_url,
        "token_id": read_token_id,
        "token_secret": read_shared_secret,
        "token_secret_file": read_near_path,
        "ca_file": read_near_path,
        "fingerprint": read_fingerprint,
        "node": _read_name(_NODE, "node"),
        "storage": _read_name(_STORAGE, "storage"),
        "iso_storage": _read_name(_STORAGE, "storage"),
        "bridge": _read_name(_BRIDGE, "bridge"),
        "vlan": read_count(0, 4094),
        "pool": _read_name(_POOL, "pool"),
        "build_ids": read_build_ids,
    },
    find=find_cluster_contradictions,
    refused={
        "insecure": "a project does not decide for everybody that certificates go unchecked; "
        "it belongs to [cluster] in settings.toml",
        "password": _NO_PASSWORD,
        "username": _NO_PASSWORD,
    },
)
"""What a project's file may say."""
OWN_CLUSTER = Table(
    ClusterTable,
    {**CLUSTER.keys, "token_secret": read_own_secret, "insecure": read_boolean},
    find=find_cluster_contradictions,
    refused={key: CLUSTER.refused[key] for key in ("password", "username")},
)
"""What an operator's own file may say: the secret itself as well, and to do without a check of the certificate."""


def parse_cluster(table: Table, value: Any, file: TomlFile, directory: Path, problems: Problems) -> ClusterTable | None:  # noqa: ANN401 - what TOML gave
    """Return the ``[cluster]`` of ``file``; its mistakes are taken down in ``problems``."""
    given = value if isinstance(value, dict) else {}
    origins = MappingProxyType(
        {key: f"{file.name}:{file.find_line(('cluster', key))}" for key in table.keys if key in given}
    )
    try:
        made: ClusterTable | None = table.read(value, Scope(("cluster",), directory, problems), origins=origins)
    except Wrong as problem:
        problems.add(("cluster",), str(problem))
        return None
    return made
