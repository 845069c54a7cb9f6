"""Dirt in a VM's configuration: a clean one in the shape of the API's answer, with keys changed or taken away."""

from collections.abc import Mapping
from dataclasses import dataclass

from imagekit.image import Firmware
from imagekit.report import Severity
from imagekit.verify import Policy, VmConfig
from tests.verify.dirty.change import FAIL, INFO, WARN

UUID = "5f3b7a52-6f0e-4a52-9a49-3b6b4f0c1d2e"
MAC = "BC:24:11:00:00:01"

CLEAN: Mapping[str, str] = {
    "name": "template",
    "template": "1",
    "bios": "ovmf",
    "machine": "q35",
    "efidisk0": "local:9000/base-9000-disk-0.qcow2,efitype=4m,pre-enrolled-keys=0,size=528K",
    "scsihw": "virtio-scsi-single",
    "scsi0": "local:9000/base-9000-disk-1.qcow2,discard=on,size=2G",
    "scsi1": "local:9000/vm-9000-cloudinit.qcow2,media=cdrom",
    "boot": "order=scsi0",
    "serial0": "socket",
    "vga": "serial0",
    "agent": "enabled=1",
    "net0": f"virtio={MAC},bridge=vmbr0,firewall=1",
    "ipconfig0": "ip=dhcp",
    "rng0": "source=/dev/urandom",
    "smbios1": f"uuid={UUID}",
    "vmgenid": "c45124b6-c82c-4836-8321-77b1335cd341",
    "tags": "imagekit;template-20261121-1",
    "description": "template@20261121-1",
    "cores": "2",
    "memory": "2048",
}


@dataclass(frozen=True)
class VmDirt:
    """Keys to change, or with an empty value to take away, that must make ``check`` report something at ``path``."""

    check: str
    name: str
    severity: Severity
    path: str
    change: Mapping[str, str]
    others: tuple[VmConfig, ...] = ()
    policy: Policy = Policy()  # noqa: RUF009 - frozen, so one is enough for all
    disk: bool = False  # judged together with the clean disk

    def __str__(self) -> str:
        return f"{self.check}-{self.name}"

    def make_config(self) -> VmConfig:
        """Return the clean configuration with the change."""
        values = {key: value for key, value in {**CLEAN, **self.change}.items() if value}
        return VmConfig("9000.json", values, self.others)


_TWIN = VmConfig("9001.json", {"smbios1": f"uuid={UUID.upper()}", "net0": "virtio=BC:24:11:00:00:02,bridge=vmbr0"})
_SAME_CARD = VmConfig("9001.json", {"net1": f"e1000={MAC.lower()},bridge=vmbr1"})
_BIOS = Policy(firmware=Firmware.SEABIOS)
_ISO = "local:iso/debian-13.1.0-amd64-netinst.iso,media=cdrom,size=783M"

VM_DIRT = (
    VmDirt("vm-efidisk", "none", FAIL, "efidisk0", {"efidisk0": ""}),
    VmDirt("vm-efidisk", "small", WARN, "efidisk0", {"efidisk0": "local:1,efitype=2m"}),
    VmDirt("vm-efidisk", "default", WARN, "efidisk0", {"efidisk0": "local:1,size=4M"}),
    VmDirt("vm-cloudinit-drive", "none", FAIL, "drive", {"scsi1": ""}),
    VmDirt("vm-cloudinit-drive", "two", FAIL, "sata0", {"sata0": "local-lvm:vm-9000-cloudinit,media=cdrom"}),
    VmDirt("vm-cloudinit-drive", "ide", FAIL, "ide2", {"scsi1": "", "ide2": "local-lvm:vm-9000-cloudinit,media=cdrom"}),
    VmDirt("vm-firmware", "bios", FAIL, "bios", {"bios": ""}),
    VmDirt("vm-firmware", "machine", WARN, "machine", {"machine": ""}),
    VmDirt("vm-firmware", "disk", FAIL, "bios", {"bios": "seabios", "efidisk0": ""}, policy=_BIOS, disk=True),
    VmDirt("vm-agent-flag", "off", FAIL, "agent", {"agent": "0"}),
    VmDirt("vm-agent-flag", "unset", FAIL, "agent", {"agent": ""}),
    VmDirt("vm-agent-flag", "disabled", FAIL, "agent", {"agent": "enabled=0,fstrim_cloned_disks=1"}),
    VmDirt("vm-leftovers", "iso", WARN, "ide2", {"ide2": _ISO}),
    VmDirt("vm-leftovers", "unused", WARN, "unused0", {"unused0": "local-lvm:vm-9000-disk-3"}),
    VmDirt("vm-leftovers", "password", FAIL, "cipassword", {"cipassword": "**********"}),
    VmDirt("vm-leftovers", "user", WARN, "ciuser", {"ciuser": "packer"}),
    VmDirt("vm-leftovers", "keys", WARN, "sshkeys", {"sshkeys": "ssh-ed25519%20AAAAcanary%20a%40b%0A"}),
    VmDirt("vm-leftovers", "address", WARN, "ipconfig0", {"ipconfig0": "ip=192.0.2.4/24,gw=192.0.2.1"}),
    VmDirt("vm-leftovers", "custom", WARN, "cicustom", {"cicustom": "user=local:snippets/build.yaml"}),
    VmDirt("vm-leftovers", "onboot", WARN, "onboot", {"onboot": "1"}),
    VmDirt("vm-leftovers", "snapshot", WARN, "parent", {"parent": "before"}),
    VmDirt("vm-leftovers", "lock", WARN, "lock", {"lock": "create"}),
    VmDirt("vm-leftovers", "description", WARN, "description", {"description": "Packer%20ephemeral%20build%20VM"}),
    VmDirt("vm-identity", "generation", WARN, "vmgenid", {"vmgenid": ""}),
    VmDirt("vm-identity", "uuid", FAIL, "smbios1", {}, others=(_TWIN,)),
    VmDirt("vm-identity", "address", FAIL, "net", {}, others=(_SAME_CARD,)),
    VmDirt("vm-serial-boot", "serial", WARN, "serial0", {"serial0": ""}),
    VmDirt("vm-serial-boot", "order", WARN, "boot", {"boot": "order=scsi0;ide2;net0"}),
    VmDirt("vm-serial-boot", "no-disk", FAIL, "boot", {"boot": "order=net0"}),
    VmDirt("vm-serial-boot", "controller", WARN, "scsihw", {"scsihw": ""}),
    VmDirt("vm-serial-boot", "randomness", INFO, "rng0", {"rng0": ""}),
    VmDirt("vm-network", "none", FAIL, "net0", {"net0": ""}),
    VmDirt("vm-network", "model", WARN, "net0", {"net0": f"e1000={MAC},bridge=vmbr0"}),
    VmDirt("vm-network", "bridge", FAIL, "net0", {"net0": f"virtio={MAC}"}),
    VmDirt("vm-network", "down", FAIL, "net0", {"net0": f"virtio={MAC},bridge=vmbr0,link_down=1"}),
    VmDirt("vm-tags", "none", INFO, "tags", {"tags": ""}),
    VmDirt("vm-tags", "bad", WARN, "tags", {"tags": "imagekit;a b!"}),
)
KIN = {"vm-firmware": {"vm-leftovers"}}
