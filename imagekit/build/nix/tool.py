"""Nix as it is on a host: which one, what it may build, what it may be asked; and the commands that ask it.

Only what Nix 2.8 and the current ones share is used and read. Where they differ, both are read: ``show-config`` and
``config show``, a list and an object from ``path-info``. The commands carry the two experimental features that flakes
need, so nobody has to configure them.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from imagekit.errors import ImagekitError, ToolFailed, ToolMissing
from imagekit.host.host import Host
from imagekit.machine.serial import clean_text

FEATURES = ("--extra-experimental-features", "nix-command flakes")
OLDEST_WITH_FLAKES = (2, 4)
OLDEST_TRIED = (2, 8)
OLDEST_FOR_NIXPKGS = (2, 18)  # nixpkgs, lib/minfeatures.nix, from 25.11 on: older ones are refused by evaluation
# `path-info --json` warns without --json-format from here on (release notes of Nix 2.33); Lix has no such flag.
_JSON_FORMAT = (2, 33)
_QUESTION_SECONDS = 60.0
_MACHINES_BYTES = 1 << 20
_DEFAULT_STORE = "/nix/store"
_DEFAULT_STATE = "/nix/var/nix"
# nix (Nix) 2.18.1, nix (Nix) 2.4pre20210601_5985b8b, nix (Lix, like Nix) 2.95.1, nix (Determinate Nix 3.14.0) 2.32.4
_VERSION = re.compile(r"nix \(([^()\n]{1,60})\) (\d{1,4})\.(\d{1,6})(?:\.(\d{1,6}))?")
_PLACE = re.compile(r"^(Store|State) directory: (/\S{1,4096})$", re.MULTILINE)
_HINT = "install Nix 2.18 or newer: https://nixos.org/download, or nix-bin of Debian 13"


class Flavour(StrEnum):
    """Whose Nix it is; the version that counts is that of the interface all three share."""

    NIX = "Nix"
    LIX = "Lix"
    DETERMINATE = "Determinate Nix"


@dataclass(frozen=True, slots=True)
class Nix:
    """One Nix and its configuration.

    ``version`` has three numbers; ``extra_platforms`` are other systems it builds for by itself, ``features`` what its
    builders offer (kvm, big-parallel). ``builders`` has a line for each remote machine, in the format of
    ``/etc/nix/machines``. ``trusted`` says whether this user may override settings and import unsigned paths,
    ``allowed`` whether the daemon talks to this user at all. ``environment`` is what every command of it is given.
    """

    program: str
    flavour: Flavour
    version: tuple[int, int, int]
    said: str
    system: str
    extra_platforms: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    builders: str = ""
    substituters: tuple[str, ...] = ()
    store_dir: str = _DEFAULT_STORE
    state_dir: str = _DEFAULT_STATE
    build_dir: str = ""
    trusted: bool = False
    allowed: bool = True
    max_jobs: str = ""
    sandbox: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)


def parse_version(text: str) -> tuple[Flavour, tuple[int, int, int]]:
    """Read the first line of ``nix --version``; raises :class:`ToolFailed` when no Nix says this."""
    first = clean_text(text[:1000]).strip().partition("\n")[0]
    match = _VERSION.match(first)
    if match is None:
        raise ToolFailed("what calls itself nix does not tell its version", detail=first, hint=_HINT)
    maker = match.group(1)
    flavour = next((each for each in (Flavour.LIX, Flavour.DETERMINATE) if maker.startswith(each)), Flavour.NIX)
    return flavour, (int(match.group(2)), int(match.group(3)), int(match.group(4) or 0))


def find_nix(host: Host, environment: Mapping[str, str] | None = None) -> Nix:
    """Find Nix on ``host`` and read its configuration; ``environment`` is given to this and every later command.

    Raises :class:`ToolMissing` when there is none, :class:`ToolFailed` when it is from before flakes or does not
    answer, :class:`HostFailed` when the host does not.
    """
    environment = dict(environment or {})
    program = host.find_program("nix")
    if not program:
        raise ToolMissing(f"there is no Nix on {host.name}", hint=_HINT)
    said = _ask(host, [program, "--version", "--verbose"], environment)
    flavour, version = parse_version(said)
    first = clean_text(said).strip().partition("\n")[0]
    if version < OLDEST_WITH_FLAKES:
        raise ToolFailed(f"{first} on {host.name} is from before flakes", hint=_HINT)
    places = dict(_PLACE.findall(said[:10_000]))
    settings = _read_settings(host, program, version, environment)
    nix = Nix(
        program=program,
        flavour=flavour,
        version=version,
        said=first,
        system=_word(settings, "system"),
        extra_platforms=_words(settings, "extra-platforms"),
        features=_words(settings, "system-features"),
        builders=_read_builders(host, _word(settings, "builders")),
        substituters=_words(settings, "substituters"),
        store_dir=places.get("Store", _DEFAULT_STORE),
        state_dir=places.get("State", _DEFAULT_STATE),
        build_dir=_word(settings, "build-dir"),
        max_jobs=_word(settings, "max-jobs"),
        sandbox=_word(settings, "sandbox"),
        environment=environment,
    )
    trusted, allowed = _examine_user(host, nix, settings)
    return replace(nix, trusted=trusted, allowed=allowed)


def _ask(host: Host, argv: list[str], environment: Mapping[str, str]) -> str:
    """Return what a short question was answered."""
    done = host.run(argv, environment=environment, timeout=_QUESTION_SECONDS)
    return done.output.decode(errors="replace")


def _read_settings(
    host: Host, program: str, version: tuple[int, int, int], environment: Mapping[str, str]
) -> dict[str, object]:
    """Return each setting's value by its name.

    Both names of the command are tried, the one that fits the version first: the new one came with 2.20, and the old
    one is still there as a deprecated alias.
    """
    names = [["config", "show"], ["show-config"]]
    problem = ""
    for name in names if version >= (2, 20) else names[::-1]:
        done = host.run(
            [program, *FEATURES, *name, "--json"], environment=environment, timeout=_QUESTION_SECONDS, check=False
        )
        if done.status == 0:
            return _parse_settings(done.output)
        problem = problem or clean_text(done.errors[-2000:]).strip()
    raise ToolFailed(f"Nix on {host.name} does not tell its configuration", detail=problem, hint="see nix.conf there")


def _parse_settings(output: bytes) -> dict[str, object]:
    try:
        document = json.loads(output)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise ToolFailed("Nix's configuration is not the JSON that it should be")
    return {name: each.get("value") for name, each in document.items() if isinstance(each, dict)}


def _word(settings: Mapping[str, object], name: str) -> str:
    value = settings.get(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return clean_text(str(value)).strip() if isinstance(value, str | int) else ""


def _words(settings: Mapping[str, object], name: str) -> tuple[str, ...]:
    """Return a setting that is a list of words; some versions write it as one text."""
    value = settings.get(name)
    parts = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
    return tuple(clean_text(part) for part in parts if isinstance(part, str))


def _read_builders(host: Host, value: str) -> str:
    """Return the lines of remote machines: ``@FILE`` stands for a file's, and ``;`` divides those in one line."""
    lines = []
    for part in value.replace(";", "\n").splitlines():
        if part.strip().startswith("@"):
            try:
                read = host.read_file(part.strip()[1:], limit=_MACHINES_BYTES)
            except ImagekitError:  # /etc/nix/machines, the default, is missing almost everywhere
                continue
            lines += clean_text(read.decode(errors="replace")).splitlines()
        else:
            lines.append(part)
    return "\n".join(line for each in lines if (line := each.partition("#")[0].strip()))


