"""What one run asks for, beside what the definition says."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagekit.errors import DefinitionInvalid

if TYPE_CHECKING:
    from imagekit.definition import Builder, ImageDefinition, PackerSource, Project


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """What one run asks for: the boot proof or not, what failed kept, a channel for the result, another builder.

    ``source`` is Packer's; it implies that builder.
    """

    boot_test: bool = True
    keep: bool = False
    promote_to: str | None = None
    builder: "Builder | None" = None
    source: "PackerSource | None" = None


def choose_definition(name: str, project: "Project", options: BuildOptions) -> "ImageDefinition":
    """Return image ``name`` as this run is to build it; raises :class:`DefinitionInvalid` with every contradiction."""
    from imagekit.definition import Builder, change_builder

    definition = project.find_image(name)
    if options.source is not None and definition.packer.template is not None:
        raise DefinitionInvalid(
            f"image {name} has a template directory of its own, which says where it builds",
            hint=f"packer.only of [images.{name}] chooses among its sources",
        )
    if options.builder is None and options.source is None:
        return definition
    return change_builder(definition, options.builder or Builder.PACKER, options.source)
