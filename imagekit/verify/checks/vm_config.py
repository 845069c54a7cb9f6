"""The configuration of the Proxmox VM: firmware, drives, agent, network, and what the build left in it."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Seen, Subject
from imagekit.verify.facts.units import is_usable
from imagekit.verify.view import ESP_TYPE, CannotSee, View
from imagekit.verify.vm_config import VmConfig

_BIOS_BOOT_TYPE = "21686148-6449-6e6f-744e-656564454649"  # UEFI partition type of GRUB's core image
_MAC = re.compile(r"(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}")
_TAG = re.compile(r"[a-z0-9_][a-z0-9_+.-]*", re.IGNORECASE)
_CARD = re.compile(r"net\d+")
_BUILD_WORDS = re.compile(r"packer|temporary|ephemeral|build vm", re.IGNORECASE)
_USER_KEYS = ("ciuser", "sshkeys", "cicustom", "searchdomain", "nameserver")


def _is_ovmf(config: VmConfig) -> bool:
    return config.get("bios") == "ovmf"  # the default is seabios


def find_efidisk(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether a UEFI machine has a disk for its variables, of the size that current firmware wants."""
    config = view.vm_config()
    if not _is_ovmf(config):
        return
    if "efidisk0" not in config.values:
        yield Seen("efidisk0", "bios is ovmf and there is no efidisk0")
    elif (kind := config.properties("efidisk0", "volume").get("efitype", "2m")) != "4m":
        yield Seen("efidisk0", f"efitype is {kind}", Severity.WARN)


