"""What two booted clones showed, judged: everything is compared or read by us, nothing is believed because a guest
calls itself healthy. A clone that nobody can enter says "running" and "cloud-init done" as well.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from imagekit.host.ssh import HostKey
from imagekit.machine.guest import GuestFacts
from imagekit.machine.wait import BootStopped
from imagekit.report import Finding, NotObserved, Severity

MIB = 1 << 20
# A GPT keeps 33 sectors at the end and growpart aligns to a MiB; ext4's own tables take up to 5 % of its device.
_UNUSED_LIMIT = 32 * MIB
_FILESYSTEM_SHARE = 0.90

_Seen = TypeVar("_Seen")


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of one clone. ``None`` means that it could not be seen; ``stopped`` says why."""

    name: str
    console: str
    disk_bytes: int
    facts: GuestFacts | None = None
    stopped: BootStopped | None = None
    host_key: HostKey | None = None
    methods: tuple[str, ...] | None = None
    foreign_key_accepted: bool | None = None
    password_accepted: bool | None = None
    agent_answers: bool | None = None
    seconds: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Fault:
    """What a check found: where, what, why it hurts, what mends it."""

    path: str
    found: str
    why: str
    fix: str


class Unseen(Exception):
    """The subject of a check was not seen; the message says why."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What this proof expects beside what is always true: the login user and who else may exist."""

    user: str
    allow_users: tuple[str, ...]


Clones = Sequence[Observation]
Check = Callable[[Clones, Rules], Iterator[Fault]]


def judge_clones(clones: Clones, rules: Rules) -> tuple[list[Finding], list[str], list[NotObserved]]:
    """Return findings, the ids of checks that passed, and the checks whose subject was not seen."""
    findings: list[Finding] = []
    passed: list[str] = []
    unseen: list[NotObserved] = []
    for check_id, check in CHECKS.items():
        try:
            faults = list(check(clones, rules))
        except Unseen as reason:
            unseen.append(NotObserved(check_id, str(reason)))
            continue
        # What both clones show alike is one finding.
        for f in dict.fromkeys(faults):
            findings.append(Finding(check_id, Severity.FAIL, f.path, f.found, f.why, f.fix))
        if not faults:
            passed.append(check_id)
    return findings, passed, unseen


def _facts(clone: Observation) -> GuestFacts:
    if clone.facts is None:
        raise Unseen(clone.stopped.message if clone.stopped else f"{clone.name} was not asked")
    return clone.facts


def _seen(clone: Observation, value: _Seen | None) -> _Seen:
    if value is None:
        raise Unseen(clone.stopped.message if clone.stopped else f"{clone.name} did not tell")
    return value


