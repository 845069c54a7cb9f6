"""The checks, one file per subject. A new check is added to its file's ``CHECKS``; nothing else has to change."""

from imagekit.verify.check import Check
from imagekit.verify.checks import (
    accounts,
    agents,
    boot,
    cloud_init,
    clusters,
    credentials,
    disk,
    filesystems,
    hypervisor,
    identity,
    initramfs,
    live,
    machine_id,
    network,
    packages,
    policy,
    sd_image,
    secrets,
    ssh,
    sshd,
    state,
    traces,
    updates,
    vm_config,
)

# In the order of a clone's life: who it is, who may enter, whether it boots, what it carries along.
_SUBJECTS = (
    machine_id, identity, cloud_init, ssh, sshd, accounts, secrets, credentials, network, state, boot, initramfs, disk,
    filesystems, packages, updates, traces, agents, clusters, hypervisor, vm_config, sd_image, live, policy,
)  # fmt: skip
CHECKS: tuple[Check, ...] = tuple(check for subject in _SUBJECTS for check in subject.CHECKS)
