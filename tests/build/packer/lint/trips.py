"""For each rule edits of a clean template that must make it speak, and no other rule but the named kin."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.build.packer.lint.clean import CLEAN


@dataclass(frozen=True, slots=True)
class Trip:
    """``old`` becomes ``new`` in the clean template of ``kind``; then ``rule`` is broken, and ``kin`` with it."""

    rule: str
    kind: str
    old: str
    new: str = ""
    kin: tuple[str, ...] = ()
    values: Mapping[str, object] = field(default_factory=dict)
    only: str = ""
    vm_ids: range | None = None

    def write(self) -> str:
        """Return the edited template."""
        assert self.old in CLEAN[self.kind], self
        return CLEAN[self.kind].replace(self.old, self.new, 1)

    def __str__(self) -> str:
        return f"{self.rule}: {self.new.strip().splitlines()[0] if self.new.strip() else 'without ' + self.old}"[:70]


def _omit(rule: str, kind: str, line: str, *kin: str) -> Trip:
    return Trip(rule, kind, line, kin=kin)


_UEFI_DISK = """\
  efi_config {
    efi_storage_pool  = "local-lvm"
    efi_type          = "4m"
    pre_enrolled_keys = false
  }
"""
_DISK = CLEAN["iso"][CLEAN["iso"].index("  disks {") : CLEAN["iso"].index("  network_adapters {")]
_NIC = CLEAN["iso"][CLEAN["iso"].index("  network_adapters {") : CLEAN["iso"].index("  vga {")]
_BOOT_ISO = CLEAN["iso"][CLEAN["iso"].index("  boot_iso {") : CLEAN["iso"].index("  boot_wait")]
_BUILD = CLEAN["iso"][CLEAN["iso"].index("build {") :]
_SEED_CONTENT = CLEAN["iso"][
    CLEAN["iso"].index("    cd_content = {") : CLEAN["iso"].index("  proxmox_url")
].removesuffix("  }\n")
_QEMU_CONTENT = '  cd_content = {\n    "meta-data" = ""\n    "user-data" = "#cloud-config\\nhostname: build\\n"\n  }\n'
_DIGEST = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
_SCSI_HD = '    ["-device", "scsi-hd,bus=scsi0.0,drive=drive0"],\n'
_ALL_DEVICES = CLEAN["qemu"][
    CLEAN["qemu"].index('    ["-device", "virtio-scsi') : CLEAN["qemu"].index('    ["-serial"')
]

_FIELDS = (
    Trip("unknown-field", "iso", "qemu_agent           =", "qemu_agnet           ="),
    Trip("unknown-field", "clone", "  full_clone  =", "  complete_copy  ="),
    Trip("unknown-field", "qemu", "  headless          =", "  headles          =", kin=("qemu-window",)),
    Trip("unknown-field", "iso", "    io_thread    = true", "    iothread    = true"),
    Trip("unknown-field", "iso", "  vga {", "  vgaa {"),
    Trip("unknown-field", "iso", "  vga {", "  vga = {"),
    Trip("field-not-known", "qemu", "  headless ", "  zzyzx = 1\n  headless "),
    Trip("wrong-type", "iso", "  cores                = 2", '  cores                = "two"'),
    Trip("wrong-type", "iso", '  serials              = ["socket"]', '  serials              = "socket"'),
    Trip("wrong-type", "iso", "    discard      = true", '    discard      = "on"'),
    Trip("wrong-type", "qemu", '    ["-serial", "file:{{ .OutputDir }}.log"],', '    "-serial",'),
    _omit("missing-field", "iso", '  node                     = "pve"\n'),
    _omit("missing-field", "iso", '    bridge   = "vmbr0"\n'),
    _omit("missing-field", "iso", '    storage_pool = "local-lvm"\n'),
    _omit("missing-field", "iso", _BOOT_ISO),
    _omit("missing-field", "iso", '    iso_storage_pool = "local"\n'),
    _omit("missing-field", "iso", '  ssh_username         = "build"\n'),
    _omit("missing-field", "clone", "  clone_vm_id = 9000\n"),
    _omit("missing-field", "qemu", '  iso_url           = "${path.root}/disk.qcow2"\n'),
    Trip("deprecated-field", "iso", _BOOT_ISO, '  iso_file = "local:iso/a.iso"\n  unmount_iso = true\n'),
    Trip("deprecated-field", "iso", '    index            = 5', '    device           = "scsi5"'),
    Trip("deprecated-field", "qemu", '  ssh_timeout  ', "  ssh_wait_timeout"),
    Trip("field-of-later-plugin", "iso", '">= 1.2.2"', '"= 1.1.1"', kin=("plugin-version",)),
    Trip("field-of-later-plugin", "clone", '">= 1.2.2"', '"< 1.1.2"', kin=("plugin-version",)),
)  # fmt: skip

_DECLARATIONS = (
    Trip("only-names-nothing", "iso", "packer {", "packer {", only="proxmox-iso.other"),
    Trip("only-names-nothing", "iso", "packer {", "packer {", only="proxmox-iso.template,qemu.*"),
    Trip("no-build", "iso", _BUILD, 'locals {\n  used = var.name\n}\n'),
    Trip(
        "idle-source", "iso", 'build {\n', 'source "null" "idle" {\n  communicator = "none"\n}\n\nbuild {\n',
    ),
    Trip("plugin-not-required", "iso", 'source  = "github.com/hashicorp/proxmox"', 'source  = "github.com/x/other"'),
    Trip("plugin-not-required", "qemu", '"github.com/hashicorp/qemu"', '"github.com/x/other"'),
    Trip("plugin-version", "iso", '">= 1.2.2"', '">= 1.1.0"'),
    Trip("plugin-version", "iso", '">= 1.2.2"', '"< 2.0.0"'),
    Trip("version-form", "iso", '">= 1.2.2"', '"latest"', kin=("plugin-version",)),
    _omit("required-version", "iso", '  required_version = ">= 1.11.0"\n'),
    Trip("required-version", "qemu", '">= 1.11.0"', '">= 1.6.6"'),
    Trip("unused-variable", "iso", "locals {", 'variable "idle" {\n  default = 1\n}\n\nlocals {'),
    Trip("variable-not-declared", "iso", "echo ${var.name}", "echo ${var.nmae}"),
    Trip("value-not-declared", "iso", "packer {", "packer {", values={"nmae": "x"}),
)  # fmt: skip

_CREDENTIALS = (
    Trip("literal-secret", "iso", "var.token", '"5ec2e7"', kin=("unused-variable",)),
    Trip("literal-secret", "iso", "token                    = var.token", 'password = "${local.api}x"',
         kin=("unused-variable", "token-user")),
    Trip("literal-password", "qemu", '  ssh_private_key_file = "/nowhere/key"', '  ssh_password = "5ec2e7"'),
    Trip("secret-not-sensitive", "iso", "  sensitive = true\n"),
    Trip("secret-default", "iso", "  sensitive = true\n", '  sensitive = true\n  default = "5ec2e7"\n'),
    Trip("insecure-tls", "iso", "var.insecure", "true", kin=("unused-variable",)),
    Trip("token-user", "iso", '"builder@pve!packer"', '"builder@pve"'),
    Trip("token-user", "iso", '"builder@pve!packer"', '"builder!packer"'),
    Trip("cluster-url", "iso", '"https://pve.example:8006/api2/json"', '"https://pve.example:8006"'),
    Trip("cluster-url", "iso", '"https://pve.example:8006/api2/json"', '"pve.example"'),
    Trip("cluster-url", "iso", '"https://pve.example:8006/api2/json"', '"http://pve.example:8006/api2/json"'),
    Trip("cluster-url", "iso", '"https://pve.example:8006/api2/json"', '"https://a:b@pve.example/api2/json"'),
    Trip("cluster-url", "iso", '"https://pve.example:8006/api2/json"', '"https://pve.example:port/api2/json"'),
)  # fmt: skip

_IDENTITY = (
    Trip("tag-form", "iso", '"debian;imagekit_20.1"', '"debian;über"'),
    Trip("tag-form", "iso", '"debian;imagekit_20.1"', '"debian, 13"'),
    Trip("tag-form", "iso", '"debian;imagekit_20.1"', '"debian;"'),
    Trip("name-form", "iso", '"debian-13"', '"debian_13"'),
    Trip("pool-form", "clone", '"templates"', '"my templates"'),
    Trip("vm-id-range", "iso", "= 9100", "= 8999", vm_ids=range(9100, 9200)),
    Trip("vm-id-range", "iso", "  vm_id                = 9100\n", "", vm_ids=range(9100, 9200)),
    Trip("vm-id-published", "iso", "= 9100", "= 9000", vm_ids=range(9100, 9200)),
    Trip("clone-of-itself", "clone", "clone_vm_id = 9000", "clone_vm_id = 9100"),
    Trip("starts-with-node", "iso", "  qemu_agent ", "  onboot = true\n  qemu_agent "),
)

_MACHINE = (
    Trip("efi-disk-missing", "iso", _UEFI_DISK),
    Trip("efi-disk-useless", "iso", '  bios                 = "ovmf"\n'),
    Trip("efi-disk-useless", "clone", '"ovmf"', '"seabios"'),
    Trip("efi-type-2m", "iso", '"4m"', '"2m"'),
    Trip("memory-small", "iso", '"2048"', '"8"'),
    Trip("memory-small", "qemu", "memory            = 2048", "memory            = 0"),
    _omit("serial-missing", "iso", '  serials              = ["socket"]\n'),
    Trip("serial-missing", "iso", '"serial0"', '"serial1"'),
    Trip("agent-off", "iso", "qemu_agent           = true", "qemu_agent           = false"),
    Trip("boot-order", "iso", "order=scsi0", "order=virtio0"),
    Trip("boot-order", "iso", "sata1;", "ide2;"),
    Trip("disk-size", "iso", '"32G"', '"10 gigs"'),
    Trip("disk-size", "iso", '"32G"', '"32"'),
    Trip("disk-size", "iso", '"32G"', '"32g"'),
    Trip("disk-size", "clone", '"32G"', '"1.5T"'),
    _omit("disk-missing", "iso", _DISK, "boot-order"),
    Trip("disk-on-emulated-bus", "iso", '    type         = "scsi"\n    disk_size', '    type = "sata"\n    disk_size',
         kin=("io-thread", "boot-order")),
    Trip("io-thread", "iso", '"virtio-scsi-single"', '"virtio-scsi-pci"'),
)  # fmt: skip

_MEDIA = (
    Trip("iso-unmount", "iso", "    unmount      = true\n"),
    Trip("iso-unmount", "iso", "    unmount      = true\n", "    unmount      = false\n"),
    Trip("iso-unmount", "clone", "    unmount          = true\n"),
    Trip("iso-unmount", "iso", _BOOT_ISO, '  iso_file = "local:iso/a.iso"\n', kin=("deprecated-field",)),
    Trip("iso-index", "iso", "    index            = 5", "    index            = 0"),
    Trip("iso-index", "iso", "    index            = 5", "    index            = 31"),
    Trip("iso-index", "iso", '    type         = "sata"\n    index        = "1"', '    type = "scsi"\n    index = 5',
         kin=("boot-order",)),
    Trip("iso-file", "iso", '"local:iso/debian-13.iso"', '"debian-13.iso"'),
    Trip("iso-file", "iso", '"local:iso/debian-13.iso"', '"local:iso/debian-13"'),
    Trip("checksum-form", "iso", _DIGEST, _DIGEST[:-1]),
    Trip("checksum-form", "iso", f"sha256:{_DIGEST}", "sha256:unknown"),
    Trip("checksum-form", "iso", f"sha256:{_DIGEST}", f"sha3:{_DIGEST}"),
    Trip("checksum-form", "qemu", '"none"', '"sha512:00"'),
    Trip("checksum-none", "qemu", '"${path.root}/disk.qcow2"', '"https://images.example/disk.qcow2"'),
    Trip("cd-file-missing", "qemu", _QEMU_CONTENT, '  cd_files = ["nowhere.txt"]\n'),
    Trip("cd-file-missing", "iso", _SEED_CONTENT, '    cd_files = ["nowhere*.txt"]\n'),
    Trip("cd-label", "qemu", f'  cd_label = "cidata"\n{_QEMU_CONTENT}', '  cd_files = ["disk.qcow2"]\n'),
    Trip("cloud-init-ide", "iso", '  cloud_init_disk_type    = "scsi"\n'),
    Trip("cloud-init-ide", "clone", '  cloud_init_disk_type    = "scsi"\n', '  cloud_init_disk_type    = "ide"\n'),
    _omit("cloud-init-pool", "iso", '  cloud_init_storage_pool = "local-lvm"\n'),
    Trip("cloud-init-unused", "iso", "cloud_init              = true", "cloud_init              = false"),
    Trip(
        "cloud-init-left-out", "iso",
        CLEAN["iso"][CLEAN["iso"].index("  cloud_init  ") : CLEAN["iso"].index("  efi_config")],
    ),
    Trip("user-data-header", "iso", "        #cloud-config\n"),
    Trip("user-data-header", "qemu", "#cloud-config", "# cloud-config"),
    Trip("user-data-yaml", "iso", "        hostname: ", "        hostname: [a, "),
    Trip("user-data-yaml", "qemu", "hostname: build", "- hostname"),
    _omit("meta-data-missing", "iso", '      "meta-data" = ""\n'),
    _omit("seed-label", "iso", '    cd_label         = "cidata"\n'),
    Trip("seed-label", "qemu", '"cidata"', '"cidatta"'),
    Trip("seed-label", "qemu", f'  cd_label = "cidata"\n{_QEMU_CONTENT}', '  cd_files = ["seed/user-data"]\n',
         kin=("cd-file-missing",)),
)  # fmt: skip

_RUN = (
    _omit("nic-missing", "iso", _NIC, "boot-order"),
    Trip("vlan-tag", "iso", '"20"', '"5000"'),
    Trip("vlan-tag", "iso", '"20"', '"lan"'),
    Trip("mac-form", "iso", '    model    = "virtio"', '    mac_address = "01:02:03:04:05:06"\n    model = "virtio"'),
    Trip("address-form", "clone", '"192.0.2.1"', '"192.0.3.1"'),
    Trip("address-form", "clone", '"192.0.2.10/24"', '"192.0.2.10"'),
    Trip("address-form", "clone", '"2001:db8::1"', '"2001:db9::1"'),
    Trip("http-server", "iso", "  boot_wait ", '  http_directory = "http"\n  boot_wait '),
    Trip("http-server", "iso", "auto<aOn>", "url=http://{{ .HTTPIP }}:{{ .HTTPPort }}/<aOn>"),
    Trip("duration-form", "iso", '"20m"', '"600"'),
    Trip("duration-form", "qemu", '"-1s"', '"-1"'),
    _omit("task-timeout", "iso", '  task_timeout             = "20m"\n'),
    Trip("task-timeout", "clone", '"20m"', '"90s"'),
    _omit("install-timeout", "iso", '  ssh_timeout          = "45m"\n'),
    Trip("install-timeout", "iso", '"45m"', '"10m"'),
    Trip("boot-key", "iso", "<enter>", "<entr>"),
    Trip("boot-key", "iso", "<wait5>", "<wait5x>"),
    Trip("boot-name", "iso", "auto<aOn>", "url={{ .HTTPIPP }}<aOn>", kin=("http-server",)),
)

_QEMU = (
    _omit("qemu-accelerator", "qemu", "  accelerator       = var.accelerator\n", "unused-variable"),
    Trip("qemu-accelerator", "qemu", "var.accelerator", '"kvm"', kin=("unused-variable",)),
    Trip(
        "qemu-bios",
        "qemu",
        '  efi_boot          = true\n  efi_firmware_code = "${path.root}/code.fd"\n'
        '  efi_firmware_vars = "${path.root}/vars.fd"\n',
    ),
    Trip("qemu-firmware-missing", "qemu", "/vars.fd", "/nothing.fd"),
    Trip("qemu-firmware-sizes", "qemu", "/code.fd", "/code-2m.fd"),
    Trip("qemu-image-missing", "qemu", "/disk.qcow2", "/nothing.qcow2"),
    _omit("qemu-cdrom-ahci", "qemu", '  cdrom_interface   = "virtio-scsi"\n'),
    Trip("qemu-cdrom-bus", "qemu", _ALL_DEVICES),
    _omit("qemu-shutdown", "qemu", '  shutdown_command     = "sudo poweroff"\n'),
    _omit("qemu-window", "qemu", "  headless          = true\n"),
    Trip("qemu-host-cpu", "qemu", '"max"', '"host"'),
    Trip("qemuargs-form", "qemu", '["-serial", ', '["serial", '),
    Trip("qemuargs-form", "qemu", '["-serial", ', '[], ["-serial", '),
    Trip("qemuargs-name", "qemu", ".OutputDir", ".OutDir"),
    _omit("qemuargs-device", "qemu", _SCSI_HD),
    Trip("qemuargs-device", "qemu", "scsi-cd,bus=scsi0.0,drive=cdrom0", "virtio-rng-pci"),
    Trip("qemuargs-device", "qemu", "virtio-net,netdev=user.0", "virtio-net,netdev=lan"),
    Trip("qemuargs-device", "qemu", "  headless ", "  vtpm = true\n  headless "),
    Trip("qemuargs-drive", "qemu", '    ["-serial"', '    ["-drive", "file=x,if=pflash"],\n    ["-serial"'),
    Trip("qemuargs-drive", "qemu", '    ["-serial"', '    ["-drive", "file={{ .OutputDir }}/x"],\n    ["-serial"'),
    Trip("qemuargs-netdev", "qemu", '    ["-serial"', '    ["-netdev", "user,id=user.0"],\n    ["-serial"'),
)

_CHOICES = (
    Trip("communicator-value", "qemu", 'communicator         = "ssh"', 'communicator         = "shh"'),
    Trip("bios-value", "iso", '"ovmf"', '"omvf"'),
    Trip("machine-value", "iso", '"q35"', '"q53"'),
    Trip("efi-type-value", "iso", '"4m"', '"8m"'),
    Trip("tpm-version-value", "iso", _UEFI_DISK,
         f'{_UEFI_DISK}  tpm_config {{\n    tpm_storage_pool = "l"\n    tpm_version = "2.0"\n  }}\n'),
    Trip("os-value", "iso", '"l26"', '"l62"'),
    Trip("cpu-type-value", "iso", '"x86-64-v2-AES"', '"x86-64-v2-AEX"'),
    Trip("vga-value", "iso", '"serial0"', '"serial"'),
    Trip("rng-source-value", "iso", '"/dev/urandom"', '"/dev/rnd"'),
    Trip("scsi-controller-value", "iso", '"virtio-scsi-single"', '"virtio-scsi-singel"', kin=("io-thread",)),
    Trip("disk-type-value", "iso", 'type         = "scsi"\n    disk_size', 'type = "scsci"\n    disk_size'),
    Trip("disk-format-value", "iso", '"raw"', '"qcow3"'),
    Trip("disk-cache-value", "iso", '"none"', '"writeback2"'),
    Trip("disk-asyncio-value", "iso", "    discard ", '    asyncio = "iouring"\n    discard '),
    Trip("iso-bus-value", "iso", 'type             = "scsi"', 'type             = "virtio"'),
    Trip("cloud-init-bus-value", "iso", 'cloud_init_disk_type    = "scsi"', 'cloud_init_disk_type = "virtio"'),
    Trip("nic-model-value", "iso", '"virtio"', '"virtoi"'),
    Trip("qemu-accelerator-value", "qemu", 'default = "tcg"', 'default = "tgc"'),
    Trip("qemu-machine-value", "qemu", '"q35"', '"q53"'),
    Trip("qemu-cpu-value", "qemu", '"max"', '"Haswel"'),
    Trip("qemu-nic-value", "qemu", '= "virtio-net"', '= "virtio-nett"'),
    Trip("qemu-cdrom-value", "qemu", 'cdrom_interface   = "virtio-scsi"', 'cdrom_interface   = "virtio-scsci"'),
    Trip("qemu-disk-bus-value", "qemu", 'disk_interface    = "virtio-scsi"', 'disk_interface    = "nvme"'),
    Trip("qemu-disk-cache-value", "qemu", '"unsafe"', '"unsave"'),
    Trip("qemu-format-value", "qemu", '"qcow2"', '"qcow"'),
    _omit("machine-default", "iso", '  machine              = "q35"\n'),
    _omit("os-default", "iso", '  os                   = "l26"\n'),
    _omit("cpu-type-default", "clone", '  cpu_type             = "x86-64-v2-AES"\n'),
    _omit("memory-default", "qemu", "  memory            = 2048\n"),
    _omit("scsi-controller-default", "iso", '  scsi_controller      = "virtio-scsi-single"\n', "io-thread"),
    Trip("disk-type-default", "iso", 'type         = "scsi"\n    disk_size', "disk_size"),
    _omit("disk-size-default", "iso", '    disk_size    = "32G"\n'),
    _omit("nic-model-default", "iso", '    model    = "virtio"\n'),
)  # fmt: skip

TRIPS = (
    *_FIELDS, *_DECLARATIONS, *_CREDENTIALS, *_IDENTITY, *_MACHINE, *_MEDIA, *_RUN, *_QEMU, *_CHOICES,
)  # fmt: skip
