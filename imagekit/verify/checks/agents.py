"""State that means "this machine": agents and enrolments that must not exist twice, and those of another cloud.

Source of the rules: the vendors' instructions for golden images, where they have some; tailscale 392 and 5405;
WALinuxAgent's deprovisioning; Vagrant's documentation of base boxes.
"""

import re
from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import ALL_PROFILES, EVERYWHERE, MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.checks.rows import COPIED, look_for_rows
from imagekit.verify.facts.accounts import read_accounts
from imagekit.verify.facts.agent_state import AGENT_ROWS
from imagekit.verify.facts.machine_state import find_state_homes
from imagekit.verify.facts.state_rows import Row
from imagekit.verify.facts.units import Unit, find_unit
from imagekit.verify.view import CannotSee, View

_SNAPD_STATE = "/var/lib/snapd/state.json"
_SNAPD_LIMIT = 8 << 20
_NEUTRAL_NAMES = ("", "localhost", "localhost.localdomain", "localdomain", "debian", "ubuntu", "fedora", "nixos")
_FOREIGN_UNITS = (
    "open-vm-tools.service", "vmtoolsd.service", "vmware-tools.service", "vboxadd.service", "vboxadd-service.service",
    "virtualbox-guest-utils.service", "vboxservice.service", "hypervkvpd.service", "hypervvssd.service",
    "hv-kvp-daemon.service", "hyperv-daemons.hv-kvp-daemon.service", "walinuxagent.service", "waagent.service",
    "google-guest-agent.service", "google-startup-scripts.service", "google-osconfig-agent.service",
    "amazon-ssm-agent.service", "snap.amazon-ssm-agent.amazon-ssm-agent.service", "hibinit-agent.service",
    "oracle-cloud-agent.service", "droplet-agent.service", "xe-daemon.service", "xe-linux-distribution.service",
    "prltoolsd.service",
)  # fmt: skip
_FOREIGN_STATE = (
    Row("/var/lib/waagent", "what Azure's agent keeps about its machine"),
    Row("/var/lib/amazon/ssm/Vault/Store", "a machine's registration at AWS Systems Manager"),
)
_CONDITION = re.compile(r"^[ \t]*ConditionVirtualization[ \t]*=[ \t]*\|?([\w-]+)[ \t]*$", re.MULTILINE)
_HERE = ("yes", "true", "on", "1", "vm", "kvm", "qemu")  # systemd.unit(5): what a Proxmox guest would meet