def _check_machine(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    for clone in clones:
        if clone.stopped and clone.stopped.fault and clone.stopped.fault.machine:
            yield Fault(
                clone.console,
                clone.stopped.fault.evidence,
                "the emulated machine broke, so nothing was proven; this says nothing about the image",
                "run the proof again; if it happens again, use a host with KVM or a newer QEMU",
            )


def _check_ssh(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    for clone in clones:
        if clone.stopped and not (clone.stopped.fault and clone.stopped.fault.machine):
            yield Fault(
                clone.console,
                clone.stopped.message,
                "a clone that cannot be entered with the key given to cloud-init is of no use",
                _explain_unreachable(clone),
            )
    if any(clone.stopped for clone in clones):
        return
    for clone in clones:
        _seen(clone, clone.methods)


# What stopped the boot, in the words of imagekit.machine.serial, and the offline checks that look for such dirt.
LIKELY = (
    ("first-boot wizard", ("first-boot-wizard",)),
    ("machine-id is missing", ("machine-id",)),
    ("emergency mode", ("fstab-devices", "fs-clean")),
    ("start job did not end", ("fstab-devices", "wait-online")),
    ("initramfs did not find", ("boot-references", "virtio-initramfs")),
    ("could not mount its root", ("boot-references", "virtio-initramfs")),
    ("could not load a kernel", ("kernel-files", "boot-references")),
    ("boot loader has no configuration", ("boot-references",)),
    ("firmware found nothing", ("uefi-fallback", "uefi-binary")),
)


def _explain_unreachable(clone: Observation) -> str:
    """Name the likeliest cause that the guest told through its agent, else point to the console."""
    cause = clone.stopped.fault.cause if clone.stopped and clone.stopped.fault else ""
    for words, checks in LIKELY:
        if words in cause:
            names = " and ".join(f"imagekit verify --explain {check}" for check in checks)
            return f"see {names}, and the console in {clone.console}"
    facts = clone.facts
    if facts is None:
        return f"read the console's end in {clone.console}"
    if facts.cloud_disabled:
        return "cloud-init is disabled in the image: remove /etc/cloud/cloud-init.disabled or cloud-init=disabled"
    if facts.cloud_datasource and "NoCloud" not in facts.cloud_datasource and "nocloud" not in facts.cloud_datasource:
        return f"cloud-init used datasource {facts.cloud_datasource}: let the image's datasource_list have NoCloud"
    if not facts.addresses:
        return "the guest has no address: look for network settings bound to the builder's card"
    if facts.failed_units:
        return f"these units failed: {', '.join(facts.failed_units)}"
    return f"read the console's end in {clone.console}"


def _check_cloud_init(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    for clone in clones:
        facts = _facts(clone)
        why = "users, keys, host name and disk size of a clone come from cloud-init"
        if facts.cloud_disabled:
            fix = "remove /etc/cloud/cloud-init.disabled and cloud-init=disabled from the kernel command line"
            yield Fault("/run/cloud-init/disabled", f"cloud-init is disabled in {clone.name}", why, fix)
        elif facts.cloud_errors:
            fix = "read /var/log/cloud-init.log in a clone"
            yield Fault("/run/cloud-init/result.json", "; ".join(facts.cloud_errors)[:500], why, fix)
        elif not facts.cloud_finished:
            waiting = f", the boot waits for {', '.join(facts.jobs)}" if facts.jobs else ""
            fix = "read /var/log/cloud-init.log in a clone"
            yield Fault("/run/cloud-init/status.json", f"not done in {clone.name}{waiting}", why, fix)


def _check_failed_units(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    for clone in clones:
        failed = _seen(clone, _facts(clone).failed_units)
        if failed:
            yield Fault(
                "systemctl --failed",
                f"{clone.name}: {', '.join(failed)}",
                "what fails on the first boot of a clone fails on every clone",
                f"read systemctl status {failed[0]} in a clone",
            )


def _check_machine_id(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    ids = [_facts(clone).machine_id for clone in clones]
    why = "DHCP identifies machines by it: two clones with one id get one lease"
    fix = "leave /etc/machine-id empty in the image, and no regular file at /var/lib/dbus/machine-id"
    if not all(ids) or "uninitialized" in ids:
        yield Fault("/etc/machine-id", "a clone has no machine id", why, fix)
    elif len(set(ids)) < len(ids):
        yield Fault("/etc/machine-id", f"both clones have {ids[0]}", why, fix)


def _check_host_keys(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    sets = [frozenset(_facts(clone).host_keys) for clone in clones]
    why = "whoever has one clone can pose as every other"
    if not all(sets):
        fix = "let cloud-init or a unit make the keys on first boot"
        yield Fault("/etc/ssh", "a clone has no SSH host keys", "sshd does not start without host keys", fix)
        return
    for key in sorted(frozenset.intersection(*sets), key=lambda key: key.type):
        fix = "remove /etc/ssh/ssh_host_* from the image"
        yield Fault("/etc/ssh", f"both clones have {key.type} {key.fingerprint}", why, fix)
    for clone, keys in zip(clones, sets, strict=True):
        if clone.host_key is not None and clone.host_key not in keys:
            found = f"{clone.name} shows {clone.host_key.fingerprint}, which is none of its files"
            yield Fault("/etc/ssh", found, why, "look for HostKey lines in /etc/ssh/sshd_config*")


def _check_hostname(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    for clone in clones:
        hostname = _seen(clone, _facts(clone).hostname or None)
        if hostname.partition(".")[0] != clone.name:
            yield Fault(
                "/etc/hostname",
                f"the clone named {clone.name} calls itself {hostname}",
                "clones that share a name are mixed up in DNS, logs and monitoring",
                "remove preserve_hostname from /etc/cloud/cloud.cfg.d and leave /etc/hostname to cloud-init",
            )


def _check_root_grown(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    why = "a clone with a larger disk would run full at the image's size"
    for clone in clones:
        facts = _facts(clone)
        root, device = _seen(clone, facts.root_bytes), _seen(clone, facts.root_device_bytes)
        unused = facts.unused_bytes if facts.unused_bytes is not None else clone.disk_bytes - device
        if unused > _UNUSED_LIMIT:
            found = f"{unused // MIB} MiB of {clone.disk_bytes // MIB} MiB behind root's partition are unused"
            yield Fault("/", found, why, "let growpart run: look for growpart in /etc/cloud/cloud.cfg.d")
        elif root < device * _FILESYSTEM_SHARE:
            found = f"the filesystem has {root // MIB} MiB of its device's {device // MIB} MiB"
            yield Fault("/", found, why, "let resize_rootfs run: look for resize_rootfs in /etc/cloud/cloud.cfg.d")


def _check_password(clones: Clones, rules: Rules) -> Iterator[Fault]:
    for clone in clones:
        methods = _seen(clone, clone.methods)
        why = "a password can be guessed from anywhere; a key cannot"
        fix = "set PasswordAuthentication no and KbdInteractiveAuthentication no before cloud-init's drop-in"
        if methods != ("publickey",):
            yield Fault("/etc/ssh", f"{clone.name} offers {', '.join(methods)} to user {rules.user}", why, fix)
        if _seen(clone, clone.password_accepted):
            yield Fault("/etc/ssh", f"{clone.name} let user {rules.user} in with a password made up by us", why, fix)


def _check_sshd(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    wanted = {
        "passwordauthentication": ("no",),
        "kbdinteractiveauthentication": ("no",),
        "permitrootlogin": ("no", "without-password", "prohibit-password", "forced-commands-only"),
        "permitemptypasswords": ("no",),
    }
    for clone in clones:
        sshd = _seen(clone, _facts(clone).sshd or None)
        for keyword, allowed in wanted.items():
            if sshd.get(keyword) not in allowed:
                found = f"{clone.name}: {keyword} {sshd.get(keyword, 'is not told')}"
                why = "this is the policy in force in a running clone, whatever the files say"
                fix = "the first value wins: put it into a drop-in that sorts before all others"
                yield Fault("/etc/ssh/sshd_config", found[:200], why, fix)


def _check_agent(clones: Clones, _rules: Rules) -> Iterator[Fault]:
    for clone in clones:
        if not _seen(clone, clone.agent_answers):
            yield Fault(
                "qemu-guest-agent.service",
                f"the agent of {clone.name} does not answer; its unit is {_facts(clone).agent_state or 'unknown'}",
                "Proxmox learns addresses and freezes filesystems for backups through it",
                "install qemu-guest-agent in the image; udev starts it on Debian, so it needs no enabling",
            )


def _check_foreign_key(clones: Clones, rules: Rules) -> Iterator[Fault]:
    for clone in clones:
        if _seen(clone, clone.foreign_key_accepted):
            yield Fault(
                "/etc/ssh",
                f"{clone.name} let user {rules.user} in with a key that nobody named",
                "anybody can enter",
                "look for AuthorizedKeysCommand and AuthenticationMethods in /etc/ssh/sshd_config*",
            )


def _check_accounts(clones: Clones, rules: Rules) -> Iterator[Fault]:
    named = {rules.user, *rules.allow_users}
    for clone in clones:
        facts = _facts(clone)
        for account in sorted(set(facts.accounts) - named):
            why = "an account from the build exists on every clone"
            yield Fault("/etc/passwd", f"{clone.name} has account {account}", why, f"userdel --remove {account}")
        for account in _seen(clone, facts.password_accounts):
            why = "one password, known or guessed once, opens every clone"
            yield Fault("/etc/shadow", f"{clone.name}: {account} has a password", why, f"passwd --lock {account}")


CHECKS: dict[str, Check] = {
    "boot-machine-fault": _check_machine,
    "boot-ssh": _check_ssh,
    "boot-cloud-init": _check_cloud_init,
    "boot-failed-units": _check_failed_units,
    "boot-machine-id-unique": _check_machine_id,
    "boot-host-keys-unique": _check_host_keys,
    "boot-hostname": _check_hostname,
    "boot-root-grown": _check_root_grown,
    "boot-password-refused": _check_password,
    "boot-sshd-policy": _check_sshd,
    "boot-agent": _check_agent,
    "boot-foreign-key": _check_foreign_key,
    "boot-accounts": _check_accounts,
}
