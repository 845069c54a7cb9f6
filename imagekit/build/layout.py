"""Where everything lies on a template's disk: a GPT, an EFI system partition, and the root last so that it can grow.

All identifiers follow from the image's name alone (RFC 9562, UUID version 5), so the same inputs give the same bytes;
every clone shares them anyway.
"""

import uuid
from dataclasses import dataclass

from imagekit.definition.model import MIB, ImageDefinition
from imagekit.errors import DefinitionInvalid
from imagekit.image import Architecture

SECTOR = 512
ROOT_MINIMUM = 64 * MIB
ESP_TYPE = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
# Discoverable Partitions Specification, UAPI group: the root of one architecture.
ROOT_TYPES = {
    Architecture.AMD64: "4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709",
    Architecture.ARM64: "B921B045-1DF0-41C3-AF44-4C6F280D3FAE",
}
_NAMESPACE = uuid.UUID("6d3a51a0-7c53-5c1e-9d1f-0f1c5d2a6b11")


@dataclass(frozen=True, slots=True)
class DiskLayout:
    """Offsets and sizes in bytes; ``esp_id`` is the FAT volume id as ``XXXX-XXXX``."""

    size: int
    esp_offset: int
    esp_size: int
    root_offset: int
    root_size: int
    disk_uuid: str
    esp_partition_uuid: str
    root_partition_uuid: str
    root_uuid: str
    hash_seed: str
    esp_id: str
    root_type: str


def plan_layout(definition: ImageDefinition) -> DiskLayout:
    """Lay out the disk: 1 MiB for the table, the ESP, the root, and 1 MiB at the end for the backup table.

    Raises :class:`DefinitionInvalid` when that leaves the root no room worth the name.
    """

    def derive(what: str) -> str:
        return str(uuid.uuid5(_NAMESPACE, f"{definition.name}/{what}"))

    root_offset = MIB + definition.esp
    root_size = (definition.size - root_offset - MIB) // MIB * MIB
    if root_size < ROOT_MINIMUM:
        raise DefinitionInvalid(
            f"a disk of {definition.size >> 20} MiB with an ESP of {definition.esp >> 20} MiB has no room for a root",
            hint="give a larger 'size' in imagekit.toml",
        )
    serial = derive("esp").replace("-", "")[:8].upper()
    return DiskLayout(
        size=definition.size,
        esp_offset=MIB,
        esp_size=definition.esp,
        root_offset=root_offset,
        root_size=root_size,
        disk_uuid=derive("disk"),
        esp_partition_uuid=derive("esp-partition"),
        root_partition_uuid=derive("root-partition"),
        root_uuid=derive("root"),
        hash_seed=derive("hash-seed"),
        esp_id=f"{serial[:4]}-{serial[4:]}",
        root_type=ROOT_TYPES[definition.architecture],
    )
