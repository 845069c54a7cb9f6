# An installation from the distribution's own ISO onto an empty disk.

source "proxmox-iso" "template" {
  proxmox_url              = var.proxmox_url
  username                 = var.proxmox_username
  token                    = var.proxmox_token
  insecure_skip_tls_verify = var.insecure_skip_tls_verify
  node                     = var.node
  pool                     = var.pool
  task_timeout             = var.task_timeout

  vm_id                = var.vm_id
  vm_name              = "build-${var.template_name}" # until it is finished
  template_name        = var.template_name
  template_description = var.template_description
  tags                 = var.tags

  os       = "l26"
  machine  = var.machine_type
  bios     = "ovmf"
  cpu_type = var.cpu_type
  sockets  = 1
  cores    = var.cores
  memory   = var.memory

  # Without a disk of their own the variables are lost at power off, and with them the boot entries.
  efi_config {
    efi_storage_pool  = var.storage
    efi_format        = var.disk_format
    efi_type          = "4m"
    pre_enrolled_keys = var.pre_enrolled_keys
  }

  scsi_controller = "virtio-scsi-single"
  disks {
    type         = "scsi"
    storage_pool = var.storage
    disk_size    = var.disk_size
    format       = var.disk_format
    cache_mode   = "none"
    discard      = true
    ssd          = true
    io_thread    = true
  }

  network_adapters {
    model    = "virtio"
    bridge   = var.bridge
    vlan_tag = var.vlan
    firewall = var.firewall
  }

  rng0 {
    source    = "/dev/urandom"
    max_bytes = 1024
    period    = 1000
  }

  serials = ["socket"]
  vga {
    type = var.vga
  }
  qemu_agent = true # the only way in which the plugin learns the address

  # SCSI, because the guest never sees an IDE drive under OVMF where its kernel has no AHCI driver. It takes the first
  # free slot, after the installation: both ISOs are on SATA, so that is scsi1 every time.
  cloud_init              = true
  cloud_init_storage_pool = var.storage
  cloud_init_disk_type    = "scsi"

  boot_iso {
    type             = "sata"
    index            = "0"
    iso_file         = var.iso_file
    iso_url          = var.iso_url
    iso_checksum     = var.iso_checksum
    iso_download_pve = var.iso_url == null ? null : var.iso_download_pve
    iso_storage_pool = var.iso_url == null ? null : var.iso_storage
    unmount          = true
  }

  additional_iso_files {
    type             = "sata"
    index            = "1"
    iso_file         = var.seed_file
    cd_files         = var.seed_files
    cd_label         = "CIDATA"
    iso_storage_pool = var.seed_file == null ? var.iso_storage : null
    unmount          = true
  }

  # The disk first: empty it is passed over, installed it starts. The seed cannot start and is named all the same:
  # OVMF connects only what is in this order, and GRUB sees only what OVMF has connected.
  boot         = "order=scsi0;sata0;sata1"
  boot_command = var.boot_command
  boot_wait    = var.boot_wait

  # A key every 5 ms, which is the pace of the plugin, is faster than firmware reads its keyboard.
  boot_key_interval = "100ms"

  communicator              = "ssh"
  ssh_username              = var.ssh_username
  ssh_private_key_file      = var.ssh_private_key_file
  ssh_timeout               = var.ssh_timeout
  ssh_handshake_attempts    = 1000  # the timeout is the limit
  ssh_clear_authorized_keys = false # finish.sh removes the account with its keys
}
