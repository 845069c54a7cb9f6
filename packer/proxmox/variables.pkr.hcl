# The cluster, and who asks. Give the token's secret by PKR_VAR_proxmox_token, never in a file that is kept.

variable "proxmox_url" {
  type        = string
  description = "The API with its path: https://HOST:8006/api2/json."
}

variable "proxmox_username" {
  type        = string
  description = "The token's full name: USER@REALM!NAME."
}

variable "proxmox_token" {
  type        = string
  description = "The token's secret."
  sensitive   = true
}

variable "insecure_skip_tls_verify" {
  type        = bool
  description = "True takes any certificate, an attacker's too."
  default     = false
}

variable "node" {
  type        = string
  description = "Node to build on; a template on its local storage can be cloned only there."
}

variable "pool" {
  type        = string
  description = "Resource pool of the VM; null for none."
  default     = null
}

variable "task_timeout" {
  type        = string
  description = "Limit for one task of the API; the plugin's own minute is too short to copy a disk."
  default     = "20m"
}

# The template.

variable "vm_id" {
  type        = number
  description = "Free id that only this build uses. Not the id that clones are made from: it is overwritten by nobody."

  validation {
    condition     = var.vm_id >= 100 && var.vm_id <= 999999999
    error_message = "Proxmox takes ids from 100 to 999999999."
  }
}

variable "template_name" {
  type        = string
  description = "Letters, digits, hyphens and dots, as in a host name."
}

variable "template_description" {
  type    = string
  default = ""
}

variable "tags" {
  type        = string
  description = "Separated by semicolons; one of them names this build, so that what it leaves can be found."
}

# Its hardware.

variable "machine_type" {
  type    = string
  default = "q35"
}

variable "cpu_type" {
  type        = string
  description = "The oldest processor among the nodes decides; x86-64-v2-AES runs on all since about 2010."
  default     = "x86-64-v2-AES"
}

variable "cores" {
  type    = number
  default = 2
}

variable "memory" {
  type        = number
  description = "MiB."
  default     = 2048
}

variable "vga" {
  type        = string
  description = "std shows the boot in Proxmox's console; serial0 shows it in xterm.js and with qm terminal."
  default     = "std"
}

variable "storage" {
  type        = string
  description = "Storage for the disk, the EFI variables and the cloud-init drive."
}

variable "disk_size" {
  type        = string
  description = "Size with its unit, such as 4G."
  default     = "4G"
}

variable "disk_format" {
  type        = string
  description = "raw everywhere; qcow2 on directories, which have snapshots only with it."
  default     = "raw"
}

variable "pre_enrolled_keys" {
  type        = bool
  description = "True starts only loaders that Microsoft or the distribution signed."
  default     = false
}

variable "bridge" {
  type    = string
  default = "vmbr0"
}

variable "vlan" {
  type        = string
  description = "VLAN tag; null for none."
  default     = null
}

variable "firewall" {
  type        = bool
  description = "Whether Proxmox's firewall filters the card."
  default     = false
}

# Where proxmox-iso starts from: an installer's ISO, and a second one that answers its questions.

variable "iso_file" {
  type        = string
  description = "ISO on a storage, such as local:iso/debian.iso; null when iso_url says where it comes from."
  default     = null
}

variable "iso_url" {
  type        = string
  description = "Path or URL of an ISO to upload; it stays on iso_storage."
  default     = null
}

variable "iso_checksum" {
  type        = string
  description = "Of iso_url, as sha256:HEX."
  default     = null
}

variable "iso_download_pve" {
  type        = bool
  description = "Whether the node downloads iso_url itself; needs Sys.AccessNetwork on it."
  default     = false
}

variable "iso_storage" {
  type        = string
  description = "Storage for uploads, with the content type iso."
  default     = "local"
}

variable "seed_file" {
  type        = string
  description = "The answers as an ISO on a storage, labelled CIDATA; null when seed_files has them."
  default     = null
}

variable "seed_files" {
  type        = list(string)
  description = "The answers as files: Packer makes the ISO (with xorriso or mkisofs), uploads and deletes it."
  default     = []
}

variable "boot_command" {
  type        = list(string)
  description = "Keys that lead the medium's GRUB to the answers."
  default     = []
}

variable "boot_wait" {
  type        = string
  description = "From power on to the medium's menu."
  default     = "10s"
}

# Where proxmox-clone starts from: one of the two.

variable "clone_vm_id" {
  type        = number
  description = "Template to clone, by id."
  default     = null
}

variable "clone_vm" {
  type        = string
  description = "Template to clone, by name."
  default     = null
}
