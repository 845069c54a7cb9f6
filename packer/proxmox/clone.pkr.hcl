# A full clone of a template that has cloud-init, UEFI and a guest agent. Its firmware, disks and machine type stay; what
# the plugin would otherwise replace by defaults of its own (processor, memory, controller, kind of system) is said again.

source "proxmox-clone" "template" {
  proxmox_url              = var.proxmox_url
  username                 = var.proxmox_username
  token                    = var.proxmox_token
  insecure_skip_tls_verify = var.insecure_skip_tls_verify
  node                     = var.node
  pool                     = var.pool
  task_timeout             = var.task_timeout

  clone_vm    = var.clone_vm
  clone_vm_id = var.clone_vm_id
  full_clone  = true # a linked one would pin its source for ever

  vm_id                = var.vm_id
  vm_name              = "build-${var.template_name}" # until it is finished
  template_name        = var.template_name
  template_description = var.template_description
  tags                 = var.tags

  os              = "l26"
  cpu_type        = var.cpu_type
  sockets         = 1
  cores           = var.cores
  memory          = var.memory
  scsi_controller = "virtio-scsi-single"

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

  # The build's account and key reach the clone by Proxmox's own cloud-init drive, which also needs to be told DHCP. The
  # plugin takes them out again and puts an empty drive in the place.
  ipconfig {
    ip = "dhcp"
  }
  cloud_init              = true
  cloud_init_storage_pool = var.storage
  cloud_init_disk_type    = "scsi"

  communicator              = "ssh"
  ssh_username              = var.ssh_username
  ssh_private_key_file      = var.ssh_private_key_file
  ssh_timeout               = var.ssh_timeout
  ssh_handshake_attempts    = 1000  # the timeout is the limit
  ssh_clear_authorized_keys = false # finish.sh removes the account with its keys
}
