"""Rules about settings that have a fixed set of values, none of which ``packer validate`` looks at.

The sets are those of the cluster's API (``apidoc.js`` of Proxmox VE 8 and 9: ``POST /nodes/{node}/qemu``) and of the
plugins' own source; of QEMU's processors the families are known, since every release adds members.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from imagekit.build.packer.lint.rule import ANY, PROXMOX, QEMU, Case, Finding, Level, Rule, Subject
from imagekit.build.packer.values import Block
from imagekit.definition.problems import suggest


@dataclass(frozen=True, slots=True)
class Choice:
    """A setting with a fixed set of values; ``families`` is a pattern for those that nobody can list."""

    rule: str
    subject: Subject
    kinds: frozenset[str]
    places: tuple[str, ...]  # the blocks that have it, "" for the source
    field: str
    values: str
    why: str
    families: str = ""
    typos_only: bool = False  # there may be more values than are known here: only what looks like one is told


_ISO_BLOCKS = ("boot_iso", "additional_iso_files")
_CPUS = (
    "486 athlon core2duo coreduo host max kvm32 kvm64 qemu32 qemu64 pentium pentium2 pentium3 phenom n270 Conroe "
    "Penryn Nehalem Westmere SandyBridge IvyBridge Haswell Broadwell Skylake-Client Skylake-Server Cascadelake-Server "
    "Cooperlake Icelake-Client Icelake-Server SapphireRapids GraniteRapids SierraForest ClearwaterForest "
    "Snowridge Denverton KnightsMill Dhyana EPYC EPYC-Rome EPYC-Milan EPYC-Genoa EPYC-Turin EPYC-IBPB Opteron_G1 "
    "Opteron_G2 Opteron_G3 Opteron_G4 Opteron_G5 x86-64-v1 x86-64-v2 x86-64-v2-AES x86-64-v3 x86-64-v4"
)
_CPU_FAMILIES = (
    r"(Nehalem|Westmere|SandyBridge|IvyBridge|Haswell|Broadwell|Skylake-(Client|Server)|Cascadelake-Server|Cooperlake"
    r"|Icelake-(Client|Server)|SapphireRapids|GraniteRapids|SierraForest|ClearwaterForest|Snowridge|Denverton"
    r"|KnightsMill|Dhyana|EPYC(-(Rome|Milan|Genoa|Turin))?)(-noTSX)?(-IBRS|-IBPB)?(-noTSX)?(-v\d+)?"
)
_NIC_ON_CLUSTER = (
    "e1000 e1000-82540em e1000-82544gc e1000-82545em e1000e i82551 i82557b i82559er ne2k_isa ne2k_pci pcnet rtl8139 "
    "virtio vmxnet3"
)
_NIC_OF_QEMU = (
    "ne2k_pci i82551 i82557b i82559er rtl8139 e1000 e1000e pcnet virtio virtio-net virtio-net-pci usb-net i82559a "
    "i82559b i82559c i82550 i82562 i82557a i82557c i82801 vmxnet3 i82558a i82558b virtio-net-device virtio-net-ccw "
    "virtio-net-pci-transitional virtio-net-pci-non-transitional e1000-82544gc e1000-82545em igb tulip"
)
_CACHES = "none writethrough writeback unsafe directsync"

_ALL = (
    Choice(
        "communicator-value", Subject.FIELDS, ANY, ("",), "communicator", "none ssh winrm",
        "Packer refuses it once the plugin is loaded",
    ),
    Choice(
        "bios-value", Subject.FIRMWARE, PROXMOX, ("",), "bios", "seabios ovmf",
        "the cluster refuses the machine when the build is on its way",
    ),
    Choice(
        "machine-value", Subject.FIRMWARE, PROXMOX, ("",), "machine", "pc q35 virt",
        "the cluster refuses the machine when the build is on its way",
        r"pc(-i440fx|-q35)?-\d+(\.\d+)+(\+pve\d+)?(\.pxe)?|virt-\d+(\.\d+)+(\+pve\d+)?",
    ),
    Choice(
        "efi-type-value", Subject.FIRMWARE, PROXMOX, ("efi_config",), "efi_type", "2m 4m",
        "the cluster refuses the EFI disk when the build is on its way",
    ),
    Choice(
        "tpm-version-value", Subject.FIRMWARE, PROXMOX, ("tpm_config",), "tpm_version", "v1.2 v2.0",
        "the cluster refuses the TPM when the build is on its way",
    ),
    Choice(
        "os-value", Subject.HARDWARE, PROXMOX, ("",), "os",
        "other wxp w2k w2k3 w2k8 wvista win7 win8 win10 win11 l24 l26 solaris",
        "the cluster refuses the machine when the build is on its way",
    ),
    Choice(
        "cpu-type-value", Subject.HARDWARE, PROXMOX, ("",), "cpu_type", _CPUS,
        "QEMU does not start the machine", _CPU_FAMILIES + r"|custom-[\w.-]+",
    ),
    Choice(
        "vga-value", Subject.HARDWARE, PROXMOX, ("vga",), "type",
        "cirrus qxl qxl2 qxl3 qxl4 none serial0 serial1 serial2 serial3 std virtio virtio-gl vmware",
        "the cluster refuses the machine when the build is on its way",
    ),
    Choice(
        "rng-source-value", Subject.HARDWARE, PROXMOX, ("rng0",), "source", "/dev/urandom /dev/random /dev/hwrng",
        "the cluster refuses the machine when the build is on its way",
    ),
    Choice(
        "scsi-controller-value", Subject.DISKS, PROXMOX, ("",), "scsi_controller",
        "lsi lsi53c810 virtio-scsi-pci virtio-scsi-single megasas pvscsi",
        "the cluster refuses the machine when the build is on its way",
    ),
    Choice(
        "disk-type-value", Subject.DISKS, PROXMOX, ("disks",), "type", "ide sata scsi virtio",
        "the plugin takes it for scsi without a word",
    ),
    Choice(
        "disk-format-value", Subject.DISKS, PROXMOX, ("disks",), "format", "raw qcow qed qcow2 vmdk cloop",
        "the cluster refuses the disk when the build is on its way",
    ),
    Choice(
        "disk-cache-value", Subject.DISKS, PROXMOX, ("disks",), "cache_mode", _CACHES,
        "the cluster refuses the disk when the build is on its way",
    ),
    Choice(
        "disk-asyncio-value", Subject.DISKS, PROXMOX, ("disks",), "asyncio", "native threads io_uring",
        "the cluster refuses the disk when the build is on its way",
    ),
    Choice(
        "iso-bus-value", Subject.MEDIA, PROXMOX, _ISO_BLOCKS, "type", "ide sata scsi",
        "a CD drive exists on these buses only, and the plugin drops the ISO without a word",
    ),
    Choice(
        "cloud-init-bus-value", Subject.CLOUD_INIT, PROXMOX, ("",), "cloud_init_disk_type", "ide sata scsi",
        "the drive is added last, so the build fails at its end",
    ),
    Choice(
        "nic-model-value", Subject.NETWORK, PROXMOX, ("network_adapters",), "model", _NIC_ON_CLUSTER,
        "the cluster refuses the machine when the build is on its way",
    ),
    Choice(
        "qemu-accelerator-value", Subject.QEMU, QEMU, ("",), "accelerator", "none kvm tcg xen hax hvf whpx",
        "Packer refuses it once the plugin is loaded",
    ),
    Choice(
        "qemu-machine-value", Subject.QEMU, QEMU, ("",), "machine_type", "none microvm isapc pc q35 virt xenfv xenpv",
        "QEMU ends at once", r"(pc-(i440fx|q35)|virt|xenfv)-[\w.+-]+",
    ),
    Choice(
        "qemu-cpu-value", Subject.QEMU, QEMU, ("",), "cpu_model", f"{_CPUS} base",
        "QEMU ends at once", _CPU_FAMILIES + r"|(cortex|neoverse)-\w+", typos_only=True,
    ),
    Choice(
        "qemu-nic-value", Subject.QEMU, QEMU, ("",), "net_device", _NIC_OF_QEMU, "QEMU ends at once",
    ),
    Choice(
        "qemu-cdrom-value", Subject.QEMU, QEMU, ("",), "cdrom_interface", "ide scsi virtio virtio-scsi",
        "QEMU ends at once",
    ),
    Choice(
        "qemu-disk-bus-value", Subject.QEMU, QEMU, ("",), "disk_interface", "ide sata scsi virtio virtio-scsi",
        "Packer refuses it once the plugin is loaded",
    ),
    Choice(
        "qemu-disk-cache-value", Subject.QEMU, QEMU, ("",), "disk_cache", _CACHES,
        "Packer refuses it once the plugin is loaded",
    ),
    Choice(
        "qemu-format-value", Subject.QEMU, QEMU, ("",), "format", "qcow2 raw",
        "Packer refuses it once the plugin is loaded",
    ),
)  # fmt: skip


def _find_strange_values(choice: Choice, case: Case) -> Iterator[Finding]:
    values = choice.values.split()
    for place in choice.places:
        for block in case.block.list_blocks(place) if place else (case.block,):
            text = block.read_text(choice.field)
            if text is None or _is_known(choice, text, values):
                continue
            meant = suggest(_strip(text), values)
            if meant is None and choice.typos_only:
                continue
            fix = f"did you mean {meant}?" if meant else ""
            yield case.at(block, choice.field, _tell(case, block, choice.field), fix)


def _tell(case: Case, block: Block, name: str) -> str:
    return f"{name} = {case.tell(block, name)}"


def _strip(text: str) -> str:
    """Return a value without the options that may follow it, as in ``q35,viommu=virtio``."""
    return text.split(",", 1)[0].removeprefix("type=").removeprefix("cputype=")


def _is_known(choice: Choice, text: str, values: list[str]) -> bool:
    stripped = _strip(text)
    return stripped in values or bool(choice.families and re.fullmatch(choice.families, stripped))


def _spell_values(choice: Choice) -> str:
    values = choice.values.split()
    return f"one of {', '.join(values)}" if len(values) < 16 else "a value that `man qemu-system` or the cluster lists"


RULES = tuple(
    Rule(
        choice.rule,
        Level.ERROR,
        choice.subject,
        choice.kinds,
        partial(_find_strange_values, choice),
        choice.why,
        _spell_values(choice),
    )
    for choice in _ALL
)
