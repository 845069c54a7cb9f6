"""For every check, what makes a clean template dirty: a change to the tree, or to the disk made from it."""

from tests.verify.dirty import accounts, cloud_init, identity, network, packages, ssh
from tests.verify.dirty.disk import DISK_DIRT, ROOT_DIRT

__all__ = ["ALL_DIRT", "DISK_DIRT", "KIN", "ROOT_DIRT", "TREE_DIRT"]

TREE_DIRT = (*identity.DIRT, *cloud_init.DIRT, *ssh.DIRT, *accounts.DIRT, *network.DIRT, *packages.DIRT)
ALL_DIRT = (*TREE_DIRT, *ROOT_DIRT, *DISK_DIRT)

# What else a dirt of this check may report, because it really causes that too.
KIN = {
    "first-boot-wizard": {"machine-id"},
    "hostname": {"preserve-hostname"},
    "cloud-init-installed": {"ssh-host-key-regeneration"},
    "cloud-init-enabled": {"ssh-host-key-regeneration"},
    "cloud-init-datasource": {"ssh-host-key-regeneration"},
    "ssh-host-key-regeneration": {"cloud-init-enabled"},
    "authorized-keys": {"build-user"},
    "sshd-password-login": {"account-passwords", "sshd-root-login"},
    "partition-table": {"fstab-devices", "uefi-fallback"},
    "uefi-fallback": {"fstab-devices"},
}
