"""A build with Packer as the pipeline sees it: the road chosen and told, a disk or a template on the cluster back."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.cluster.api import open_cluster
from imagekit.cluster.leftovers import find_leftovers
from imagekit.cluster.removal import remove_leftover
from imagekit.cluster.template import find_vm, keep_packages, label_template, read_template_config
from imagekit.errors import HostFailed, SettingsInvalid
from imagekit.image import BuiltImage, BuiltTemplate, ClusterPlace
from imagekit.machine.firmware import find_firmware
from imagekit.pipeline.verify import choose_accelerator, make_policy
from imagekit.progress import Event, Progress
from imagekit.report import Report
from imagekit.settings import ClusterSettings, Settings, read_cluster

if TYPE_CHECKING:
    from imagekit.build.packer.choose import Road
    from imagekit.build.packer.own import MadeTemplate
    from imagekit.build.packer.plan import Plan
    from imagekit.build.packer.session import Session
    from imagekit.definition import ImageDefinition, PackerSource, Project


@dataclass(frozen=True, slots=True)
class PackerBuilder:
    """Packer for one image: what it will do is decided and told, nothing is made yet."""

    definition: "ImageDefinition"
    road: "Road"
    session: "Session"
    settings: Settings
    cluster: ClusterSettings | None

    @property
    def on_cluster(self) -> bool:
        """Say whether the result is known to be a template on the cluster."""
        return self.road.source is not None and self.road.source.on_cluster

    def plan(self, workspace: Path) -> "Plan":
        """Put into ``workspace`` what Packer needs, and check everything that can be; nothing is built.

        Raises everything that would be wrong with the build before it starts.
        """
        from imagekit.build.packer.own import plan_own_template
        from imagekit.build.packer.proxmox import make_trust_environment, plan_by_proxmox
        from imagekit.build.packer.qemu import plan_by_qemu
        from imagekit.build.packer.variables import BuildMachine

        if self.road.source is None:
            ids = None if self.cluster is None else self.cluster.placement.build_ids
            trust = {} if self.cluster is None else make_trust_environment(self.cluster.access, workspace)
            session = replace(self.session, environment={**self.session.environment, **trust})
            return plan_own_template(self.definition, self.road, session, workspace, vm_ids=ids)
        if self.on_cluster:
            known = self._require_cluster()
            with open_cluster(known.access) as cluster:
                return plan_by_proxmox(self.definition, self.road, self.session, workspace, cluster, known.placement)
        machine = BuildMachine(choose_accelerator(self.settings, self.session.progress), find_firmware())
        return plan_by_qemu(self.definition, self.road, self.session, workspace, machine)

    def build(self, workspace: Path) -> "BuiltImage | tuple[BuiltTemplate, Report]":
        """Build the image in ``workspace``; a template on the cluster comes with the report on its configuration."""
        from imagekit.build.packer.own import build_own_template
        from imagekit.build.packer.proxmox import build_by_proxmox
        from imagekit.build.packer.qemu import build_by_qemu

        plan = self.plan(workspace)
        if self.on_cluster:
            with open_cluster(self._require_cluster().access) as cluster:
                return self._judge(build_by_proxmox(plan, self.session, cluster))
        made = build_by_qemu(plan, self.session) if self.road.source else build_own_template(plan, self.session)
        return made if isinstance(made, BuiltImage) else self._judge(made)

    def _judge(self, made: "MadeTemplate") -> tuple[BuiltTemplate, Report]:
        """Read the finished template's configuration, judge it, and say where the template is."""
        from imagekit.verify import parse_vm_config, verify_vm_config

        known = self._require_cluster()
        self.session.progress(Event("verifying"))
        with open_cluster(known.access) as cluster:
            node = find_vm(cluster, made.vm_id)
            if node is None:
                raise HostFailed(f"Packer says that it made VM {made.vm_id}, and the cluster has none of that number")
            if self.on_cluster:  # our own template; one of the user's says what the user wants
                keep_packages(cluster, node, made.vm_id)
            config = read_template_config(cluster, node, made.vm_id)
        vm = parse_vm_config(config, f"VM {made.vm_id} on {node}")
        report = verify_vm_config(vm, make_policy(self.definition))
        # A number is used again; the UUID tells this template from a later one.
        place = ClusterPlace.parse(known.access.url, node, made.vm_id, vm.properties("smbios1").get("uuid", ""))
        definition = self.definition
        built = BuiltTemplate(place, definition.architecture, definition.firmware, definition.size, made.provenance)
        return built, replace(report, target=definition.name)

    def release(self, built: BuiltTemplate) -> None:
        """Take the marks of a build from a template that became a version, so that nobody sweeps it as a leftover."""
        known = self._require_cluster()
        with open_cluster(known.access) as cluster:
            label_template(cluster, built.place.node, built.place.vm_id, ("imagekit", f"ik-{self.definition.name}"))

    def discard(self, built: BuiltTemplate) -> None:
        """Remove a template that became no version; only one that carries the marks of a build is removed."""
        known = self._require_cluster()
        with open_cluster(known.access) as cluster:
            for leftover in find_leftovers(cluster, known.placement):
                if leftover.vm_id == built.place.vm_id and leftover.ours:
                    remove_leftover(cluster, leftover, progress=self.session.progress)

    def _require_cluster(self) -> ClusterSettings:
        if self.cluster is None:
            raise SettingsInvalid(
                f"image {self.definition.name} was built on a cluster, and none is configured",
                hint="add a table [cluster] to imagekit.toml, or set PROXMOX_URL; see docs/settings.md",
            )
        return self.cluster


