"""LVM2: physical volumes, and the linear volumes that their metadata describes."""
