"""A build that only has to be started: all of it that can be made and checked before Packer runs is."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.build.packer.answers import BUILD_USER
from imagekit.build.packer.check import check_template
from imagekit.build.packer.choose import Road
from imagekit.build.packer.mask import Masker
from imagekit.build.packer.remains import OpenBuild, open_build
from imagekit.build.packer.run import Outcome, run_build
from imagekit.build.packer.session import Session
from imagekit.build.packer.variables import write_variables
from imagekit.definition.model import ImageDefinition
from imagekit.progress import Event


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be built, and how: ``workspace`` has everything that Packer needs, and Packer itself accepts it.

    ``warnings`` is what is worth a look, a line each. ``inputs`` is what it starts from, for the provenance.
    ``secrets`` maps variables to values, ``environment`` is Packer's, and ``hidden`` what no log may show of that.
    ``ssh_key`` is the way into the machine where it is ours. ``cluster`` is the API's url; the rest was chosen there.
    """

    definition: ImageDefinition
    road: Road
    build_id: str
    workspace: Path
    template: Path
    var_files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    only: str = ""
    inputs: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    hidden: tuple[str, ...] = field(default=(), repr=False)
    ssh_key: Path | None = None
    serial_log: Path | None = None
    cluster: str = ""
    node: str = ""
    vm_id: int = 0
    seed_volume: str = ""


def check_values(
    session: Session, template: Path, workspace: Path, values: Mapping[str, object], written: dict[str, object], *,
    secrets: Mapping[str, str] | None = None, environment: Mapping[str, str] | None = None, only: str = "",
    vm_ids: range | None = None,
) -> tuple[tuple[Path, ...], tuple[str, ...]]:  # fmt: skip
    """Write ``written`` as a variable file into ``workspace`` and have ``template`` judged by lint and Packer.

    Returns the variable files and what is worth a warning. Raises what :func:`check_template` does.
    """
    session.progress(Event("checking the template"))
    files: tuple[Path, ...] = ()
    if written:
        files = (workspace / "variables.json",)
        write_variables(files[0], written)
    warnings = check_template(
        session.tool, template, values, files, workspace=workspace, secrets=secrets, environment=environment,
        only=only, vm_ids=vm_ids,
    )  # fmt: skip
    return files, warnings


@contextlib.contextmanager
def open_plan(plan: Plan, session: Session) -> Iterator[OpenBuild]:
    """Tell the warnings and yield the record of the build, which is there before anything else of it is."""
    for warning in plan.warnings:
        session.warn(warning)
    with open_build(
        session.state, plan.build_id, workspace=plan.workspace, cluster=plan.cluster, node=plan.node,
        vm_id=plan.vm_id, seed_volume=plan.seed_volume,
    ) as build:  # fmt: skip
        yield build


def run_plan(plan: Plan, session: Session, build: OpenBuild) -> Outcome:
    """Have Packer build what was planned; raises what :func:`run_build` does."""
    return run_build(
        session.tool,
        plan.template,
        build=build,
        workspace=plan.workspace,
        log=session.name_log(plan.definition.name, plan.build_id),
        masker=Masker(plan.hidden),
        var_files=plan.var_files,
        secrets=plan.secrets,
        environment=plan.environment,
        only=plan.only,
        keep=session.keep,
        serial_log=plan.serial_log,
        ssh_user=BUILD_USER if plan.ssh_key is not None else "",
        ssh_key=plan.ssh_key,
        progress=session.progress,
    )
