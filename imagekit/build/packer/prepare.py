"""What a build needs beside the template: its own key, the seed that lets the key in, and the payload."""

from pathlib import Path

from imagekit.build.packer.answers import make_boot_seed, make_seed_files
from imagekit.build.packer.choose import Start
from imagekit.build.packer.payload import write_payload
from imagekit.definition.model import ImageDefinition
from imagekit.errors import DefinitionInvalid
from imagekit.host import find_tool
from imagekit.host.ssh import make_key
from imagekit.machine.seed import write_seed_iso


def prepare_build(workspace: Path, definition: ImageDefinition, start: Start, build_id: str) -> None:
    """Write ``key``, ``seed.iso`` and ``payload.tar`` into ``workspace``; the key is this build's alone.

    Raises :class:`DefinitionInvalid` for a disk, ISO, playbook, script or file that is not there, and
    :class:`ToolMissing` for a playbook without Ansible.
    """
    packer = definition.packer
    media = [medium.path for medium in (packer.disk, packer.iso) if medium is not None]
    for file in (*media, *packer.scripts, packer.playbook):
        if file is not None and not file.is_file():
            raise DefinitionInvalid(f"{file} is not there", hint=f"look at [images.{definition.name}.packer]")
    if packer.playbook is not None:
        find_tool("ansible-playbook")
    public = make_key(workspace / "key", comment=f"imagekit-build-{build_id}")
    make_files = make_seed_files if start is Start.INSTALLER else make_boot_seed
    files = make_files(definition, public, instance_id=f"imagekit-{build_id}")
    write_seed_iso(workspace / "seed.iso", files)
    write_payload(workspace / "payload.tar", definition, start)
