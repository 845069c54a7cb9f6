"""Decide whether a disk is fit to be cloned: offline, read-only, without root. It observes and never repairs.

``view`` is what a check may ask, ``facts`` what several checks share, ``checks`` the rules by subject, ``run`` the one
that asks them all and writes the report, ``formats`` how the report reads. What asks a machine over SSH is in
``ssh_run``: a disk is judged in less time than that takes to load.
"""

from imagekit.verify.catalogue import describe_check, explain, list_checks, parse_profile
from imagekit.verify.check import Check, Policy, Profile, Seen, Subject
from imagekit.verify.run import verify_directory, verify_disk, verify_vm_config
from imagekit.verify.view import CannotSee, View
from imagekit.verify.vm_config import VmConfig, parse_vm_config, read_vm_config

__all__ = [
    "CannotSee",
    "Check",
    "Policy",
    "Profile",
    "Seen",
    "Subject",
    "View",
    "VmConfig",
    "describe_check",
    "explain",
    "list_checks",
    "parse_profile",
    "parse_vm_config",
    "read_vm_config",
    "verify_directory",
    "verify_disk",
    "verify_vm_config",
]
