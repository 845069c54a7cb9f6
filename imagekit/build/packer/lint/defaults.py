"""Rules about settings that are left out and whose default makes a weak machine."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from imagekit.build.packer.lint.rule import ANY, ISO, PROXMOX, Case, Finding, Level, Rule, Subject


@dataclass(frozen=True, slots=True)
class Default:
    """What a field is when it is left out, and what it should be."""

    rule: str
    subject: Subject
    kinds: frozenset[str]
    place: str
    field: str
    default: str
    why: str
    fix: str


# A clone takes what it does not set from the template it is made of only where the plugin sends nothing: it sends its
# own defaults for these (``builder/proxmox/common/config.go``), so they are weak there as well.
_ALL = (
    Default(
        "machine-default", Subject.FIRMWARE, ISO, "", "machine", "pc (i440fx)",
        "an old chipset without PCI Express", 'machine = "q35"',
    ),
    Default(
        "os-default", Subject.HARDWARE, PROXMOX, "", "os", "other",
        "the cluster leaves out what it does for Linux guests", 'os = "l26"',
    ),
    Default(
        "cpu-type-default", Subject.HARDWARE, PROXMOX, "", "cpu_type", "kvm64",
        "a processor without AES and AVX, and distributions that need x86-64-v2 do not start",
        'cpu_type = "x86-64-v2-AES" or "host"',
    ),
    Default(
        "memory-default", Subject.HARDWARE, ANY, "", "memory", "512 MiB",
        "installers and cloud images run out of memory", "memory = 2048",
    ),
    Default(
        "scsi-controller-default", Subject.DISKS, PROXMOX, "", "scsi_controller", "lsi",
        "an emulated controller: slow, and small kernels leave its driver out",
        'scsi_controller = "virtio-scsi-single"',
    ),
    Default(
        "disk-type-default", Subject.DISKS, PROXMOX, "disks", "type", "scsi",
        "boot order and cloud-init drive depend on a bus that nobody wrote down", 'type = "scsi"',
    ),
    Default(
        "disk-size-default", Subject.DISKS, PROXMOX, "disks", "disk_size", "20G",
        "every clone gets a disk of a size that nobody chose, and a disk only ever grows", 'disk_size = "32G"',
    ),
    Default(
        "nic-model-default", Subject.NETWORK, PROXMOX, "network_adapters", "model", "e1000",
        "an emulated card: slow, and it costs the host a core under load", 'model = "virtio"',
    ),
)  # fmt: skip


def _find_left_out(default: Default, case: Case) -> Iterator[Finding]:
    for block in case.block.list_blocks(default.place) if default.place else (case.block,):
        if block.lacks(default.field):
            yield case.at(block, default.field, f"left out, so it is {default.default}")


RULES = tuple(
    Rule(
        default.rule,
        Level.WARNING,
        default.subject,
        default.kinds,
        partial(_find_left_out, default),
        default.why,
        default.fix,
    )
    for default in _ALL
)
