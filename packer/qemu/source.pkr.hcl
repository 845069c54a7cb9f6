source "qemu" "template" {
  disk_image   = var.disk_image
  iso_url      = var.image_url
  iso_checksum = var.image_checksum

  accelerator       = var.accelerator
  machine_type      = var.machine_type
  cpu_model         = var.cpu_model
  cores             = var.cores
  memory            = var.memory
  efi_boot          = true
  efi_firmware_code = var.efi_firmware_code
  efi_firmware_vars = var.efi_firmware_vars
  headless          = true

  disk_size        = var.disk_size
  format           = "raw"
  disk_interface   = "virtio-scsi"
  disk_cache       = "unsafe" # a build that the host's crash interrupts is begun again anyway
  disk_discard     = "unmap"  # what the last clean-up trims becomes holes
  skip_compaction  = true
  cdrom_interface  = "virtio-scsi" # Debian's cloud kernel has no AHCI driver: it never sees q35's own CD drive
  net_device       = "virtio-net-pci"
  output_directory = var.output_directory
  vm_name          = var.disk_name

  # One -device replaces all that the plugin would add, so all are named. The network is reached from here alone: the
  # plugin's own rule would open the guest's SSH port on every address of this machine.
  qemuargs = concat(
    [
      ["-device", "virtio-scsi-pci,id=scsi0"],
      ["-device", "scsi-hd,bus=scsi0.0,drive=drive0,bootindex=1"],
    ],
    var.disk_image ? [] : [["-device", "scsi-cd,bus=scsi0.0,drive=cdrom0,bootindex=2"]],
    [
      ["-blockdev", "driver=raw,node-name=seed,read-only=on,file.driver=file,file.filename=${replace(var.seed_iso, ",", ",,")}"],
      ["-device", "scsi-cd,bus=scsi0.0,drive=seed,bootindex=3"],
      ["-device", "virtio-net-pci,netdev=user.0,romfile="],
      ["-device", "virtio-rng-pci"],
      ["-netdev", "user,id=user.0,hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"],
      ["-chardev", "file,id=serial,path=${replace(var.serial_log, ",", ",,")}"],
      ["-serial", "chardev:serial"],
    ],
  )

  boot_command     = var.boot_command
  boot_wait        = var.boot_wait
  vnc_use_password = true # a console on loopback is anybody's on this machine

  communicator              = "ssh"
  ssh_username              = var.ssh_username
  ssh_private_key_file      = var.ssh_private_key_file
  ssh_timeout               = var.ssh_timeout
  ssh_handshake_attempts    = 1000  # QEMU accepts connections before the guest does; the timeout is the limit
  ssh_clear_authorized_keys = false # finish.sh removes the account with its keys

  # finish.sh has removed the account, so nothing that needs rights can be said any more: it waits for this file.
  shutdown_command = "touch /dev/shm/imagekit-off"
  shutdown_timeout = var.shutdown_timeout
}
