"""An image by Packer's Proxmox sources: a template on the cluster, from an installer or from another template."""

import contextlib
import secrets
from dataclasses import replace
from pathlib import Path

from imagekit.build.packer.answers import boot_command
from imagekit.build.packer.choose import Road, Start
from imagekit.build.packer.own import MadeTemplate, find_template_id
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.plan import Plan, check_values, open_plan, run_plan
from imagekit.build.packer.prepare import prepare_build
from imagekit.build.packer.record import record_build
from imagekit.build.packer.session import Session
from imagekit.build.packer.tool import require_plugins
from imagekit.build.packer.variables import make_proxmox_variables
from imagekit.cluster import ClusterAccess, Placement
from imagekit.cluster.api import Cluster
from imagekit.cluster.need import Need, SourceKind
from imagekit.cluster.preflight import Chosen, require_cluster
from imagekit.cluster.seed_volume import name_seed_volume, upload_seed
from imagekit.cluster.trust import write_trust
from imagekit.definition.model import ImageDefinition
from imagekit.errors import DefinitionInvalid, ToolFailed
from imagekit.image import Firmware
from imagekit.progress import Event

PLUGINS = {"github.com/hashicorp/proxmox": "1.2.2", "github.com/hashicorp/ansible": "1.0.3"}


def make_need(definition: ImageDefinition, road: Road, placement: Placement) -> Need:
    """Return what a build of ``definition`` asks of the cluster."""
    iso = definition.packer.iso
    installs = road.start is Start.INSTALLER
    return Need(
        source=SourceKind.ISO if installs else SourceKind.CLONE,
        storage=placement.storage,
        disk_bytes=definition.size,
        build_ids=placement.build_ids,
        node=placement.node,
        iso_storage=placement.iso_storage if installs else "",
        iso_volume=iso.volume if installs and iso is not None and iso.volume is not None else "",
        uploads=installs,  # the seed, if nothing else
        bridge=placement.bridge,
        vlan=placement.vlan,
        pool=placement.pool,
        clone_source=None if installs else definition.packer.clone,
        sends_boot=installs,
        uefi=definition.firmware is Firmware.OVMF,
    )


def plan_by_proxmox(
    definition: ImageDefinition, road: Road, session: Session, workspace: Path, cluster: Cluster, placement: Placement
) -> Plan:
    """Examine the cluster, choose a free id of ``placement.build_ids``, and check all that Packer will be given.

    Nothing is made on the cluster. Raises :class:`DefinitionInvalid`, :class:`ToolMissing`, :class:`ToolFailed` and
    what :func:`require_cluster` does.
    """
    if road.source is None:
        raise DefinitionInvalid(f"image {definition.name} has no source on the cluster")
    if definition.firmware is not Firmware.OVMF:
        raise DefinitionInvalid(
            f"our Proxmox template starts through UEFI, not {definition.firmware}",
            hint='set firmware = "ovmf", or name a template directory of your own in packer.template',
        )
    require_plugins(session.tool, PLUGINS)
    session.progress(Event("examining the cluster"))
    chosen = require_cluster(cluster, make_need(definition, road, placement))
    build_id, installs = secrets.token_hex(6), road.start is Start.INSTALLER
    volume = name_seed_volume(placement.iso_storage, build_id) if installs else ""
    template, only = find_own_template("proxmox"), f"{road.source.value}.template"
    session.progress(Event("preparing the build"))
    prepare_build(workspace, definition, road.start, build_id)
    values = make_proxmox_variables(
        definition, road.start, workspace, cluster.access, replace(placement, node=chosen.node),
        vm_id=chosen.vm_id, build_id=build_id, seed_volume=volume,
        boot_command=boot_command(definition.base.release) if installs else (),
    )  # fmt: skip
    token = {"proxmox_token": cluster.access.secret.reveal()}
    trust = make_trust_environment(cluster.access, workspace)
    var_files, warnings = check_values(
        session, template, workspace, values, values, secrets=token, only=only, vm_ids=placement.build_ids
    )
    seen = [
        f"{one.subject}: {one.found}" + (f" ({'; '.join(one.note.splitlines())})" if one.note else "")
        for one in chosen.warnings
    ]
    return Plan(
        definition, road, build_id, workspace, template, var_files, (*seen, *warnings), only,
        inputs=_describe_inputs(definition, chosen), secrets=token, environment=trust, ssh_key=workspace / "key",
        cluster=cluster.access.url, node=chosen.node, vm_id=chosen.vm_id, seed_volume=volume,
    )  # fmt: skip


def build_by_proxmox(plan: Plan, session: Session, cluster: Cluster) -> MadeTemplate:
    """Build what was planned as a template on the cluster.

    Raises the errors of the API, and what :func:`run_build` does; then nothing is left on the cluster, unless
    ``session.keep`` asked for it.
    """
    with open_plan(plan, session) as build:
        # Before Packer runs: minutes later a script may be another one, or gone.
        record = record_build(plan.definition, plan.road, session.tool, plan.template, (), plan.inputs, session.project)
        with contextlib.ExitStack() as made:
            if plan.seed_volume:
                storage = plan.seed_volume.partition(":")[0]
                seed = plan.workspace / "seed.iso"
                made.enter_context(upload_seed(cluster, plan.node, storage, seed, plan.build_id, session.progress))
            outcome = run_plan(plan, session, build)
        build.note(seed_volume="")
        vm_id = find_template_id(outcome.artifacts)
        if vm_id != plan.vm_id:
            raise ToolFailed(f"Packer says that it made VM {vm_id}, and was asked for {plan.vm_id}")
        build.note(vm_id=0)  # from here on it is the pipeline's
    return MadeTemplate(vm_id, plan.build_id, record)


def make_trust_environment(access: ClusterAccess, workspace: Path) -> dict[str, str]:
    """Return what has Packer judge the cluster's certificate as we do."""
    trusted = write_trust(access, workspace / "cluster.pem")
    return {} if trusted is None else {"SSL_CERT_FILE": str(trusted)}


def _describe_inputs(definition: ImageDefinition, chosen: Chosen) -> dict[str, str]:
    iso = definition.packer.iso
    found = {"node": chosen.node}
    if chosen.clone is not None:
        found["clone"] = f"VM {chosen.clone.vm_id} ({chosen.clone.name})"
    if iso is not None:
        found["iso"] = f"sha256:{iso.sha256}" if iso.sha256 else str(iso.volume)
    return found
