"""What the first boot stumbles over: set-up programs that ask on the console, and SELinux without labels.

Source of the rules: initial-setup's and gnome-initial-setup's units, Ubuntu's oem-config, selinux(8), setfiles(8).
"""

import re
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.system import Family, read_distribution
from imagekit.verify.facts.units import find_unit
from imagekit.verify.view import View

_MARKERS = ("/.unconfigured", "/etc/reconfigSys")
# initial-setup's text and graphical forms (old and new names), GNOME's, and Ubuntu's for resellers.
_UNITS = (
    "initial-setup.service", "initial-setup-text.service", "initial-setup-graphical.service",
    "initial-setup-reconfiguration.service", "gnome-initial-setup.service", "oem-config.service",
    "oem-config-firstboot.service",
)  # fmt: skip
_MODE = re.compile(r"^[ \t]*SELINUX[ \t]*=[ \t]*(\w{1,32})", re.MULTILINE)
_LABELLED = ("/etc/shadow", "/etc/passwd", "/etc/machine-id", "/root/.ssh", "/root/.ssh/authorized_keys")
_ATTRIBUTE = "security.selinux"
_UNLABELLED = ("unlabeled_t", "file_t")


def find_setup_prompts(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for markers and enabled units of programs that ask questions at the first boot."""
    for path in _MARKERS:
        if view.tree.lstat(path) is not None:
            yield Seen(path, "the marker that asks for set-up at boot exists")
    for name in _UNITS:
        unit = find_unit(view, name)
        if unit is not None and unit.enabled:
            yield Seen(unit.pulled_by[0], f"{name} is enabled")


def find_missing_labels(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the SELinux labels of what a login needs, where SELinux is enforcing and nothing will relabel."""
    view.root_volume()  # labels are attributes of files on a disk; a copy in a directory has lost them, or the host's
    if read_distribution(view).family is not Family.REDHAT or view.tree.lstat("/.autorelabel") is not None:
        return
    modes = _MODE.findall(view.text("/etc/selinux/config") or "")
    if not modes or modes[-1] != "enforcing":
        return
    homes = [path for path, node in view.children("/home") if node.type is FileType.DIRECTORY]
    for path in (*_LABELLED, *(f"{home}/.ssh/authorized_keys" for home in homes[:50])):
        if not view.exists(path):
            continue
        label = (view.tree.xattr(path, _ATTRIBUTE) or b"").rstrip(b"\0").decode("ascii", "replace")
        if not label:
            yield Seen(path, "has no SELinux label")
        elif any(f":{kind}:" in f"{label}:" for kind in _UNLABELLED):
            yield Seen(path, f"is labelled {label}")


CHECKS: tuple[Check, ...] = (
    Check(
        id="selinux-labels",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="SELinux forbids login and sshd to read files without their label, so nobody can log in",
        fix="`touch /.autorelabel` (or setfiles -F /etc/selinux/targeted/contexts/files/file_contexts /)",
        find=find_missing_labels,
        profiles=MACHINES,
    ),
    Check(
        id="initial-setup",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="the first boot stops at questions on a console that nobody sees",
        fix=(
            "`rm -f /.unconfigured /etc/reconfigSys; "
            "systemctl disable initial-setup.service gnome-initial-setup.service oem-config.service`"
        ),
        find=find_setup_prompts,
        profiles=(Profile.TEMPLATE, Profile.CLONE),
    ),
)
