"""A machine that runs: whether it came up whole, grew to its disk, and keeps the policy that its files have.

Source of the rules: systemctl(1) for the states, cloud-init's documentation of ``status``, sshd(8) for ``-T``.
"""

from collections.abc import Iterator
from shlex import quote

from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.sshd import read_sshd_policy
from imagekit.verify.view import CannotSee, View

_RUNNING = (Profile.CLONE,)
_UNSETTLED = ("initializing", "starting", "stopping")
_LEAST_UNUSED = 1 << 30
_CLOUD_LOG = "/var/log/cloud-init.log"
_DANGEROUS = ("passwordauthentication", "permitemptypasswords", "permitrootlogin")


def find_failed_units(view: View, _policy: Policy) -> Iterator[Seen]:
    """Ask systemd which units have failed and whether the machine is up."""
    live = view.live()
    for unit in live.failed_units:
        yield Seen(unit, "the unit has failed", fix=f"journalctl -b -u {quote(unit)}")
    match live.system_state:
        case "degraded" | "maintenance" if not live.failed_units:
            yield Seen("systemd", f"the machine is in state {live.system_state}", fix="`systemctl --failed`")
        case state if state in _UNSETTLED:
            found = f"the machine is {state}: what fails later is not seen"
            yield Seen("systemd", found, Severity.WARN, "`systemctl is-system-running --wait`")
        case "" | "offline" | "unknown" if not live.failed_units:
            raise CannotSee("systemd does not say how the machine is")


def find_cloud_init_trouble(view: View, _policy: Policy) -> Iterator[Seen]:
    """Ask cloud-init whether it has finished, and without errors."""
    live = view.live()
    if not live.cloud_init:
        raise CannotSee("the machine has no cloud-init that answers")
    words = live.cloud_init.lower().split()
    if "error" in words or "degraded" in words:
        yield Seen(_CLOUD_LOG, "; ".join((f"cloud-init ended as {live.cloud_init!r}", *live.cloud_init_errors)))
    elif "running" in words or "not" in words:
        yield Seen(_CLOUD_LOG, f"cloud-init is {live.cloud_init!r}", Severity.WARN, "`cloud-init status --wait`")


def find_ungrown_root(view: View, _policy: Policy) -> Iterator[Seen]:
    """Compare the root filesystem with its disk; half of it may be other partitions, more is what was not grown."""
    live = view.live()
    if live.root_bytes <= 0 or live.disk_bytes <= 0:
        raise CannotSee("the machine does not say how large its disk is")
    if 2 * live.root_bytes < live.disk_bytes and live.disk_bytes - live.root_bytes > _LEAST_UNUSED:
        yield Seen(
            "/", f"the root filesystem has {live.root_bytes >> 20} MiB of its disk's {live.disk_bytes >> 20} MiB"
        )


def find_sshd_in_effect(view: View, _policy: Policy) -> Iterator[Seen]:
    """Compare what the SSH server says of itself with what its files say; their own checks judge the files."""
    answers = view.live().sshd_config
    if answers is None:
        raise CannotSee("sshd -T could not be asked")
    said = {key.lower(): value.strip() for key, _, value in (line.partition(" ") for line in answers)}
    policy = read_sshd_policy(view)
    for key in _DANGEROUS:
        value = said.get(key, "")
        if value.lower() == "yes" and policy.get(key).value.lower() != "yes":
            yield Seen("sshd -T", f"{key} {value}, against {policy.get(key).path}")


CHECKS = (
    Check(
        id="failed-units",
        severity=Severity.FAIL,
        subject=Subject.BOOT,
        why="the machine came up without a part of what it is for",
        fix="`systemctl --failed`; mend the unit, then systemctl reset-failed",
        find=find_failed_units,
        profiles=_RUNNING,
    ),
    Check(
        id="cloud-init-status",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="users, keys or network of this machine may not be what its cloud-init data asks for",
        fix="`cloud-init status --long; cloud-init analyze show`",
        find=find_cloud_init_trouble,
        profiles=_RUNNING,
    ),
    Check(
        id="disk-grown",
        severity=Severity.WARN,
        subject=Subject.DISK,
        why="the machine runs full at the template's size, with space left on its disk",
        fix="`for name in growpart resizefs; do cloud-init single --name $name --frequency always; done`",
        find=find_ungrown_root,
        profiles=_RUNNING,
    ),
    Check(
        id="sshd-in-effect",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="the server lets in by ways that the files under /etc/ssh forbid",
        fix="`sshd -T | grep -Ei 'password|rootlogin'; systemctl restart ssh.service`",
        find=find_sshd_in_effect,
        profiles=_RUNNING,
    ),
)
