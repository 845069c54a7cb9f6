"""A build with Nix as the pipeline sees it: the place chosen and told, looked at, used, and left as it was."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.build.nix.choose import Choice, choose_place
from imagekit.build.nix.environment import read_nix_environment
from imagekit.build.nix.preflight import BuildNeed, examine_builder, require_ready
from imagekit.build.nix.session import SYSTEMS, NixSession, build_image, name_flake, open_session
from imagekit.build.nix.site import require_key
from imagekit.build.nix.stage import stage_flake
from imagekit.build.nix.tool import OLDEST_FOR_NIXPKGS, OLDEST_WITH_FLAKES, find_nix
from imagekit.host.ability import Ability
from imagekit.host.here import ThisMachine
from imagekit.image import BuiltImage
from imagekit.pipeline.builders import find_candidates
from imagekit.pipeline.options import BuildOptions
from imagekit.pipeline.vm import open_build_vm
from imagekit.progress import Event, Progress
from imagekit.settings import NixPlace, Settings
from imagekit.store import open_store

if TYPE_CHECKING:
    from imagekit.definition import ImageDefinition
    from imagekit.host.host import Host


@dataclass(frozen=True, slots=True)
class NixBuilder:
    """Nix for one image: where it will build is not decided yet, and nothing is made."""

    definition: "ImageDefinition"
    project: Path | None
    settings: Settings
    options: BuildOptions
    progress: Progress
    on_cluster = False

    @property
    def _oldest(self) -> tuple[int, int]:
        """The first Nix that can evaluate the flake; of another's it is not known."""
        return OLDEST_FOR_NIXPKGS if self.definition.nix.flake is None else OLDEST_WITH_FLAKES

    def build(self, workspace: Path) -> BuiltImage:
        """Build the image as ``workspace/disk.raw``."""
        with self.open(workspace) as session:
            return build_image(
                session, workspace, self.settings.cache / "downloads", self.project, rebuild=self.options.rebuild
            )

    @contextlib.contextmanager
    def open(self, workspace: Path) -> Iterator[NixSession]:
        """Stage the flake, choose a place, look at it, and yield a session there; a VM that was started is halted.

        Raises what would be wrong with the build before minutes are spent on it.
        """
        require_key(self.definition)
        staged = stage_flake(self.definition, self.project, workspace / "flake")
        with self._open_host(self._choose()) as host:
            nix = find_nix(host, self._read_environment(host))
            with open_session(self.definition, staged, host, nix, self.progress) as session:
                require_ready(self._examine(session), host.name)
                yield session

    def plan(self, workspace: Path) -> dict[str, object]:
        """Return where and how the image would be built, with everything that was looked at; no VM is started."""
        require_key(self.definition)
        staged = stage_flake(self.definition, self.project, workspace / "flake")
        choice = self._choose()
        found: dict[str, object] = {
            "flake": name_flake(self.definition),
            "attribute": f"packages.{SYSTEMS[self.definition.architecture]}.{self.definition.nix.attribute}",
            "place": choice.place.value,
            "why": choice.why,
        }
        if choice.place is NixPlace.VAGRANT:
            return found
        with self._open_host(choice) as host:
            nix = find_nix(host, self._read_environment(host))
            with open_session(self.definition, staged, host, nix, self.progress) as session:
                abilities = self._examine(session)
        return found | {"host": host.name, "preflight": [_describe(one) for one in abilities]}

    def _choose(self) -> Choice:
        """Choose where to build, and say so."""
        asked = self.options.place or self.settings.nix_place
        target = self.options.host or self.settings.nix_host
        system = SYSTEMS[self.definition.architecture]
        choice = choose_place(asked, find_candidates(system, asked, target, self.settings, self._oldest))
        self.progress(Event("choosing a builder", note=f"Nix builds {_PLACES[choice.place]}: {choice.why}"))
        return choice

    @contextlib.contextmanager
    def _open_host(self, choice: Choice) -> "Iterator[Host]":
        match choice.place:
            case NixPlace.REMOTE:
                from imagekit.host.openssh import open_openssh

                target = self.options.host or self.settings.nix_host
                assert target is not None  # choose_place saw to it
                self.progress(Event(f"connecting to {target}"))
                with open_openssh(target) as host:
                    yield host
            case NixPlace.VAGRANT:
                with open_build_vm(self.settings, keep_up=self.options.keep_up, progress=self.progress) as host:
                    yield host
            case _:
                yield ThisMachine()

    def _read_environment(self, host: "Host") -> "dict[str, str]":
        return dict(read_nix_environment()) if isinstance(host, ThisMachine) else {}

    def _examine(self, session: NixSession) -> tuple[Ability, ...]:
        """Look at all that the build takes, and show it on one screen."""
        stage = f"looking at {session.host.name}"
        self.progress(Event(stage))
        site = self.definition.site
        need = BuildNeed(
            system=session.system,
            image_bytes=self._expect_bytes(),
            workspace=self.settings.cache,
            flake=f"{session.directory}/flake",
            ssh_keys=None if site is None else len(site.ssh_keys),
            oldest_nix=self._oldest,
        )
        abilities = examine_builder(session.host, session.nix, need)
        for one in abilities:
            self.progress(Event(stage, note=_describe(one)))
        return abilities

    def _expect_bytes(self) -> int:
        """Return about how large the image will be: as the last one was; else as our own is, or another's may be."""
        versions = open_store(self.settings.store).list_versions(self.definition.name)
        if versions:
            return versions[-1].size_bytes
        return _OWN_IMAGE_BYTES if self.definition.nix.flake is None else _OTHER_IMAGE_BYTES


_OWN_IMAGE_BYTES, _OTHER_IMAGE_BYTES = 4 << 30, 1 << 30
_PLACES = {
    NixPlace.LOCAL: "on this machine",
    NixPlace.REMOTE: "on another machine",
    NixPlace.VAGRANT: "in the Vagrant VM",
}


def _describe(ability: Ability) -> str:
    mark = "ok" if ability.ok else "MISSING" if ability.required else "no"
    return f"{mark:7} {ability.subject}: {ability.found}" + (f" ({ability.note})" if ability.note else "")
