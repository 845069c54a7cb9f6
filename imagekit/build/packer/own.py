"""An image from a template directory of the user's own: linted, run, and its result taken; the rest is the user's."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from imagekit.build.packer.choose import Road
from imagekit.build.packer.machine_readable import Artifact
from imagekit.build.packer.plan import Plan, check_values, open_plan, run_plan
from imagekit.build.packer.record import record_build
from imagekit.build.packer.result import describe_disk, discard_rest, find_disk, read_disk_packages, take_disk
from imagekit.build.packer.session import Session
from imagekit.build.packer.template import read_template
from imagekit.build.packer.values import UNKNOWN
from imagekit.definition.model import ImageDefinition
from imagekit.errors import DefinitionInvalid, ToolFailed
from imagekit.image import BuiltImage, Provenance

_SHELL = "PKR_VAR_"  # Packer's prefix of environment variables that set a template's
# What may stand in a log: everything else of the environment may be a secret.
_PUBLIC = frozenset({"PROXMOX_URL", "PROXMOX_USERNAME", "SSL_CERT_FILE"})


@dataclass(frozen=True, slots=True)
class MadeTemplate:
    """What a build on a cluster left there: the VM id that Packer tells, and how it was made."""

    vm_id: int
    build_id: str
    provenance: Provenance


def plan_own_template(
    definition: ImageDefinition, road: Road, session: Session, workspace: Path, *, vm_ids: range | None
) -> Plan:
    """Check the directory that ``packer.template`` names; ``vm_ids`` are the ids that a build may take on the cluster.

    Raises as :func:`imagekit.build.packer.qemu.plan_by_qemu` does.
    """
    packer = definition.packer
    if packer.template is None:
        raise DefinitionInvalid(f"image {definition.name} names no template directory")
    values = _list_shell_values(packer.template, session.environment) | dict(packer.variables)
    var_files, warnings = check_values(
        session, packer.template, workspace, values, packer.copy_variables(),
        environment=session.environment, only=packer.only, vm_ids=vm_ids,
    )  # fmt: skip
    return Plan(
        definition, road, secrets.token_hex(6), workspace, packer.template, var_files, warnings, packer.only,
        environment=session.environment,
        hidden=tuple(value for name, value in session.environment.items() if name not in _PUBLIC),
    )  # fmt: skip


def _list_shell_values(template: Path, environment: Mapping[str, str]) -> dict[str, object]:
    """Return the template's variables that the shell sets: set, and so not their defaults, but nothing to be shown."""
    declared = read_template(template, {}).variables
    return {name: UNKNOWN for name in declared if f"{_SHELL}{name}" in environment}


def build_own_template(plan: Plan, session: Session) -> BuiltImage | MadeTemplate:
    """Build what was planned and return the disk or the cluster's template that it made.

    The disk becomes ``disk.raw`` in the workspace; what Packer left of it in the user's directory is gone then. Raises
    as :func:`imagekit.build.packer.qemu.build_by_qemu` does.
    """
    with open_plan(plan, session) as build:
        # Before Packer runs: what it leaves in that directory is no part of the template.
        record = record_build(plan.definition, plan.road, session.tool, plan.template, (), {}, session.project)
        outcome = run_plan(plan, session, build)
        if vm_id := find_template_id(outcome.artifacts):
            return MadeTemplate(vm_id, plan.build_id, record)
        disk = plan.workspace / "disk.raw"
        take_disk(find_disk(outcome.artifacts, plan.template), disk, session.progress)
        discard_rest(outcome.artifacts, plan.template)
    provenance = replace(record, packages=read_disk_packages(disk))
    return BuiltImage(describe_disk(plan.definition, disk, session.progress), provenance)


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
