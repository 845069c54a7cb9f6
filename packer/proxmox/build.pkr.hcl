# /dev/shm is memory: nothing that is uploaded reaches the disk.
locals {
  as_root = "chmod +x '{{ .Path }}' && sudo -n env {{ .Vars }} '{{ .Path }}'"
}

build {
  sources = ["source.proxmox-iso.template", "source.proxmox-clone.template"]

  provisioner "file" {
    source      = var.payload
    destination = "/dev/shm/payload.tar"
  }

  provisioner "shell" {
    script          = "${path.root}/../provision/apply.sh"
    execute_command = local.as_root
    remote_folder   = "/dev/shm"
  }

  provisioner "ansible" {
    except           = var.playbook == "" ? ["proxmox-iso.template", "proxmox-clone.template"] : []
    playbook_file    = var.playbook
    user             = var.ssh_username
    use_proxy        = false
    ansible_env_vars = var.ansible_config == "" ? [] : ["ANSIBLE_CONFIG=${var.ansible_config}"]
  }

  provisioner "shell" {
    except          = length(var.scripts) == 0 ? ["proxmox-iso.template", "proxmox-clone.template"] : []
    scripts         = var.scripts
    execute_command = local.as_root
    remote_folder   = "/dev/shm"
  }

  # Always last. It removes the account that runs it and turns the machine off a moment later.
  provisioner "shell" {
    script            = "${path.root}/../provision/finish.sh"
    environment_vars  = ["BUILD_USER=${var.ssh_username}"]
    execute_command   = local.as_root
    remote_folder     = "/dev/shm"
    skip_clean        = true
    expect_disconnect = true
  }
}
