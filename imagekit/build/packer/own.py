"""An image from a template directory of the user's own: linted, run, and its result taken; the rest is the user's."""

import secrets
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.packer.check import check_template
from imagekit.build.packer.choose import Road
from imagekit.build.packer.machine_readable import Artifact
from imagekit.build.packer.mask import Masker
from imagekit.build.packer.record import record_build
from imagekit.build.packer.remains import open_build
from imagekit.build.packer.result import describe_disk, find_disk, read_disk_packages, take_disk
from imagekit.build.packer.run import run_build
from imagekit.build.packer.session import Session
from imagekit.build.packer.variables import write_variables
from imagekit.definition.model import ImageDefinition
from imagekit.errors import DefinitionInvalid, ToolFailed
from imagekit.image import BuiltImage, Provenance
from imagekit.progress import Event


@dataclass(frozen=True, slots=True)
class MadeTemplate:
    """What a build on a cluster left there: the VM id that Packer tells, and how it was made."""

    vm_id: int
    build_id: str
    provenance: Provenance


def build_own_template(
    definition: ImageDefinition, road: Road, session: Session, workspace: Path, *, vm_ids: range | None
) -> BuiltImage | MadeTemplate:
    """Build the directory that ``packer.template`` names and return the disk or the cluster's template that it made.

    The disk becomes ``workspace/disk.raw``; what Packer left of it in the user's directory is gone then. ``vm_ids`` are
    the ids that a build may take on the cluster. Raises as :func:`imagekit.build.packer.qemu.build_by_qemu` does.
    """
    packer = definition.packer
    if packer.template is None:
        raise DefinitionInvalid(f"image {definition.name} names no template directory")
    build_id = secrets.token_hex(6)
    with open_build(session.state, build_id, workspace=workspace) as build:
        variables = workspace / "variables.json"
        write_variables(variables, dict(packer.variables))
        session.progress(Event("checking the template"))
        for warning in check_template(
            session.tool, packer.template, packer.variables, [variables] if packer.variables else [],
            workspace=workspace, environment=session.environment, only=packer.only, vm_ids=vm_ids,
        ):  # fmt: skip
            session.warn(warning)
        outcome = run_build(
            session.tool,
            packer.template,
            build=build,
            workspace=workspace,
            log=session.name_log(definition.name, build_id),
            masker=Masker(session.environment.values()),
            var_files=[variables] if packer.variables else [],
            environment=session.environment,
            only=packer.only,
            keep=session.keep,
            progress=session.progress,
        )
        if vm_id := find_template_id(outcome.artifacts):
            provenance = record_build(definition, road, session.tool, packer.template, (), {}, session.project)
            return MadeTemplate(vm_id, build_id, provenance)
        disk = workspace / "disk.raw"
        take_disk(packer.template / find_disk(outcome.artifacts), disk, session.progress)
    packages = read_disk_packages(disk)
    provenance = record_build(definition, road, session.tool, packer.template, packages, {}, session.project)
    return BuiltImage(describe_disk(definition, disk, session.progress), provenance)


def find_template_id(artifacts: tuple[Artifact, ...]) -> int:
    """Return the id of the VM that the artifacts of a Proxmox build name, 0 when none of them is one.

    Raises :class:`ToolFailed` when there are several: an image is one template.
    """
    made = [artifact for artifact in artifacts if "proxmox" in artifact.builder]
    if not made:
        return 0
    if len(made) > 1 or not made[0].id.isdecimal():
        raise ToolFailed(
            f"Packer made {len(made)} templates, and an image is one",
            hint="packer.only chooses one of several sources",
        )
    return int(made[0].id)
