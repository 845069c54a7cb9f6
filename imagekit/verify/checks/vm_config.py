"""The configuration of the Proxmox VM: firmware, drives, agent, leftovers."""

from imagekit.verify.check import Check

CHECKS: tuple[Check, ...] = ()
