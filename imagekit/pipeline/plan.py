"""What a build would do and take, found out as the build itself would; nothing is built, recorded or stored."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from imagekit.pipeline.options import BuildOptions, choose_definition
from imagekit.progress import Progress, silent
from imagekit.settings import Settings

if TYPE_CHECKING:
    from imagekit.definition import ImageDefinition, Project


def plan_build(
    name: str, project: "Project", settings: Settings, options: BuildOptions, progress: Progress = silent
) -> Mapping[str, object]:
    """Return what a build of image ``name`` would do and take.

    For the local builder that comes from the current package indexes, which are fetched. With Packer everything is
    checked that the build would check before it starts, and what would stop it is raised.
    """
    from imagekit.definition import Builder

    definition = choose_definition(name, project, options)
    if definition.builder is Builder.NIX:
        return {"image": name, "builder": "nix", **_plan_nix(definition, project, settings, options, progress)}
    described: dict[str, object] = {
        "image": name,
        "builder": definition.builder.value,
        "release": f"{definition.base.distribution} {definition.base.release}",
    }
    road = _plan_local if definition.builder is Builder.LOCAL else _plan_packer
    described |= road(definition, project, settings, options, progress)
    on_cluster = "node" in described
    return described | {
        "disk_bytes": definition.size,
        "boot_test": options.boot_test and definition.boot_test and not on_cluster,
    }


def _plan_local(
    definition: "ImageDefinition", _project: "Project", settings: Settings, _options: BuildOptions, _progress: Progress
) -> dict[str, object]:
    from imagekit.build import plan_root

    plan, room = plan_root(definition, settings.cache)
    missing = [package for package in plan.all_files if not (room.archives / package.file).is_file()]
    return {
        "packages": len(plan.all_files),
        "to_fetch": len(missing),
        "to_fetch_bytes": sum(package.size for package in missing),
    }


def _plan_nix(
    definition: "ImageDefinition", project: "Project", settings: Settings, options: BuildOptions, progress: Progress
) -> dict[str, object]:
    from imagekit.build import open_workspace
    from imagekit.pipeline.nix import NixBuilder

    with open_workspace(settings.cache, definition.name) as workspace:
        return NixBuilder(definition, project.path, settings, options, progress).plan(workspace)


def _plan_packer(
    definition: "ImageDefinition", project: "Project", settings: Settings, options: BuildOptions, progress: Progress
) -> dict[str, object]:
    from imagekit.build import open_workspace
    from imagekit.pipeline.packer import open_packer

    builder = open_packer(definition, project, settings, keep=False, progress=progress, source=options.source)
    with open_workspace(settings.cache, definition.name) as workspace:
        plan = builder.plan(workspace)
    tool = builder.session.tool
    place: dict[str, object] = {}
    if builder.on_cluster and builder.cluster is not None:
        ids = builder.cluster.placement.build_ids
        place = {"cluster": plan.cluster, "node": plan.node, "vm_id": plan.vm_id, "vm_ids": f"{ids[0]}-{ids[-1]}"}
    return {
        "source": None if plan.road.source is None else plan.road.source.value,
        "why": plan.road.why,
        "starts_from": plan.road.start.value,
        "packer": tool.version,
        "plugins": dict(sorted(tool.plugins.items())),
        "template": str(plan.template),
        "warnings": list(plan.warnings),
        **place,
    }
