"""What ``imagekit doctor`` shows of the build VM: whether this machine could have one, and what to install for that."""

from imagekit.build.vagrant.model import VmSettings
from imagekit.build.vagrant.project import find_made_provider
from imagekit.build.vagrant.provider import choose_provider
from imagekit.build.vagrant.tool import find_vagrant
from imagekit.errors import ImagekitError
from imagekit.host.ability import Ability

_SUBJECT = "build VM"


def examine_vm(settings: VmSettings) -> Ability:
    """Return one row: Vagrant and its provider, or what is missing and how to get it.

    Nobody has to have it: it is the last resort of a machine that cannot build for a Raspberry Pi itself.
    """
    made_with = find_made_provider(settings.directory)
    try:
        tool = find_vagrant()
        choice = choose_provider(tool, settings.provider, made_with)
    except ImagekitError as problem:
        return Ability(_SUBJECT, ok=False, found=problem.message, note=problem.hint or "", required=False)
    found = f"Vagrant {tool.version} with {choice.provider} ({choice.reason})"
    note = "" if made_with is None else "imagekit vm status says how it is"
    return Ability(_SUBJECT, ok=True, found=found, note=note, required=False)