def find_snapd_identity(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for the device's serial in snapd's state, its key and its assertion; a preseeded image has none of them."""
    yield from _find_snapd_files(view, policy)
    serial = _read_snapd_serial(view.text(_SNAPD_STATE, _SNAPD_LIMIT) or "")
    if serial:
        yield Seen(_SNAPD_STATE, f"a device registered with a serial that begins with {serial[:4]}")


_find_snapd_files = look_for_rows(AGENT_ROWS["snapd-identity"], "Look for the device's key and assertion.")


def _read_snapd_serial(text: str) -> str:
    """Return ``data.auth.device.serial`` of snapd's state; what is no JSON has none (snapd makes it anew)."""
    if '"serial"' not in text:
        return ""
    import json

    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    for key in ("data", "auth", "device", "serial"):
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def find_mail_identity(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the build machine's name in the mail system's configuration."""
    name = (view.text("/etc/mailname", 4096) or "").strip().partition("\n")[0]
    if name.lower() not in _NEUTRAL_NAMES:
        yield Seen("/etc/mailname", f"mail is sent as {name}", fix="`rm /etc/mailname`")
    path, fix = "/etc/postfix/main.cf", "postconf -X myhostname"
    for line in view.lines(path):
        key, equals, value = line.partition("=")
        if equals and key.strip() in ("myhostname", "mydomain") and _is_fixed_name(value):
            yield Seen(path, f"{key.strip()} is {value.strip()}", fix=fix)
    path = "/etc/exim4/update-exim4.conf.conf"
    for line in view.lines(path):
        key, equals, value = line.partition("=")
        if equals and key.strip() in ("dc_other_hostnames", "dc_readhost"):
            names = [each for each in re.split(r"[:;\s]+", value.strip().strip("'\"")) if _is_fixed_name(each)]
            if names:
                yield Seen(
                    path, f"{key.strip()} is {', '.join(names)}", fix="dpkg-reconfigure -f noninteractive exim4-config"
                )


def _is_fixed_name(value: str) -> bool:
    value = value.strip().strip("'\"").lower()
    return value not in _NEUTRAL_NAMES and not value.startswith("$")


def find_foreign_agents(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for enabled agents of other hypervisors and clouds; a unit that asks where it runs waits for nobody."""
    for name in _FOREIGN_UNITS:
        unit = find_unit(view, name)
        if unit is not None and unit.enabled and not _stays_off(unit):
            yield Seen(unit.path, "boot starts it", fix=f"`systemctl disable {name}`")
    yield from _find_foreign_state(view, policy)


_find_foreign_state = look_for_rows(_FOREIGN_STATE, "Look for what other clouds' agents keep.")


def _stays_off(unit: Unit) -> bool:
    """Say whether the unit's own condition keeps it from starting in a guest of QEMU."""
    wanted = _CONDITION.findall(unit.text)
    return bool(wanted) and not any(kind in _HERE for kind in wanted)


def find_vagrant_leftovers(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for a Vagrant box: its account and its marks, unless the definition asks for that account."""
    if "vagrant" in policy.allow_users:
        return
    try:
        accounts = read_accounts(view)
    except CannotSee:
        accounts = ()
    for account in accounts:
        if account.name == "vagrant":
            yield Seen("/etc/passwd", "user vagrant, whose key and password are published", fix="`userdel -rf vagrant`")
    for path, _ in view.children("/etc/sudoers.d"):
        if "vagrant" in path.rsplit("/", 1)[-1].lower():
            yield Seen(path, "rights of user vagrant", fix="`rm /etc/sudoers.d/*vagrant*`")
    marks = ["/vagrant", "/etc/vagrant_box_build_time"]
    marks += [f"{home}/{name}" for home in find_state_homes(view) for name in (".vbox_version", ".vmware_version")]
    for path in marks:
        if view.tree.lstat(path) is not None:
            yield Seen(path, "left by the making of a Vagrant box", fix="rebuild from a cloud image")


CHECKS = (
    Check(
        id="overlay-network",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="two machines with one key fight over one address, and the key opens the private network",
        fix='`rm -rf "$path"`; every clone makes its own',
        find=look_for_rows(AGENT_ROWS["overlay-network"], "Look for keys of VPNs, overlay networks and tunnels."),
        profiles=COPIED,
    ),
    Check(
        id="config-management",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="all clones are one client to the server, and each of them may read its secrets",
        fix='`rm -rf "$path"`; every clone asks for its own',
        find=look_for_rows(
            AGENT_ROWS["config-management"], "Look for keys of Salt, Puppet, Chef, CFEngine and Ansible."
        ),
        profiles=COPIED,
    ),
    Check(
        id="subscription",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="all clones use one machine's subscription, and the vendor's list shows one of them",
        fix="`subscription-manager clean || pro detach --assume-yes`",
        find=look_for_rows(AGENT_ROWS["subscription"], "Look for a machine's registration at its vendor."),
        profiles=EVERYWHERE,
    ),
    Check(
        id="snapd-identity",
        severity=Severity.WARN,
        subject=Subject.AGENTS,
        why="all clones are one device to the store",
        fix="`systemctl stop snapd; rm -rf /var/lib/snapd/state.json /var/lib/snapd/device /var/lib/snapd/assertions`",
        find=find_snapd_identity,
        profiles=EVERYWHERE,
    ),
    Check(
        id="directory-join",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="all clones are one account of the domain, and whoever has a clone has that account",
        fix="`realm leave`",
        find=look_for_rows(AGENT_ROWS["directory-join"], "Look for a domain's keys, caches and passwords."),
        profiles=COPIED,
    ),
    Check(
        id="monitoring-identity",
        severity=Severity.WARN,
        subject=Subject.AGENTS,
        why="all clones are one node in the dashboard, and logs before a copied position are never sent",
        fix='`rm -rf "$path"`, with the agent stopped',
        find=look_for_rows(AGENT_ROWS["monitoring-identity"], "Look for ids, keys and positions of monitoring agents."),
        profiles=COPIED,
    ),
    Check(
        id="security-agents",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="alerts of one clone are shown for another",
        fix="follow the vendor's steps for golden images",
        find=look_for_rows(AGENT_ROWS["security-agents"], "Look for enrolments of security agents."),
        profiles=COPIED,
    ),
    Check(
        id="ci-runners",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="every clone takes jobs, with the secrets in them",
        fix='`rm -rf "$path"`, with the runner unregistered',
        find=look_for_rows(AGENT_ROWS["ci-runners"], "Look for registrations of runners."),
        profiles=COPIED,
    ),
    Check(
        id="backup-clients",
        severity=Severity.WARN,
        subject=Subject.AGENTS,
        why="every clone can read and overwrite another host's backups",
        fix='`rm -rf "$path"`',
        find=look_for_rows(AGENT_ROWS["backup-clients"], "Look for keys, passwords and caches of backup programs."),
        profiles=COPIED,
    ),
    Check(
        id="host-counters",
        severity=Severity.INFO,
        subject=Subject.AGENTS,
        why="surveys and counters take all clones for one host",
        fix='`rm -rf "$path"`; it is made anew',
        find=look_for_rows(AGENT_ROWS["host-counters"], "Look for ids by which hosts are counted."),
        profiles=EVERYWHERE,
    ),
    Check(
        id="mail-identity",
        severity=Severity.WARN,
        subject=Subject.AGENTS,
        why="mail from clones names the build machine and is refused",
        fix="`rm /etc/mailname`",
        find=find_mail_identity,
        profiles=COPIED,
    ),
    Check(
        id="foreign-agents",
        severity=Severity.WARN,
        subject=Subject.AGENTS,
        why="the agent waits at boot for a host that is not there, or makes the users of another cloud",
        fix="`apt-get purge PACKAGE`, the agent's",
        find=find_foreign_agents,
        profiles=MACHINES,
    ),
    Check(
        id="vagrant-leftovers",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="the key and password of user vagrant are published, so anybody can log in",
        fix="`userdel -rf vagrant; rm -rf /etc/sudoers.d/*vagrant* /vagrant /etc/vagrant_box_build_time`",
        find=find_vagrant_leftovers,
        profiles=ALL_PROFILES,
    ),
)