def _examine_user(host: Host, nix: Nix, settings: Mapping[str, object]) -> tuple[bool, bool]:
    """Say whether the user on ``host`` is trusted, and allowed at all.

    Who can write Nix's state works on the store without a daemon and may do anything, as root may. For all others the
    newer ``nix store info`` tells what the daemon thinks; before that it follows from the configuration: names,
    ``@group`` and ``*`` (nix.conf(5), trusted-users).
    """
    if host.run(["test", "-w", nix.state_dir], environment=nix.environment, check=False).status == 0:
        return True, True
    if nix.version >= (2, 20):
        argv = [nix.program, *FEATURES, "store", "info", "--json"]
        done = host.run(argv, environment=nix.environment, timeout=_QUESTION_SECONDS, check=False)
        try:
            answer = json.loads(done.output) if done.status == 0 else {}
        except (ValueError, RecursionError):
            answer = {}
        if isinstance(answer, dict) and answer.get("trusted") is not None:
            return bool(answer["trusted"]), True
    names = {_ask(host, ["id", "-un"], nix.environment).strip(), "*"}
    names |= {f"@{group}" for group in _ask(host, ["id", "-Gn"], nix.environment).split()}
    trusted = "root" in names or bool(names & {*_words(settings, "trusted-users")})
    return trusted, trusted or bool(names & {*_words(settings, "allowed-users")} or "allowed-users" not in settings)