def find_cloudinit_drive(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for exactly one cloud-init drive, on a bus that the guest sees."""
    config = view.vm_config()
    drives = config.cloud_init_drives
    if not drives:
        yield Seen("cloud-init drive", "there is none")
    elif len(drives) > 1:
        yield Seen(", ".join(drives), "there are several, and the guest takes whichever it finds first")
    for key in drives:
        if key.startswith("ide") and (_is_ovmf(config) or "q35" in config.get("machine")):
            yield Seen(key, "it is an IDE drive on a UEFI or q35 machine, whose guest never sees it")


def find_firmware(view: View, policy: Policy) -> Iterator[Seen]:
    """Look whether the firmware fits the disk's partitions, the machine type and the definition."""
    config = view.vm_config()
    bios = config.get("bios") or "seabios"
    if bios != policy.firmware.value:
        yield Seen("bios", f"it is {bios}, and the image is made for {policy.firmware.value}")
    if bios == "ovmf" and "q35" not in config.get("machine"):
        yield Seen("machine", f"UEFI with machine {config.get('machine') or 'i440fx (the default)'}", Severity.WARN)
    if not view.has_disk:
        raise CannotSee("no disk was given beside the VM's configuration")
    table = view.partition_table()
    kinds = {} if table is None else {part.type_guid.lower(): part for part in table.partitions}
    if bios == "ovmf" and ESP_TYPE not in kinds:
        yield Seen("bios", "it is ovmf, and the disk has no EFI system partition")
    if bios == "seabios" and ESP_TYPE in kinds and _BIOS_BOOT_TYPE not in kinds:
        yield Seen("bios", "it is seabios, and the disk can be started by UEFI only")


def find_agent_flag(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether Proxmox will talk to the guest agent, and whether the guest has one."""
    config = view.vm_config()
    properties = config.properties("agent", "enabled")
    if properties.get("enabled", "0").lower() not in ("1", "on", "yes", "true"):
        yield Seen("agent", f"it is {config.get('agent') or 'not set'}")
    elif view.has_disk and not is_usable(view, "qemu-guest-agent.service"):
        yield Seen("agent", "it is on, and the image has no agent that could answer", Severity.WARN)


def find_vm_leftovers(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what the build attached, set or wrote down for itself."""
    config = view.vm_config()
    for key, volume, properties in config.drives():
        if properties.get("media") == "cdrom" and key not in config.cloud_init_drives and volume != "none":
            yield Seen(key, f"the disc {volume.rpartition('/')[2]} is still in its drive")
    for key in sorted(config.values):
        if re.fullmatch(r"unused\d+", key):
            yield Seen(key, f"the volume {config.get(key)} hangs on the VM and is not used")
    if "cipassword" in config.values:
        yield Seen("cipassword", "a password for every clone", Severity.FAIL)
    for key in _USER_KEYS:
        if value := config.get(key):
            yield Seen(key, _describe_user_key(key, value))
    for key in sorted(config.values):
        if re.fullmatch(r"ipconfig\d+", key) and not set(config.properties(key).values()) <= {"dhcp", "auto"}:
            yield Seen(key, "an address of its own, which every clone would take")
    if config.is_on("onboot"):
        yield Seen("onboot", "a template does not start")
    if config.get("parent"):
        yield Seen("parent", f"snapshot {config.get('parent')} is still there")
    if config.get("lock"):
        yield Seen("lock", f"{config.get('lock')}: something was interrupted")
    if _BUILD_WORDS.search(unquote(config.get("description"))[:4096]):
        yield Seen("description", "it is the one that the build gave itself")


def _describe_user_key(key: str, value: str) -> str:
    if key == "sshkeys":
        return f"{len([line for line in unquote(value).splitlines() if line.strip()])} keys that open every clone"
    return f"{value[:60]}, for every clone"


def find_vm_identity(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what only one VM may have: its UUID and MAC addresses among those given, a generation id of its own."""
    config = view.vm_config()
    if not config.get("vmgenid"):
        yield Seen("vmgenid", "there is none, so a clone cannot know that it is one", Severity.WARN)
    for other in config.others:
        uuid = config.properties("smbios1").get("uuid", "").lower()
        if uuid and uuid == other.properties("smbios1").get("uuid", "").lower():
            yield Seen("smbios1", f"{other.name} has the same uuid {uuid}")
        for mac in sorted(_list_macs(config) & _list_macs(other)):
            yield Seen("net", f"{other.name} has the same MAC address {mac}")


def _list_macs(config: VmConfig) -> set[str]:
    return {
        found.upper()
        for key in config.values
        if re.fullmatch(r"net\d+", key)
        for found in _MAC.findall(config.get(key))
    }


def find_serial_and_boot(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a console that can be read, a boot order that leads to a disk, and hardware that every guest knows."""
    config = view.vm_config()
    if not config.get("serial0"):
        yield Seen("serial0", "there is none")
    order = config.properties("boot").get("order", "")
    present = {key for key, _, _ in config.drives()} | {
        key for key in config.values if key.startswith(("net", "hostpci"))
    }
    for key in filter(None, order.split(";")):
        if key not in present:
            yield Seen("boot", f"it names {key}, which is not there")
    disks = [key for key, _, properties in config.drives() if properties.get("media") != "cdrom"]
    if order and disks and not set(order.split(";")) & set(disks):
        yield Seen("boot", f"it names no disk ({order})", Severity.FAIL)
    if not config.get("scsihw").startswith("virtio-scsi") and any(key.startswith("scsi") for key in disks):
        yield Seen("scsihw", f"it is {config.get('scsihw') or 'lsi (the default)'}")
    if not config.get("rng0"):
        yield Seen("rng0", "there is none: a first boot may wait for randomness", Severity.INFO)


def find_vm_network(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a network card that is connected, on a bridge, and of the fast kind."""
    config = view.vm_config()
    cards = [key for key in sorted(config.values) if _CARD.fullmatch(key)]
    if not cards:
        yield Seen("net0", "there is no network card", Severity.FAIL)
    for key in cards:
        properties = config.properties(key, "model")
        model = properties.get("model") or next(
            (name for name, value in properties.items() if _MAC.fullmatch(value)), ""
        )
        if model and model != "virtio":
            yield Seen(key, f"its model is {model}")
        if not properties.get("bridge"):
            yield Seen(key, "it is on no bridge", Severity.FAIL)
        if properties.get("link_down") in ("1", "on"):
            yield Seen(key, "its link is down", Severity.FAIL)


def find_vm_tags(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether the VM says where it came from, in tags that Proxmox takes."""
    config = view.vm_config()
    tags = [tag for tag in re.split(r"[;, ]+", config.get("tags")) if tag]
    for tag in tags:
        if not _TAG.fullmatch(tag):
            yield Seen("tags", f"{tag[:40]!r} is no tag", Severity.WARN)
    if not tags:
        yield Seen("tags", "there are none")


def _check(id: str, severity: Severity, why: str, fix: str, find: Callable[[View, Policy], Iterator[Seen]]) -> Check:  # noqa: A002 - the name that it has in Check
    return Check(id, severity, Subject.VM_CONFIG, why, fix, find, applies=lambda view: view.has_vm_config)


CHECKS = (
    _check(
        "vm-efidisk",
        Severity.FAIL,
        "without it the firmware's variables are temporary: boot entries are gone at every power-off",
        "`qm set VMID --efidisk0 STORAGE:0,efitype=4m,pre-enrolled-keys=0`",
        find_efidisk,
    ),
    _check(
        "vm-cloudinit-drive",
        Severity.FAIL,
        "a clone gets its user, keys, name and address from this drive",
        "`qm set VMID --scsi1 STORAGE:cloudinit`, and remove the others",
        find_cloudinit_drive,
    ),
    _check(
        "vm-firmware",
        Severity.FAIL,
        "firmware that does not fit the disk hangs at full load or finds nothing to start",
        "`qm set VMID --bios ovmf --machine q35`",
        find_firmware,
    ),
    _check(
        "vm-agent-flag",
        Severity.FAIL,
        "Proxmox learns addresses, shuts down and freezes filesystems through the agent",
        "`qm set VMID --agent enabled=1`",
        find_agent_flag,
    ),
    _check(
        "vm-leftovers",
        Severity.WARN,
        "every clone inherits it",
        "`qm set VMID --delete KEY`",
        find_vm_leftovers,
    ),
    _check(
        "vm-identity",
        Severity.FAIL,
        "one UUID gives one machine id even to clones of a clean template; one MAC address gives one lease",
        "`qm set VMID --smbios1 uuid=$(cat /proc/sys/kernel/random/uuid) --vmgenid 1`, and new MAC addresses",
        find_vm_identity,
    ),
    _check(
        "vm-serial-boot",
        Severity.WARN,
        "without a serial console nobody sees why a clone does not start, and a boot order may lead nowhere",
        "`qm set VMID --serial0 socket --boot order=scsi0 --scsihw virtio-scsi-single --rng0 source=/dev/urandom`",
        find_serial_and_boot,
    ),
    _check(
        "vm-network",
        Severity.WARN,
        "a clone without a connected card is alone; an emulated one is slow",
        "`qm set VMID --net0 virtio,bridge=vmbr0`",
        find_vm_network,
    ),
    _check(
        "vm-tags",
        Severity.INFO,
        "tags and description are the only place on the cluster that says which version a template is",
        "`qm set VMID --tags imagekit`",
        find_vm_tags,
    ),
)
