"""Where a Packer build starts from, and why: by what the definition says and whether a cluster is configured."""

from dataclasses import dataclass
from enum import StrEnum

from imagekit.definition.model import Distribution, ImageDefinition, PackerSource
from imagekit.errors import DefinitionInvalid


class Start(StrEnum):
    """What is there before the definition's parts are added."""

    LOCAL_DISK = "the local builder's disk"
    GIVEN_DISK = "a given disk"
    INSTALLER = "an installer"
    CLONE = "a template on the cluster"
    OWN_TEMPLATE = "a template directory of the user's own"


@dataclass(frozen=True, slots=True)
class Road:
    """The way to the image: ``source`` is ``None`` when a template directory of the user's own decides."""

    source: PackerSource | None
    start: Start
    why: str


def choose_road(definition: ImageDefinition, *, has_cluster: bool) -> Road:
    """Return the road for ``definition``; ``has_cluster`` says that the settings name a cluster.

    Raises :class:`DefinitionInvalid` when there is none: a cluster's source without a cluster, nothing to start from.
    """
    packer = definition.packer
    if packer.template is not None:
        return Road(
            None, Start.OWN_TEMPLATE, f"packer.template names {packer.template.name}, which says where it builds"
        )
    road = _find_road(definition, has_cluster=has_cluster)
    if road.source is not None and road.source.on_cluster and not has_cluster:
        raise DefinitionInvalid(
            f"image {definition.name} is built on a cluster ({road.source}: {road.why}), and none is configured",
            hint="add a table [cluster] with url and node to imagekit.toml, or set PROXMOX_URL; see docs/settings.md",
        )
    if road.start is Start.LOCAL_DISK and definition.base.distribution is not Distribution.DEBIAN:
        raise DefinitionInvalid(
            f"nothing says what image {definition.name} starts from: the local builder's disks are Debian's, "
            f"not {definition.base.distribution}'s",
            hint="give packer.disk (a cloud image) or packer.iso, each with its sha256",
        )
    return road


def _find_road(definition: ImageDefinition, *, has_cluster: bool) -> Road:
    packer = definition.packer
    if packer.clone is not None:
        return Road(PackerSource.PROXMOX_CLONE, Start.CLONE, f"packer.clone names {packer.clone}")
    if packer.iso is not None:
        if packer.source is not None:
            return Road(packer.source, Start.INSTALLER, "packer.source says so")
        if packer.iso.volume is not None:
            return Road(PackerSource.PROXMOX_ISO, Start.INSTALLER, f"packer.iso is {packer.iso.volume}, on the cluster")
        if has_cluster:
            return Road(PackerSource.PROXMOX_ISO, Start.INSTALLER, "packer.iso is given and a cluster is configured")
        return Road(PackerSource.QEMU, Start.INSTALLER, "packer.iso is given and no cluster is configured")
    if packer.disk is not None:
        return Road(PackerSource.QEMU, Start.GIVEN_DISK, "packer.disk is given")
    if packer.source is not None and packer.source.on_cluster:  # the parser asks for iso and clone
        raise DefinitionInvalid(f"packer.source is {packer.source}, and nothing says what it starts from")
    return Road(PackerSource.QEMU, Start.LOCAL_DISK, "nothing else is given to start from")