def list_other_systems(nix: Nix) -> dict[str, tuple[str, ...]]:
    """Return the systems that remote machines of Nix's own ``builders`` build for, each with the machines' addresses.

    A line has address, systems, key, jobs, speed, features (nix.conf(5), builders); ``-`` leaves a field out and means
    the local system.
    """
    systems: dict[str, list[str]] = {}
    for line in nix.builders.splitlines():
        address, *rest = line.split()
        for system in (rest[0] if rest and rest[0] != "-" else nix.system).split(","):
            systems.setdefault(system, []).append(address)
    return {system: tuple(addresses) for system, addresses in systems.items()}


def make_build_command(
    nix: Nix, installable: str, *, out_link: str = "", rebuild: bool = False, keep_failed: bool = False
) -> list[str]:
    """Return the command that builds ``installable``: JSON on its output, the log on standard error for NixLog.

    The lock is never changed. ``out_link`` is a path for a link that keeps the result from the garbage collector;
    ``rebuild`` builds again what is there and compares.
    """
    kept = ["--out-link", out_link] if out_link else ["--no-link"]
    extra = ["--rebuild"] * rebuild + ["--keep-failed"] * keep_failed
    log = ["--log-format", "internal-json", "-v"]
    return [nix.program, *FEATURES, "build", *kept, "--json", *log, "--no-update-lock-file", *extra, installable]


def make_path_info_command(nix: Nix, path: str, *, recursive: bool = True) -> list[str]:
    """Return the command that describes a store path, ``recursive`` with all it needs, as JSON for parse_closure."""
    form = ["--json-format", "1"] if nix.version >= _JSON_FORMAT and nix.flavour is not Flavour.LIX else []
    return [nix.program, *FEATURES, "path-info", "--json", *form, *["-r"] * recursive, "-s", path]


def make_metadata_command(nix: Nix, flake: str, *, offline: bool = False) -> list[str]:
    """Return the command that prints a flake's metadata and lock as JSON, and changes no lock."""
    away = ["--offline"] if offline else []
    return [nix.program, *FEATURES, "flake", "metadata", "--json", "--no-update-lock-file", *away, flake]


def make_eval_command(nix: Nix, installable: str, *, apply: str = "") -> list[str]:
    """Return the command that evaluates ``installable`` to JSON, after the Nix function ``apply`` if there is one."""
    changed = ["--apply", apply] if apply else []
    return [nix.program, *FEATURES, "eval", "--json", "--no-update-lock-file", *changed, installable]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What ``nix build --json`` says of one installable: its derivation, and its outputs' paths by name."""

    derivation: str
    outputs: Mapping[str, str]


def parse_build_output(output: bytes) -> BuildResult:
    """Read the output of :func:`make_build_command`, a list with one entry.

    Raises :class:`ToolFailed` when it is not that, or has no output ``out``.
    """
    try:
        document = json.loads(output)
        (entry,) = document
        outputs = {str(name): path for name, path in entry["outputs"].items() if isinstance(path, str)}
        derivation = entry["drvPath"]
        if not isinstance(derivation, str) or not outputs["out"].startswith("/"):
            raise ValueError(derivation)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        said = clean_text(output[:500].decode(errors="replace"))
        raise ToolFailed("Nix did not say where the built image is", detail=said) from None
    return BuildResult(derivation, outputs)
