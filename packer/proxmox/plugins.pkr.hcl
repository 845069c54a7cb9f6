packer {
  required_version = ">= 1.14.0"
  required_plugins {
    # 1.1 knows no boot_iso, tags, rng0, and neither discard nor the cloud-init drive's bus.
    proxmox = {
      source  = "github.com/hashicorp/proxmox"
      version = ">= 1.2.2, < 2.0.0"
    }
    ansible = {
      source  = "github.com/hashicorp/ansible"
      version = ">= 1.0.3"
    }
  }
}
