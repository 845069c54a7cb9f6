"""The checks, one file per subject. A new check is added to its file's ``CHECKS``; nothing else has to change."""

from imagekit.verify.check import Check
from imagekit.verify.checks import (
    accounts,
    boot,
    cloud_init,
    disk,
    hypervisor,
    identity,
    network,
    packages,
    secrets,
    ssh,
    traces,
)

CHECKS: tuple[Check, ...] = (
    *identity.CHECKS,
    *cloud_init.CHECKS,
    *ssh.CHECKS,
    *accounts.CHECKS,
    *secrets.CHECKS,
    *network.CHECKS,
    *boot.CHECKS,
    *disk.CHECKS,
    *packages.CHECKS,
    *traces.CHECKS,
    *hypervisor.CHECKS,
)
