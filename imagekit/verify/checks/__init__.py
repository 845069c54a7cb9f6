"""The checks, one file per subject. A new check is added to its file's ``CHECKS``; nothing else has to change."""

from imagekit.verify.check import Check
from imagekit.verify.checks import (
    accounts,
    agents,
    boot,
    boot_options,
    cloud_config,
    cloud_init,
    cloud_state,
    clusters,
    credentials,
    deep,
    disk,
    filesystems,
    first_boot,
    host_keys,
    hypervisor,
    identity,
    initramfs,
    live,
    machine_id,
    modes,
    network,
    packages,
    passwords,
    policy,
    sd_image,
    sd_system,
    secrets,
    ssh,
    sshd,
    state,
    traces,
    twins,
    updates,
    vm_config,
    volumes,
)

# In the order of a clone's life: who it is, who may enter, whether it boots, what it carries along.
_SUBJECTS = (
    machine_id, identity, cloud_init, cloud_config, cloud_state, host_keys, ssh, sshd, passwords, accounts, modes,
    secrets, credentials, network, state, boot, boot_options, initramfs, first_boot, disk, volumes, filesystems, deep,
    packages, updates, traces, agents, clusters, hypervisor, vm_config, sd_image, sd_system, live, twins, policy,
)  # fmt: skip
CHECKS: tuple[Check, ...] = tuple(check for subject in _SUBJECTS for check in subject.CHECKS)
