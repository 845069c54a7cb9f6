"""A template of each source that has no mistake at all; what breaks a rule is made from these by one edit."""

from pathlib import Path

_HEAD = """\
packer {
  required_version = ">= 1.11.0"
  required_plugins {
    proxmox = {
      source  = "github.com/hashicorp/proxmox"
      version = ">= 1.2.2"
    }
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = "~> 1.0.9"
    }
  }
}

variable "token" {
  type      = string
  sensitive = true
}

variable "name" {
  type    = string
  default = "template"
}

variable "insecure" {
  type    = bool
  default = false
}

locals {
  api = "https://pve.example:8006/api2/json"
}
"""

_CLUSTER = """\
  proxmox_url              = local.api
  username                 = "builder@pve!packer"
  token                    = var.token
  insecure_skip_tls_verify = var.insecure
  node                     = "pve"
  task_timeout             = "20m"

  vm_id                = 9100
  vm_name              = "${var.name}-20"
  template_name        = "debian-13"
  template_description = "made by a test"
  tags                 = "debian;imagekit_20.1"
  pool                 = "templates"
  os                   = "l26"
  machine              = "q35"
  bios                 = "ovmf"
  cpu_type             = "x86-64-v2-AES"
  cores                = 2
  memory               = "2048"
  scsi_controller      = "virtio-scsi-single"
  serials              = ["socket"]
  qemu_agent           = true

  cloud_init              = true
  cloud_init_storage_pool = "local-lvm"
  cloud_init_disk_type    = "scsi"

  efi_config {
    efi_storage_pool  = "local-lvm"
    efi_type          = "4m"
    pre_enrolled_keys = false
  }
  disks {
    type         = "scsi"
    disk_size    = "32G"
    storage_pool = "local-lvm"
    format       = "raw"
    cache_mode   = "none"
    io_thread    = true
    discard      = true
  }
  network_adapters {
    model    = "virtio"
    bridge   = "vmbr0"
    vlan_tag = "20"
  }
  vga {
    type = "serial0"
  }
  rng0 {
    source    = "/dev/urandom"
    max_bytes = 1024
    period    = 1000
  }

  communicator         = "ssh"
  ssh_username         = "build"
  ssh_private_key_file = "/nowhere/key"
  ssh_timeout          = "45m"
"""

_SEED = """\
  additional_iso_files {
    type             = "scsi"
    index            = 5
    unmount          = true
    iso_storage_pool = "local"
    cd_label         = "cidata"
    cd_content = {
      "meta-data" = ""
      "user-data" = <<-EOT
        #cloud-config
        hostname: ${var.name}
        autoinstall:
          version: 1
      EOT
    }
  }
"""

_ISO = """\
source "proxmox-iso" "template" {
  boot_iso {
    type         = "sata"
    index        = "1"
    iso_file     = "local:iso/debian-13.iso"
    iso_checksum = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
    unmount      = true
  }
  boot         = "order=scsi0;sata1;net0"
  boot_wait    = "5s"
  boot_command = ["<esc><wait5><leftCtrlOn>x<leftCtrlOff>", "auto<aOn><aOff><enter><wait1m30s>"]
"""

_CLONE = """\
source "proxmox-clone" "template" {
  clone_vm_id = 9000
  full_clone  = true
  ipconfig {
    ip       = "192.0.2.10/24"
    gateway  = "192.0.2.1"
    ip6      = "2001:db8::10/64"
    gateway6 = "2001:db8::1"
  }
"""

_BUILD = """\
build {
  sources = ["source.KIND.template"]

  provisioner "shell" {
    inline = ["echo ${var.name}"]
  }
}
"""

_QEMU = """\
variable "accelerator" {
  type    = string
  default = "tcg"
}

source "qemu" "template" {
  disk_image        = true
  iso_url           = "${path.root}/disk.qcow2"
  iso_checksum      = "none"
  output_directory  = "out"
  vm_name           = var.name
  accelerator       = var.accelerator
  machine_type      = "q35"
  cpu_model         = "max"
  memory            = 2048
  cores             = 2
  headless          = true
  efi_boot          = true
  efi_firmware_code = "${path.root}/code.fd"
  efi_firmware_vars = "${path.root}/vars.fd"
  disk_interface    = "virtio-scsi"
  disk_cache        = "unsafe"
  format            = "qcow2"
  net_device        = "virtio-net"
  cdrom_interface   = "virtio-scsi"
  qemuargs = [
    ["-device", "virtio-scsi-pci,id=scsi0"],
    ["-device", "scsi-hd,bus=scsi0.0,drive=drive0"],
    ["-device", "scsi-cd,bus=scsi0.0,drive=cdrom0"],
    ["-device", "virtio-net,netdev=user.0"],
    ["-serial", "file:{{ .OutputDir }}.log"],
  ]
  cd_label = "cidata"
  cd_content = {
    "meta-data" = ""
    "user-data" = "#cloud-config\\nhostname: build\\n"
  }
  boot_wait            = "-1s"
  communicator         = "ssh"
  ssh_username         = "build"
  ssh_private_key_file = "/nowhere/key"
  ssh_timeout          = "15m"
  shutdown_command     = "sudo poweroff"
}
"""


def _remove_block(text: str, start: str, end: str) -> str:
    before, _, rest = text.partition(start)
    return before + rest.partition(end)[2]


_HEAD_OF_QEMU = _remove_block(_remove_block(_HEAD, 'variable "token"', "}\n"), 'variable "insecure"', "}\n")

CLEAN = {
    "iso": f"{_HEAD}\n{_ISO}{_SEED}{_CLUSTER}}}\n\n{_BUILD.replace('KIND', 'proxmox-iso')}",
    "clone": f"{_HEAD}\n{_CLONE}{_SEED}{_CLUSTER}}}\n\n{_BUILD.replace('KIND', 'proxmox-clone')}",
    "qemu": f"{_HEAD_OF_QEMU}\n{_QEMU}\n{_BUILD.replace('KIND', 'qemu')}",
}


def write_template(directory: Path, text: str) -> Path:
    """Write a template with the files that the clean one of qemu names, and return its directory."""
    directory.mkdir(exist_ok=True)
    (directory / "template.pkr.hcl").write_text(text)
    (directory / "disk.qcow2").write_bytes(b"")
    for name, size in (("code.fd", 3653632), ("vars.fd", 540672), ("code-2m.fd", 1966080)):
        with (directory / name).open("wb") as file:
            file.truncate(size)
    return directory
