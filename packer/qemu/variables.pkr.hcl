# What starts: a disk that is there already, or an installer's ISO with a seed that answers its questions.

variable "image_url" {
  type        = string
  description = "Path or URL of the disk or ISO to start from."
}

variable "image_checksum" {
  type        = string
  description = "Its checksum as sha256:HEX, or none for a file that was made a moment ago."
}

variable "disk_image" {
  type        = bool
  description = "True for a disk, which is copied and booted; false for an ISO, which installs onto an empty one."
  default     = true
}

variable "seed_iso" {
  type        = string
  description = "ISO labelled CIDATA: user-data and meta-data for cloud-init, or an installer's answers."
}

variable "boot_command" {
  type        = list(string)
  description = "Keys for an installer; a disk needs none."
  default     = []
}

variable "boot_wait" {
  type        = string
  description = "How long the firmware may take before keys are typed; -1s for not at all."
  default     = "-1s"
}

# The machine that it is built in.

variable "accelerator" {
  type        = string
  description = "kvm, hvf or tcg. Packer's own choice takes kvm wherever /dev/kvm opens, even where guests die on it."
}

variable "cpu_model" {
  type        = string
  description = "QEMU's processor model; host where an accelerator works."
}

variable "machine_type" {
  type    = string
  default = "q35"
}

variable "cores" {
  type    = number
  default = 2
}

variable "memory" {
  type        = number
  description = "MiB."
  default     = 1024
}

variable "disk_size" {
  type        = string
  description = "Size of the finished disk, such as 2048M; a disk to start from grows to it."
}

variable "efi_firmware_code" {
  type        = string
  description = "OVMF's code, of the same build as the variables."
}

variable "efi_firmware_vars" {
  type        = string
  description = "OVMF's variable store; the build gets a copy."
}

variable "serial_log" {
  type        = string
  description = "File for what the guest writes to its serial port: the first thing to read when SSH never comes up."
}

# Where the result goes.

variable "output_directory" {
  type        = string
  description = "Must not exist."
}

variable "disk_name" {
  type    = string
  default = "disk.raw"
}
