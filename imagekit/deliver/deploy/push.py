"""A closure on its way from the machine that built it to the one that shall run it; only what is missing there goes.

Two roads. ``nix copy`` streams from the source to the target, where the source can enter it. Otherwise the paths come
through this machine in bundles of ``nix-store --export`` and ``--import`` (nix-store(1)), which needs no Nix here and
goes on after a break where it was: what has arrived is registered there, and the next run asks what is missing.
"""

import posixpath
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.deliver.deploy.target import Target
from imagekit.errors import HostFailed, ImagekitError, ToolFailed, ToolMissing
from imagekit.host.host import Host
from imagekit.image import format_bytes
from imagekit.progress import Event, Progress

_BUNDLE_BYTES = 32 << 20
_BUNDLE_PATHS = 200
_MOST_PATHS = 500_000
_STAGE = "copying the system"
_COPYING = re.compile(r"copying path '([^']+)'")
_FEATURES = ("--extra-experimental-features", "nix-command flakes")
_PATH = re.compile(r"/[^\s\x00-\x1f\x7f'\"]{1,400}/[0-9a-df-np-sv-z]{32}-[0-9A-Za-z+\-._?=]{1,211}")


@dataclass(frozen=True, slots=True)
class Road:
    """How the source's ``nix copy`` enters the target: a store's URL (``ssh-ng://…``) and ``NIX_SSHOPTS``."""

    url: str
    ssh_options: tuple[str, ...] = ()

    @property
    def environment(self) -> Mapping[str, str]:
        """Return what nix(1) is to find in its environment; it splits the options at blanks."""
        return {"NIX_SSHOPTS": " ".join(self.ssh_options)}


@dataclass(frozen=True, slots=True)
class Source:
    """The machine whose store has the closure, and what Nix here is to find in its environment."""

    host: Host
    environment: Mapping[str, str] = field(default_factory=dict)

    def find_nix_store(self) -> str:
        """Return nix-store(1)'s path there; raises :class:`ToolMissing`."""
        if not (found := self.host.find_program("nix-store")):
            raise ToolMissing(
                f"nix-store is not there on {self.host.name}", hint="install Nix there: https://nixos.org/download"
            )
        return found

    def ask(self, argv: Sequence[str], names: Sequence[str] = ()) -> bytes:
        """Run a command of Nix there, with ``names`` a line each on its standard input."""
        return self.host.run(argv, environment=self.environment, stdin="\n".join(names).encode()).output


@dataclass(frozen=True, slots=True)
class Shipment:
    """What has to go: store paths, what they refer to first, with their sizes in bytes as archives."""

    sizes: Mapping[str, int]

    @property
    def bytes(self) -> int:
        return sum(self.sizes.values())

    def __str__(self) -> str:
        if not self.sizes:
            return "nothing"
        return f"{len(self.sizes)} path{'s' * (len(self.sizes) > 1)}, {format_bytes(self.bytes)}"


def list_closure(source: Source, path: str) -> tuple[str, ...]:
    """Return all paths that ``path`` needs, itself last; raises :class:`ToolFailed` when the builder has it not."""
    said = source.ask([source.find_nix_store(), "--query", "--requisites", path])
    return _read_paths(said, source.host.name)


def list_target_closure(target: Target, path: str) -> tuple[str, ...]:
    """Return all paths that a system on the target needs; empty when its store does not know it."""
    answer = target.run([target.find_program("nix-store"), "--query", "--requisites", path], check=False)
    return _read_paths(answer.output, target.name) if answer.status == 0 else ()


def find_missing(source: Source, target: Target, closure: Sequence[str]) -> Shipment:
    """Return which paths of the closure the target does not have."""
    names = "\n".join(closure).encode()
    check = ["xargs", target.find_program("nix-store"), "--check-validity", "--print-invalid"]
    missing = set(_read_paths(target.run(check, stdin=names).output, target.name))
    ordered = [path for path in closure if path in missing]
    if not ordered:
        return Shipment({})
    query = ["xargs", source.find_nix_store(), "--query", "--size"]
    lines = source.ask(query, ordered).decode(errors="replace").split()
    if len(lines) != len(ordered) or not all(line.isascii() and line.isdecimal() for line in lines):
        raise HostFailed(f"nix-store on {source.host.name} does not tell the sizes of {len(ordered)} paths")
    return Shipment({path: int(line[:18]) for path, line in zip(ordered, lines, strict=True)})


def check_room(target: Target, shipment: Shipment, path: str) -> None:
    """Raise :class:`HostFailed` when the target's disk cannot hold what is sent."""
    free = target.host.free_bytes(posixpath.dirname(path))
    if shipment.bytes + (128 << 20) > free:
        raise HostFailed(
            f"{target.name} has {free >> 20} MiB left for {shipment.bytes >> 20} MiB of the new system",
            hint="on the target: sudo nix-collect-garbage --delete-older-than 14d",
        )


