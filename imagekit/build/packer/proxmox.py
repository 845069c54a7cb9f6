"""An image by Packer's Proxmox sources: a template on the cluster, from an installer or from another template."""

import contextlib
import secrets
from dataclasses import replace
from pathlib import Path

from imagekit.build.packer.answers import BUILD_USER, boot_command
from imagekit.build.packer.check import check_template
from imagekit.build.packer.choose import Road, Start
from imagekit.build.packer.mask import Masker
from imagekit.build.packer.own import MadeTemplate, find_template_id
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.prepare import prepare_build
from imagekit.build.packer.record import record_build
from imagekit.build.packer.remains import open_build
from imagekit.build.packer.run import run_build
from imagekit.build.packer.session import Session
from imagekit.build.packer.tool import require_plugins
from imagekit.build.packer.variables import make_proxmox_variables, write_variables
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


def build_by_proxmox(
    definition: ImageDefinition, road: Road, session: Session, workspace: Path, cluster: Cluster, placement: Placement
) -> MadeTemplate:
    """Build ``definition`` as a template on the cluster, under a free id of ``placement.build_ids``.

    The cluster is examined and the template checked before anything is made. Raises what those raise, and what
    :func:`run_build` does; then nothing is left on the cluster, unless ``session.keep`` asked for it.
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
    for ability in chosen.warnings:
        session.warn(f"{ability.subject}: {ability.found}" + (f" ({ability.note})" if ability.note else ""))
    build_id = secrets.token_hex(6)
    installs = road.start is Start.INSTALLER
    volume = name_seed_volume(placement.iso_storage, build_id) if installs else ""
    template = find_own_template("proxmox")
    only = f"{road.source.value}.template"
    with open_build(
        session.state, build_id, workspace=workspace, node=chosen.node, vm_id=chosen.vm_id, seed_volume=volume
    ) as build:
        session.progress(Event("preparing the build"))
        prepare_build(workspace, definition, road.start, build_id)
        values = make_proxmox_variables(
            definition, road.start, workspace, cluster.access, replace(placement, node=chosen.node),
            vm_id=chosen.vm_id, build_id=build_id, seed_volume=volume,
            boot_command=boot_command(definition.base.release) if installs else (),
        )  # fmt: skip
        variables = workspace / "variables.json"
        write_variables(variables, values)
        token = {"proxmox_token": cluster.access.secret.reveal()}
        session.progress(Event("checking the template"))
        for warning in check_template(
            session.tool, template, values, [variables], workspace=workspace, secrets=token, only=only,
            vm_ids=placement.build_ids,
        ):  # fmt: skip
            session.warn(warning)
        with contextlib.ExitStack() as made:
            if installs:
                made.enter_context(
                    upload_seed(
                        cluster, chosen.node, placement.iso_storage, workspace / "seed.iso", build_id, session.progress
                    )
                )
            outcome = run_build(
                session.tool,
                template,
                build=build,
                workspace=workspace,
                log=session.name_log(definition.name, build_id),
                masker=Masker(token.values()),
                var_files=[variables],
                secrets=token,
                environment=make_trust_environment(cluster.access, workspace),
                only=only,
                keep=session.keep,
                ssh_user=BUILD_USER,
                ssh_key=workspace / "key",
                progress=session.progress,
            )
        build.note(seed_volume="")
        vm_id = find_template_id(outcome.artifacts)
        if vm_id != chosen.vm_id:
            raise ToolFailed(f"Packer says that it made VM {vm_id}, and was asked for {chosen.vm_id}")
        build.note(vm_id=0)  # from here on it is the pipeline's
    inputs = _describe_inputs(definition, chosen)
    provenance = record_build(definition, road, session.tool, template, (), inputs, session.project)
    return MadeTemplate(vm_id, build_id, provenance)


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
