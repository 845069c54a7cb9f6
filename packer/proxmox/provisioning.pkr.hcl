# The same variables and the same steps as in ../qemu: whatever was started, it becomes the same template.

variable "ssh_username" {
  type        = string
  description = "The account of this build: made by the seed, removed by finish.sh."
}

variable "ssh_private_key_file" {
  type        = string
  description = "The key of this build, made for it and deleted after it."
}

variable "ssh_timeout" {
  type        = string
  description = "How long the machine may take until it answers; an installation takes longer than a boot."
  default     = "15m"
}

variable "payload" {
  type        = string
  description = "Archive of what the definition adds: packages by name, files, accounts, units (see apply.sh)."
}

variable "playbook" {
  type        = string
  description = "Ansible playbook to run; empty for none."
  default     = ""
}

variable "ansible_config" {
  type        = string
  description = "The ansible.cfg to use; empty for Ansible's own search."
  default     = ""
}

variable "scripts" {
  type        = list(string)
  description = "Shell scripts to run as root, in this order."
  default     = []
}
