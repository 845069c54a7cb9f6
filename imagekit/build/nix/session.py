"""One build by Nix on one host: the flake goes there, its log comes back, and what was built is fetched.

It is the same for this machine, another one and the build VM: a :class:`~imagekit.host.host.Host` runs commands and
gives files. What a crash leaves there: a directory, which the next build after two days removes, and store paths, which
are Nix's to collect. What it leaves here is in the build's workspace, and in ``downloads`` of the cache the beginning
of an image, which the next build continues.
"""

import contextlib
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from imagekit import __version__
from imagekit.build.git import read_commit
from imagekit.build.nix.closure import parse_closure
from imagekit.build.nix.failure import explain_failure
from imagekit.build.nix.internal_json import EVALUATING, NixLog
from imagekit.build.nix.products import locate_image
from imagekit.build.nix.rebuild import verify_rebuild
from imagekit.build.nix.result import describe_disk, fetch_image, read_closure, unpack_image
from imagekit.build.nix.stage import StagedFlake, find_flake
from imagekit.build.nix.tool import (
    BuildResult,
    Flavour,
    Nix,
    make_build_command,
    make_path_info_command,
    parse_build_output,
)
from imagekit.definition import ImageDefinition, describe_image
from imagekit.host.host import Host
from imagekit.image import Architecture, BuiltImage, ClosurePath, Provenance
from imagekit.progress import Event, Progress, silent

SYSTEMS = {Architecture.ARM64: "aarch64-linux", Architecture.AMD64: "x86_64-linux"}
_LOCK_BYTES = 4 << 20


@dataclass(frozen=True, slots=True)
class NixSession:
    """A host with its Nix, and a copy of the flake in a directory there.

    ``directory`` is private and goes when the session is closed; results are linked in it, so that no garbage
    collector takes them before they are fetched.
    """

    definition: ImageDefinition
    staged: StagedFlake
    host: Host
    nix: Nix
    directory: str
    progress: Progress = field(default=silent)

    @property
    def system(self) -> str:
        """Nix's name of the processor that the image is for."""
        return SYSTEMS[self.definition.architecture]

    def name_installable(self, attribute: str) -> str:
        """Return what Nix builds: an output of the copy of the flake."""
        return f"path:{self.directory}/flake#{attribute}"


@contextlib.contextmanager
def open_session(
    definition: ImageDefinition, staged: StagedFlake, host: Host, nix: Nix, progress: Progress = silent
) -> Iterator[NixSession]:
    """Bring the flake to ``host`` and yield the session; its directory there is removed afterwards."""
    directory = host.make_directory()
    try:
        host.run(["mkdir", f"{directory}/flake"])
        host.put_tree(staged.directory, f"{directory}/flake")
        yield NixSession(definition, staged, host, nix, directory, progress)
    finally:
        host.remove_directory(directory)


def build_attribute(session: NixSession, attribute: str) -> BuildResult:
    """Build one output of the flake and return its derivation and paths.

    Raises what :func:`~imagekit.build.nix.failure.explain_failure` makes of Nix's words.
    """
    session.progress(Event(EVALUATING))
    log = NixLog(session.progress)
    command = make_build_command(
        session.nix, session.name_installable(attribute), out_link=f"{session.directory}/result"
    )
    done = session.host.run(command, environment=session.nix.environment, on_line=log.hear, check=False)
    if done.status != 0:
        log.finish(done.errors)
        raise explain_failure(log, done.status, session.host.name)
    return parse_build_output(done.output)


def build_system(session: NixSession) -> tuple[str, tuple[ClosurePath, ...]]:
    """Build the image's NixOS configuration; return its store path and its closure, which are on the session's host."""
    attribute = f"nixosConfigurations.{session.definition.nix.configuration}.config.system.build.toplevel"
    path = build_attribute(session, attribute).outputs["out"]
    said = session.host.run(make_path_info_command(session.nix, path), environment=session.nix.environment)
    return path, parse_closure(said.output, session.nix.store_dir)


def build_image(
    session: NixSession, workspace: Path, downloads: Path, project: Path | None, *, rebuild: bool = False
) -> BuiltImage:
    """Build the image and bring it here, as ``workspace/disk.raw``.

    ``downloads`` keeps what has arrived of an image when the line breaks; ``project`` is the path of ``imagekit.toml``.
    With ``rebuild`` Nix builds it twice, and the provenance says whether both were alike. Raises also
    :class:`ToolFailed` for an output that holds no image, :class:`HostFailed` when it does not arrive whole, and
    :class:`VerificationFailed` when it is no disk with a Nix store.
    """
    definition, host, progress = session.definition, session.host, session.progress
    attribute = f"packages.{session.system}.{definition.nix.attribute}"
    built = build_attribute(session, attribute)
    out = built.outputs["out"]
    difference = (
        verify_rebuild(session.host, session.nix, session.name_installable(attribute), progress) if rebuild else ""
    )
    image, size = locate_image(host, session.nix, out)
    downloads.mkdir(parents=True, exist_ok=True)
    part = downloads / f"{hashlib.sha256(f'{host.name} {image}'.encode()).hexdigest()[:32]}.part"
    found, digest = fetch_image(host, image, size, part, progress)
    disk = workspace / "disk.raw"
    unpack_image(found, disk, progress)
    if found == part:
        part.unlink()
    packages, closure = read_closure(disk)
    commit, dirty = read_commit(project.parent) if project is not None else (None, False)
    provenance = Provenance(
        builder="nix",
        definition=describe_image(definition),
        packages=packages,
        tools={"nix": name_version(session.nix), "imagekit": __version__},
        inputs={
            "flake": f"sha256:{session.staged.digest}",
            **read_locks(session.staged.directory),
            "attribute": attribute,
            "derivation": built.derivation,
            "store-path": out,
            "image": image.rpartition("/")[2],
            "image-digest": f"sha256:{digest}",
            "built-on": host.name,
        },
        git_commit=commit,
        git_dirty=dirty,
        reproducible=not difference,
        reproducible_note=difference,
        closure=closure,
    )
    return BuiltImage(describe_disk(definition, disk, progress), provenance)


def read_locks(flake: Path) -> dict[str, str]:
    """Return what a flake's locks pin: each input's revision and hash, and each container's digest.

    What is not there, or is not as it should be, is left out: whether the lock is right is Nix's to say.
    """
    found: dict[str, str] = {}
    nodes = _read_json(flake / "flake.lock").get("nodes")
    for name, node in nodes.items() if isinstance(nodes, dict) else ():
        locked = node.get("locked") if isinstance(node, dict) else None
        for key in ("rev", "narHash"):
            if isinstance(locked, dict) and isinstance(locked.get(key), str):
                found[f"{name}.{key}"] = locked[key]
    for name, pin in _read_json(flake / "nix" / "pihole" / "images.json").items():
        if isinstance(pin, dict) and isinstance(pin.get("digest"), str):
            found[f"container.{name}"] = f"{pin.get('name')}:{pin.get('tag')}@{pin['digest']}"
    return found


def _read_json(path: Path) -> dict[str, object]:
    try:
        if path.stat().st_size > _LOCK_BYTES:
            return {}
        document = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def name_version(nix: Nix) -> str:
    """Return Nix's version, after its maker's name where that is not Nix itself."""
    version = ".".join(map(str, nix.version))
    return version if nix.flavour is Flavour.NIX else f"{nix.flavour} {version}"


def name_flake(definition: ImageDefinition) -> str:
    """Return the image's flake as a person knows it."""
    return "imagekit's own flake" if definition.nix.flake is None else str(find_flake(definition))
