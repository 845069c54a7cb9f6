"""A QEMU machine as a value: firmware, disks, seed, accelerator; started, watched and stopped here."""
