"""A stored version put to use: here, as clones that run under QEMU on this machine."""