def open_packer(
    definition: "ImageDefinition", project: "Project", settings: Settings, *, keep: bool, progress: Progress,
    source: "PackerSource | None" = None,
) -> PackerBuilder:  # fmt: skip
    """Decide how Packer builds ``definition`` and tell it with the reason; ``source`` is one that was asked for.

    Raises :class:`DefinitionInvalid`, :class:`SettingsInvalid`, and :class:`ToolMissing` without a usable Packer.
    """
    from imagekit.build.packer.choose import choose_road
    from imagekit.build.packer.session import Session
    from imagekit.build.packer.tool import find_packer
    from imagekit.definition import Builder, change_builder

    cluster = read_cluster(project.cluster, (image.vm_id for image in project.images.values()))
    road = choose_road(definition, has_cluster=cluster is not None)
    if source is not None:
        road = replace(road, why="it was asked for")
    if road.source is not None:  # what contradicts it could not be told before
        definition = change_builder(definition, Builder.PACKER, road.source)
    where = road.source.value if road.source is not None else "its template's own source"
    progress(Event("choosing how to build", note=f"Packer builds with {where}: {road.why}"))
    session = Session(
        tool=find_packer(settings.packer, settings.packer_plugins, settings.cache),
        cache=settings.cache,
        state=settings.state,
        project=project.path,
        keep=keep,
        mke2fs=str(settings.mke2fs or "mke2fs"),
        environment=make_own_environment(cluster) if road.source is None else {},
        progress=progress,
    )
    return PackerBuilder(definition, road, session, settings, cluster)


def make_own_environment(cluster: ClusterSettings | None) -> dict[str, str]:
    """Return what a template of the user's own finds in its environment: PKR_VAR_* as given, and the cluster's names.

    The Proxmox plugin reads ``PROXMOX_URL``, ``PROXMOX_USERNAME`` (the token's full id) and ``PROXMOX_TOKEN``.
    """
    given = {name: value for name, value in os.environ.items() if name.startswith("PKR_VAR_")}
    if cluster is None:
        return given
    access = cluster.access
    return given | {
        "PROXMOX_URL": f"{access.url}/api2/json",
        "PROXMOX_USERNAME": access.token_id,
        "PROXMOX_TOKEN": access.secret.reveal(),
    }
