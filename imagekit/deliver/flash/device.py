"""A block device as a value: how large, what make, where it is plugged in."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class Bus(StrEnum):
    """Where a disk is plugged in; ``virtual`` are those that the kernel makes of memory, networks or other disks."""

    USB = "usb"
    MMC = "mmc"
    LOOP = "loop"
    NVME = "nvme"
    ATA = "ata"
    SCSI = "scsi"
    VIRTIO = "virtio"
    VIRTUAL = "virtual"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition as the kernel sees it: its name (``sdb1``) and size; ``filesystem`` and ``label`` where known."""

    name: str
    size_bytes: int
    filesystem: str = ""
    label: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """A whole disk.

    ``name`` is the kernel's (``sdb``), ``number`` its ``MAJOR:MINOR``. ``block_bytes`` is the logical sector: offsets
    and lengths of direct reads and writes are multiples of it. ``serial`` may be empty, and is the reader's own where a
    card is in a USB reader. ``sequence`` (``diskseq``) is another number for each disk that the kernel meets, also for
    the next card in the same slot; ``None`` before Linux 5.15. ``backing_file`` is where a loop device keeps its bytes.
    """

    name: str
    number: str
    size_bytes: int
    block_bytes: int
    bus: Bus
    removable: bool
    read_only: bool
    model: str
    serial: str
    sequence: int | None
    partitions: tuple[Partition, ...] = ()
    backing_file: str = ""

    @property
    def path(self) -> Path:
        """The node that the kernel and udev name after it."""
        return Path("/dev") / self.name.replace("!", "/")  # sysfs writes cciss/c0d0 as cciss!c0d0

    @property
    def title(self) -> str:
        """Model and serial as people recognise them, without what is not known."""
        parts = (self.model or self.backing_file, f"serial {self.serial}" if self.serial else "")
        return ", ".join(part for part in parts if part)

    def describe(self) -> dict[str, object]:
        """Return plain values for ``--json``."""
        return {
            "device": str(self.path),
            "size_bytes": self.size_bytes,
            "block_bytes": self.block_bytes,
            "bus": str(self.bus),
            "removable": self.removable,
            "read_only": self.read_only,
            "model": self.model,
            "serial": self.serial,
            "diskseq": self.sequence,
            "backing_file": self.backing_file or None,
            "partitions": [
                {
                    "name": part.name,
                    "size_bytes": part.size_bytes,
                    "filesystem": part.filesystem or None,
                    "label": part.label or None,
                }
                for part in self.partitions
            ],
        }
