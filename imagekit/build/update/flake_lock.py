"""``flake.lock``: newer revisions of a flake's inputs, found by Nix itself on a copy of the flake.

Nix 2.19 turned ``nix flake update``'s argument from the flake to an input and gave the flake an option (release notes).
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from imagekit.build.nix.stage import find_flake, find_locks, stage_flake
from imagekit.build.nix.tool import FEATURES, Nix
from imagekit.build.update.change import Renewal, SourceChange
from imagekit.build.update.writing import read_present
from imagekit.definition import ImageDefinition
from imagekit.errors import DefinitionInvalid, Refused, ToolFailed
from imagekit.host.here import ThisMachine
from imagekit.host.host import Host
from imagekit.machine.serial import clean_text

LOCK = "flake.lock"
_LARGEST = 16 << 20
_UPDATE_SECONDS = 900.0
_FLAKE_OPTION = (2, 19)
_OLDEST = 1 << 28  # 1978: Nix says 1 where it knows of no time
_DEEPEST = 32
_MOST_INPUTS = 5_000
_DETAIL_LINES = 12


@dataclass(frozen=True, slots=True)
class LockedInput:
    """One input as it is locked: ``place`` is what kind it is and where, ``revision`` a commit or a hash of content.

    A directory of the flake itself has no revision of its own since Nix 2.26, which locks its path alone.
    """

    place: str
    revision: str
    modified: int

    def describe(self) -> str:
        """Return revision and day as a table has them."""
        revision = (self.revision or self.place)[:19]
        if not _OLDEST < self.modified < 1 << 35:
            return revision
        return f"{revision} ({datetime.fromtimestamp(self.modified, UTC):%Y-%m-%d})"


def read_inputs(data: bytes | None, where: str) -> dict[str, LockedInput]:
    """Return the inputs of a lock by the way to them (``nixpkgs``, ``home-manager/nixpkgs``); none without a lock.

    Raises :class:`DefinitionInvalid` when ``data`` is no lock of versions 5 to 7.
    """
    if data is None:
        return {}
    try:
        document = json.loads(data)
        if document["version"] not in (5, 6, 7):
            raise DefinitionInvalid(f"{where} is of a version that is not known", hint="it may be from a newer Nix")
        nodes = document["nodes"]
        return dict(_walk(nodes, document["root"], "", _DEEPEST, [_MOST_INPUTS]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DefinitionInvalid(f"{where} is no flake.lock") from None


def _walk(
    nodes: dict[str, object], key: str, way: str, depth: int, left: list[int]
) -> Iterator[tuple[str, LockedInput]]:
    node = nodes[key]
    if not isinstance(node, dict) or not depth:
        raise ValueError(key)
    for name, target in node.get("inputs", {}).items():
        if not isinstance(target, str):  # it follows another input, which is there itself
            continue
        left[0] -= 1
        if left[0] < 0:
            raise ValueError(name)
        yield f"{way}{name}", _read_locked(nodes[target])
        yield from _walk(nodes, target, f"{way}{name}/", depth - 1, left)


def _read_locked(node: object) -> LockedInput:
    if not isinstance(node, dict) or not isinstance(locked := node["locked"], dict):
        raise ValueError(node)
    named = [str(locked[name]) for name in ("owner", "repo", "url", "path") if name in locked]
    place = f"{locked.get('type', '')}:{'/'.join(named)}"
    modified = locked.get("lastModified", 0)
    relative = locked.get("type") == "path" and not str(locked.get("path", "/")).startswith("/")
    revision = locked.get("rev") or (locked.get("narHash", "") if relative else locked["narHash"])
    return LockedInput(place, str(revision), modified if isinstance(modified, int) else 0)


def compare_locks(before: dict[str, LockedInput], after: dict[str, LockedInput]) -> tuple[SourceChange, ...]:
    """Return each input that differs, by name; the first lock of a flake has all of them as new."""
    changes = []
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old is not None and new is not None and (old.place, old.revision) == (new.place, new.revision):
            continue
        moved = f"input {name} comes from {new.place} now" if old and new and old.place != new.place else ""
        changes.append(
            SourceChange(f"input {name}", old.describe() if old else "", new.describe() if new else "", moved)
        )
    return tuple(changes)


def find_lock_file(definition: ImageDefinition, project: Path | None) -> Path:
    """Return the ``flake.lock`` that may be changed: the flake's own, or the project's for imagekit's flake.

    ``project`` is the path of ``imagekit.toml``. Raises :class:`DefinitionInvalid` when there is none to lie beside.
    """
    return find_lock_directory(definition, project) / LOCK


def find_lock_directory(definition: ImageDefinition, project: Path | None) -> Path:
    """Return the directory of the files that :func:`find_lock_file` names; raises as it does."""
    if definition.nix.flake is not None:
        return find_flake(definition)
    if project is None:
        raise DefinitionInvalid(
            f"image {definition.name} has no imagekit.toml, beside which its locks could be kept",
            hint="write one with: imagekit init",
        )
    return find_locks(project.parent)


def renew_flake_lock(definition: ImageDefinition, project: Path | None, host: Host, nix: Nix) -> Renewal | None:
    """Let Nix on ``host`` look for newer inputs of the image's flake; ``None`` when there are none.

    It works on a staged copy: the flake itself is only read. Raises :class:`ToolFailed` with what Nix said when it
    cannot find out, and what staging raises.
    """
    path = find_lock_file(definition, project)
    present = read_present(path, _LARGEST)
    with _directory_on(ThisMachine()) as here, _directory_on(host) as there:
        staged = stage_flake(definition, project, Path(here).resolve() / "flake").directory
        before = read_present(staged / LOCK, _LARGEST)
        host.put_tree(staged, there)
        _update(host, nix, there, definition)
        after = host.read_file(f"{there}/{LOCK}", limit=_LARGEST)
    if there.encode() in after:
        raise Refused(
            f"{path} would name the temporary directory of the update, because an input is a relative path",
            hint=f"run nix flake update in {path.parent} yourself",
        )
    changes = compare_locks(read_inputs(before, str(path)), read_inputs(after, "what Nix wrote"))
    return Renewal(path, present, after, changes) if changes else None


@contextlib.contextmanager
def _directory_on(host: Host) -> Iterator[str]:
    """Yield a fresh directory on ``host``, which is removed behind the block, or after a crash by a later one."""
    directory = host.make_directory()
    try:
        yield directory
    finally:
        host.remove_directory(directory)


def _update(host: Host, nix: Nix, directory: str, definition: ImageDefinition) -> None:
    flake = f"path:{directory}"
    target = ["--flake", flake] if nix.version >= _FLAKE_OPTION else [flake]
    argv = [nix.program, *FEATURES, "flake", "update", *target]
    done = host.run(argv, environment=nix.environment, timeout=_UPDATE_SECONDS, check=False)
    if done.status:
        said = [line for line in clean_text(done.errors).splitlines() if line.strip()]
        errors = [number for number, line in enumerate(said) if line.startswith("error:")]
        which = "imagekit's own flake" if definition.nix.flake is None else f"the flake in {definition.nix.flake}"
        raise ToolFailed(
            f"Nix cannot look for newer inputs of {which}",
            detail="\n".join(said[errors[0] :][:_DETAIL_LINES] if errors else said[-_DETAIL_LINES:]),
            hint="the lock stays as it is; without network there is nothing to look at",
        )
