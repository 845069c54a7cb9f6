"""What goes into the provenance of an image that Packer made."""

from collections.abc import Mapping
from pathlib import Path

from imagekit.build.git import read_commit
from imagekit.build.packer.choose import Road, Start
from imagekit.build.packer.tool import PackerTool
from imagekit.definition import ImageDefinition, describe_image
from imagekit.definition.digests import digest_directory
from imagekit.host import find_tool, read_version
from imagekit.image import Package, Provenance

_NOTE = "Packer boots the machine, so times and generated files differ from build to build"


def record_build(
    definition: ImageDefinition,
    road: Road,
    tool: PackerTool,
    template: Path,
    packages: tuple[Package, ...],
    inputs: Mapping[str, str],
    project: Path | None,
) -> Provenance:
    """Write down how the image was made: template, tools, and in ``inputs`` what it started from."""
    commit, dirty = read_commit(project.parent) if project is not None else (None, False)
    tools = {"packer": tool.version} | {_name_plugin(source): version for source, version in tool.plugins.items()}
    if road.source is None or not road.source.on_cluster:
        tools["qemu"] = read_version("qemu-system-x86_64")
    if definition.packer.playbook is not None and find_tool("ansible-playbook", required=False):
        tools["ansible-playbook"] = read_version("ansible-playbook")
    known = {"source": str(road.source or "decided by the template"), "start": road.start.value}
    known["template"] = f"sha256:{digest_directory(template)}"
    if road.start is not Start.OWN_TEMPLATE:
        known["provisioning"] = f"sha256:{digest_directory(template.parent / 'provision')}"
    return Provenance(
        "packer", describe_image(definition), packages, tools, known | dict(inputs), commit, dirty, False, _NOTE
    )


def _name_plugin(source: str) -> str:
    """Return a plugin's name as a tool: ``packer-plugin-qemu`` for ``github.com/hashicorp/qemu``."""
    return f"packer-plugin-{source.rpartition('/')[2]}"
