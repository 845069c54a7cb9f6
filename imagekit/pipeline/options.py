"""What one run asks for, beside what the definition says."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagekit.errors import DefinitionInvalid

if TYPE_CHECKING:
    from imagekit.definition import Builder, ImageDefinition, PackerSource, Project
    from imagekit.host.ssh_target import SshTarget
    from imagekit.settings import NixPlace


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What one run asks for: the boot proof or not, what failed kept, a channel for the result, another builder.

    ``source`` is Packer's; it implies that builder. For an SD image ``place`` is where Nix builds, ``host`` the machine
    of a remote build, ``keep_up`` leaves the build VM running, and ``rebuild`` builds twice and compares.
    """

    boot_test: bool = True
    keep: bool = False
    promote_to: str | None = None
    builder: "Builder | None" = None
    source: "PackerSource | None" = None
    place: "NixPlace | None" = None
    host: "SshTarget | None" = None
    keep_up: bool = False
    rebuild: bool = False


def choose_definition(name: str, project: "Project", options: BuildOptions) -> "ImageDefinition":
    """Return image ``name`` as this run is to build it; raises :class:`DefinitionInvalid` with every contradiction."""
    from imagekit.definition import Builder, Kind, change_builder

    definition = project.find_image(name)
    if definition.kind is Kind.SD_IMAGE and options.place is not None:
        return definition  # by Nix in any case; only where is another question
    if options.place is not None and options.builder is None:
        raise DefinitionInvalid(
            f"image {name} is a template, which Nix does not build", hint="templates are built by local or packer"
        )
    if options.rebuild and definition.kind is not Kind.SD_IMAGE:
        raise DefinitionInvalid(f"image {name} is a template, and only Nix builds twice to compare")
    if options.source is not None and definition.packer.template is not None:
        raise DefinitionInvalid(
            f"image {name} has a template directory of its own, which says where it builds",
            hint=f"packer.only of [images.{name}] chooses among its sources",
        )
    if options.builder is None and options.source is None:
        return definition
    return change_builder(definition, options.builder or Builder.PACKER, options.source)
