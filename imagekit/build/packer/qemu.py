"""An image by Packer's ``qemu`` source, on this machine: from the local builder's disk, a given disk, or an ISO."""

import os
import secrets
from dataclasses import replace
from pathlib import Path

from imagekit.build.local import build_local
from imagekit.build.packer.answers import boot_command
from imagekit.build.packer.choose import Road, Start
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.plan import Plan, check_values, open_plan, run_plan
from imagekit.build.packer.prepare import prepare_build
from imagekit.build.packer.record import record_build
from imagekit.build.packer.result import describe_disk, find_disk, read_disk_packages, take_disk
from imagekit.build.packer.session import Session
from imagekit.build.packer.tool import require_plugins
from imagekit.build.packer.variables import BuildMachine, describe_medium, make_qemu_variables
from imagekit.definition.model import Builder, ImageDefinition, PackerBuild
from imagekit.image import BuiltImage
from imagekit.progress import Event

_START = "start.img"
PLUGINS = {"github.com/hashicorp/qemu": "1.0.9", "github.com/hashicorp/ansible": "1.0.3"}


def plan_by_qemu(
    definition: ImageDefinition, road: Road, session: Session, workspace: Path, machine: BuildMachine
) -> Plan:
    """Put into ``workspace`` what Packer needs to build ``definition`` on this machine, and check all of it.

    Raises :class:`DefinitionInvalid`, :class:`ToolMissing` and :class:`ToolFailed`.
    """
    require_plugins(session.tool, PLUGINS)
    build_id = secrets.token_hex(6)
    template = find_own_template("qemu")
    session.progress(Event("preparing the build"))
    prepare_build(workspace, definition, road.start, build_id)
    image = _describe_start(definition, road.start, workspace)
    command = boot_command(definition.base.release) if road.start is Start.INSTALLER else ()
    values = make_qemu_variables(definition, road.start, workspace, machine, image=image, boot_command=command)
    var_files, warnings = check_values(session, template, workspace, values, values)
    return Plan(
        definition, road, build_id, workspace, template, var_files, warnings, inputs={"start-disk": image[1]},
        ssh_key=workspace / "key", serial_log=workspace / "serial.log",
    )  # fmt: skip


def build_by_qemu(plan: Plan, session: Session) -> BuiltImage:
    """Build what was planned as ``disk.raw`` in its workspace and return it with its provenance.

    Raises :class:`DefinitionInvalid`, :class:`ToolFailed` and :class:`HostFailed`; ``session.keep`` leaves the machine
    of a failed build for a look.
    """
    definition, road, disk = plan.definition, plan.road, plan.workspace / "disk.raw"
    inputs = plan.inputs
    with open_plan(plan, session) as build:
        # Before Packer runs: minutes later a script may be another one, or gone.
        record = record_build(definition, road, session.tool, plan.template, (), inputs, session.project)
        if road.start is Start.LOCAL_DISK:
            inputs = _make_start(definition, session, plan.workspace)
        outcome = run_plan(plan, session, build)
        take_disk(find_disk(outcome.artifacts, plan.workspace), disk, session.progress)
    provenance = replace(record, packages=read_disk_packages(disk), inputs=record.inputs | dict(inputs))
    return BuiltImage(describe_disk(definition, disk, session.progress), provenance)


def _describe_start(definition: ImageDefinition, start: Start, workspace: Path) -> tuple[str, str]:
    """Return what the machine starts from as Packer's URL and checksum."""
    medium = definition.packer.disk if start is Start.GIVEN_DISK else definition.packer.iso
    if start is Start.LOCAL_DISK or medium is None:
        # Made only when everything else was found to be right; the lint looks whether it is there. It is not called
        # .raw, as the plugin would copy it byte by byte then, holes and all.
        (workspace / _START).touch()
        return os.fspath(workspace / _START), "none"
    return describe_medium(medium)


def _make_start(definition: ImageDefinition, session: Session, workspace: Path) -> dict[str, str]:
    """Build the disk to start from, with none of what is added while it runs; return the inputs that it was made of."""
    plain = replace(
        definition, builder=Builder.LOCAL, packer=PackerBuild(), packages=(), features=(), files=(), users=(),
        promtail=None,
    )  # fmt: skip

    def tell(event: Event) -> None:  # its steps have names of their own: some come again after Packer
        session.progress(replace(event, stage=f"start disk: {event.stage}"))

    built = build_local(plain, workspace, session.cache, mke2fs=session.mke2fs, project=session.project, progress=tell)
    built.disk.path.replace(workspace / _START)
    return built.provenance.inputs | {"start-disk": str(built.disk.digest)}
