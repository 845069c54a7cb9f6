"""The cluster in force: environment before settings file before the project's ``[cluster]`` before defaults."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from imagekit.cluster import ClusterAccess, Placement, Tls, TlsKind
from imagekit.definition.cluster_table import TEMPLATE_ID, ClusterTable, explain_taken, format_ids
from imagekit.definition.problems import Problems
from imagekit.errors import SettingsInvalid
from imagekit.settings.environment import read_environment
from imagekit.settings.file import read_own_cluster, read_settings_file
from imagekit.settings.token import Token, find_token

_PLACEMENT = tuple(one.name for one in fields(Placement))
_DEFAULTS = Placement(node="")


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """How the cluster is reached and where things go there.

    ``placement.node`` is empty where nothing names it: a cluster of one node tells it itself. ``origins`` maps each key
    of ``[cluster]``, and ``tls``, to a variable, ``settings.toml:LINE``, ``imagekit.toml:LINE`` or ``default``.
    """

    access: ClusterAccess
    placement: Placement
    origins: Mapping[str, str]


@dataclass(slots=True)
class _Found:
    """What the sources say; ``problems`` is what is wrong, and ``missing`` what nothing says."""

    token: Token
    tls: Tls
    values: dict[str, object] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def read_cluster(table: ClusterTable | None, taken: Iterable[int] = ()) -> ClusterSettings | None:
    """Return the cluster that the environment, the settings file and ``table`` name, ``None`` when none has a ``url``.

    ``table`` is the project's :attr:`Project.cluster`; ``taken`` has the ``vm_id`` of its images, never a build's.
    No secret is fetched yet, except a ``PROXMOX_VE_API_TOKEN_FILE``, which hides the token's id as well. Raises
    :class:`SettingsInvalid` with everything that is wrong or missing.
    """
    found = _find(table, taken)
    if found is None:
        return None
    token = found.token
    if found.problems or found.missing or token.id is None or token.secret is None:
        raise SettingsInvalid("the cluster's settings cannot be used", problems=[*found.problems, *found.missing])
    access = ClusterAccess(str(found.values["url"]), token.id, token.secret, found.tls)
    placement = Placement(**{key: found.values[key] for key in _PLACEMENT})  # type: ignore[arg-type] # the table's types
    return ClusterSettings(access, placement, found.origins)


def describe_cluster(table: ClusterTable | None, taken: Iterable[int] = ()) -> dict[str, object] | None:
    """Return every value of the cluster in force with its origin, ready for JSON; of the secret the origin alone.

    What is missing is ``null`` with the origin ``missing``. ``None`` and what is raised are those of
    :func:`read_cluster`, which also refuses what is missing.
    """
    found = _find(table, taken)
    if found is None:
        return None
    if found.problems:
        raise SettingsInvalid("the cluster's settings cannot be used", problems=found.problems)
    ids = found.values["build_ids"]
    tls = found.tls
    shown = {
        "url": found.values["url"],
        "token_id": found.token.id,
        "token_secret": None,
        "tls": tls.kind.value,
        "ca_file": None if tls.ca_file is None else str(tls.ca_file),
        "fingerprint": tls.fingerprint,
        **{key: found.values[key] for key in _PLACEMENT},
        "build_ids": format_ids(ids) if isinstance(ids, range) else None,
    }
    return {f"cluster.{key}": {"value": value, "origin": found.origins[key]} for key, value in shown.items()}


def _find(table: ClusterTable | None, taken: Iterable[int]) -> _Found | None:
    """Ask every source for every value; ``None`` when none has a ``url``."""
    problems: list[str] = []
    path, file = read_settings_file()
    mistakes = Problems(file)
    own = read_own_cluster(path, file, mistakes)
    mistakes.raise_any(path, SettingsInvalid)
    environment = read_environment(problems)
    files = [one for one in (own, table) if one is not None]
    sources = [environment, *files]
    if not any("url" in source.origins for source in sources):
        return None
    tls, tls_origins = _choose_tls(sources, problems)
    found = _Found(find_token(files, path, problems), tls, problems=problems)
    for key in ("url", *_PLACEMENT):
        source = next((one for one in sources if key in one.origins), None)
        found.values[key] = getattr(_DEFAULTS, key, None) if source is None else getattr(source, key)
        found.origins[key] = "default" if source is None else source.origins[key]
    found.origins |= {"token_id": found.token.id_origin, "token_secret": found.token.secret_origin, **tls_origins}
    _check_build_ids(found, taken)
    if not problems:
        _note_missing(found)
    return found


def _choose_tls(sources: list[ClusterTable], problems: list[str]) -> tuple[Tls, dict[str, str]]:
    """Return how the certificate is judged, by the strongest source that says so, with origins.

    A source that says ``insecure = false`` takes back what a weaker one says, and leaves the way of checking to it.
    """
    origins = {"tls": "default", "ca_file": "default", "fingerprint": "default"}
    checked = False
    for source in sources:
        if source.insecure and not checked:
            return Tls(TlsKind.INSECURE), {**origins, "tls": source.origins["insecure"]}
        checked = checked or source.insecure is False
        for key in ("fingerprint", "ca_file"):
            if value := getattr(source, key):
                origin = source.origins[key]
                if isinstance(value, Path) and not _is_file(value):
                    problems.append(f"{origin}: cluster.ca_file: {value} is not a file that can be read")
                made = (
                    Tls(TlsKind.CA_FILE, ca_file=value) if key == "ca_file" else Tls(TlsKind.FINGERPRINT, None, value)
                )
                return made, {**origins, "tls": origin, key: origin}
    return Tls(), origins


def _is_file(path: Path) -> bool:
    try:
        with path.open("rb"):
            return path.is_file()
    except OSError:
        return False


def _check_build_ids(found: _Found, taken: Iterable[int]) -> None:
    ids = found.values["build_ids"]
    for vm_id in (TEMPLATE_ID, *taken):
        if isinstance(ids, range) and vm_id in ids:
            found.problems.append(f"{found.origins['build_ids']}: cluster.build_ids: {explain_taken(ids, vm_id)}")
            return


def _note_missing(found: _Found) -> None:
    if found.token.id is None:
        found.missing.append("token_id is missing: set PROXMOX_TOKEN_ID, or token_id in [cluster], to user@realm!name")
    if found.token.secret is None:
        found.missing.append("the token's secret is missing: set PROXMOX_TOKEN_SECRET or PROXMOX_TOKEN_SECRET_FILE")
