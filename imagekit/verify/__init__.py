"""Decide whether a disk is fit to be cloned: offline, read-only, without root. It observes and never repairs.

``view`` is what a check may ask, ``facts`` what several checks share, ``checks`` the rules by subject, ``run`` the one
that asks them all and writes the report, ``formats`` how the report reads.
"""

from imagekit.host.ssh_target import SshTarget
from imagekit.verify.catalogue import describe_check, explain, list_checks, parse_profile
from imagekit.verify.check import Check, Policy, Profile, Seen, Subject
from imagekit.verify.formats import (
    render_checks,
    render_fixes,
    render_json,
    render_junit,
    render_markdown,
    render_text,
)
from imagekit.verify.run import verify_directory, verify_disk, verify_vm_config
from imagekit.verify.ssh_run import verify_ssh
from imagekit.verify.view import CannotSee, View
from imagekit.verify.vm_config import VmConfig, parse_vm_config, read_vm_config

__all__ = [
    "CannotSee",
    "Check",
    "Policy",
    "Profile",
    "Seen",
    "SshTarget",
    "Subject",
    "View",
    "VmConfig",
    "describe_check",
    "explain",
    "list_checks",
    "parse_profile",
    "parse_vm_config",
    "read_vm_config",
    "render_checks",
    "render_fixes",
    "render_json",
    "render_junit",
    "render_markdown",
    "render_text",
    "verify_directory",
    "verify_disk",
    "verify_ssh",
    "verify_vm_config",
]