def can_enter(source: Source, target_words: Sequence[str]) -> bool:
    """Say whether the source's own ssh(1) enters the target without asking anybody; ``target_words`` are its words."""
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "StrictHostKeyChecking=yes"]
    try:
        return source.host.run(["ssh", *options, *target_words, "true"], check=False, timeout=20).status == 0
    except (ToolMissing, ToolFailed):
        return False


def copy_directly(source: Source, road: Road, path: str, shipment: Shipment, progress: Progress) -> None:
    """Let the source's nix(1) send the closure; raises :class:`HostFailed` when it does not arrive whole."""
    sent = 0

    def hear(line: str) -> None:
        nonlocal sent
        if found := _COPYING.search(line):
            progress(Event(_STAGE, sent, shipment.bytes, "B", posixpath.basename(found.group(1))[33:]))
            sent += shipment.sizes.get(found.group(1), 0)

    progress(Event(_STAGE, 0, shipment.bytes, "B"))
    # Trusted users alone may send what nobody signed; the target says so when its user is none.
    argv = ["nix", *_FEATURES, "copy", "--no-check-sigs", "--to", road.url, path]
    try:
        source.host.run(argv, environment={**source.environment, **road.environment}, on_line=hear)
    except ToolFailed as problem:
        unsigned = "lacks a valid signature" in problem.detail or "lacks a signature" in problem.detail
        raise HostFailed(
            f"the system did not reach {road.url} whole: {_last_line(problem.detail)}",
            hint="make the target's user one that Nix trusts: nix.settings.trusted-users"
            if unsigned
            else "what has arrived stays there: run the same command again",
        ) from problem
    progress(Event(_STAGE, shipment.bytes, shipment.bytes, "B"))


def carry_over(source: Source, target: Target, shipment: Shipment, progress: Progress) -> None:
    """Bring the paths from the source to the target through this machine, a bundle at a time."""
    done = 0
    program, other = source.find_nix_store(), target.find_program("nix-store")
    export = 'xargs "$1" --export > "$2"'
    there, arrived = source.host.make_directory(), ""
    try:
        arrived = target.host.make_directory()
        for bundle in make_bundles(shipment):
            size = sum(shipment.sizes[path] for path in bundle)
            progress(Event(_STAGE, done, shipment.bytes, "B", f"{posixpath.basename(bundle[0])[33:]} …"))
            file = f"{there}/bundle"
            source.ask(["sh", "-c", export, "imagekit", program, file], bundle)
            with tempfile.TemporaryDirectory(prefix="imagekit-deploy-") as here:
                length = source.host.measure_file(file)
                path = source.host.fetch_file(file, Path(here) / "bundle", size=length)
                target.host.put_tree(path.parent, arrived)
            take = ["sh", "-c", '"$1" --import < "$2" > /dev/null', "imagekit", other, f"{arrived}/bundle"]
            target.run(take, root=True, timeout=3600)
            done += size
        progress(Event(_STAGE, done, shipment.bytes, "B"))
    except ImagekitError as problem:
        raise HostFailed(
            f"the system did not reach {target.name} whole: {problem.message}",
            hint="what has arrived stays there: run the same command again",
        ) from problem
    finally:
        _remove_quietly(source.host, there)
        if arrived:
            _remove_quietly(target.host, arrived)


def make_bundles(shipment: Shipment) -> Iterator[tuple[str, ...]]:
    """Yield the paths in order, in bundles of 32 MiB and 200 paths at the most; a larger path is alone in its own."""
    bundle: list[str] = []
    size = 0
    for path, length in shipment.sizes.items():
        if bundle and (size + length > _BUNDLE_BYTES or len(bundle) >= _BUNDLE_PATHS):
            yield tuple(bundle)
            bundle, size = [], 0
        bundle.append(path)
        size += length
    if bundle:
        yield tuple(bundle)


def _read_paths(said: bytes, where: str) -> tuple[str, ...]:
    lines = said.decode(errors="replace").split("\n")
    paths = tuple(line for line in lines if line)
    if len(paths) > _MOST_PATHS or not all(_PATH.fullmatch(path) for path in paths):
        raise HostFailed(f"nix-store on {where} answers with something that is no store path")
    return paths


def _remove_quietly(host: Host, directory: str) -> None:
    try:
        host.remove_directory(directory)
    except ImagekitError:
        return  # swept later


def _last_line(detail: str) -> str:
    lines = [line.strip() for line in detail.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith("error:")), lines[-1] if lines else "nix said nothing")[:300]
