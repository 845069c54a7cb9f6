"""What a Packer build will ask of a cluster, in words that no definition and no settings are needed to understand."""

from dataclasses import dataclass
from enum import StrEnum

from imagekit.image import DiskFormat


class SourceKind(StrEnum):
    """Packer's sources for Proxmox, by their plugin's names."""

    ISO = "proxmox-iso"
    CLONE = "proxmox-clone"


@dataclass(frozen=True, slots=True)
class Need:
    """One build on a cluster.

    ``node`` is empty to take the only one there is; ``vm_id`` ``None`` to take the lowest free one of ``build_ids``.
    ``disk_bytes`` is the disk's size in bytes. ``iso_volume`` is what the machine installs from, empty for none or one
    that is uploaded. ``uploads`` says that the build puts ISO images onto ``iso_storage`` and removes them,
    ``sends_boot`` that it sends a boot order when it makes the VM. ``pool`` is empty and ``vlan`` 0 for none.
    ``clone_source`` is the VM id or the name of what a clone starts from.
    """

    source: SourceKind
    storage: str
    disk_bytes: int
    build_ids: range
    node: str = ""
    disk_format: DiskFormat = DiskFormat.RAW
    iso_storage: str = ""
    iso_volume: str = ""
    uploads: bool = False
    bridge: str = "vmbr0"
    vlan: int = 0
    pool: str = ""
    vm_id: int | None = None
    clone_source: int | str | None = None
    sends_boot: bool = False
    uefi: bool = True
