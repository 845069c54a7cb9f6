"""For every check, what makes a clean template dirty: a change to the tree, or to the disk made from it.

A module here may have ``DIRT`` (changes to the tree, judged as a directory), ``ROOT_DIRT`` (changes to the tree that
only a disk can judge), ``DISK_DIRT`` (changes to the disk's bytes) and ``KIN``: for a check, the others that its dirt
really causes too.
"""

from types import ModuleType

from tests.verify.dirty import (
    accounts,
    agents,
    boot,
    cloud_init,
    clusters,
    credentials,
    deep,
    disk,
    identity,
    network,
    packages,
    policy,
    ssh,
    state,
    updates,
)
from tests.verify.dirty.change import Dirt

__all__ = ["ALL_DIRT", "DISK_DIRT", "KIN", "ROOT_DIRT", "TREE_DIRT"]

_MODULES: tuple[ModuleType, ...] = (
    identity,
    cloud_init,
    ssh,
    accounts,
    credentials,
    state,
    network,
    packages,
    agents,
    clusters,
    updates,
    policy,
    deep,
    disk,
    boot,
)


def _collect(name: str) -> tuple[Dirt, ...]:
    return tuple(each for module in _MODULES for each in getattr(module, name, ()))


TREE_DIRT = _collect("DIRT")
ROOT_DIRT = _collect("ROOT_DIRT")
DISK_DIRT = _collect("DISK_DIRT")
ALL_DIRT = (*TREE_DIRT, *ROOT_DIRT, *DISK_DIRT)

KIN: dict[str, set[str]] = {
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
for _module in _MODULES:
    for _check, _kin in getattr(_module, "KIN", {}).items():
        KIN[_check] = KIN.get(_check, set()) | _kin
