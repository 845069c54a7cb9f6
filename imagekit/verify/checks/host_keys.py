"""SSH host keys: none in an image, and every clone makes its own.

Source of the rules: sshd(8), ssh-keygen(1), cloud-init's ``cc_ssh.py``, Debian's openssh-server units.
"""

from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import ALL_PROFILES, MACHINES, Check, Policy, Profile, Seen, Subject
from imagekit.verify.evidence import read_public_key
from imagekit.verify.facts.cloud_config import makes_host_keys
from imagekit.verify.facts.host_keys import KEY_LIMIT, list_host_keys
from imagekit.verify.facts.system import is_first_boot
from imagekit.verify.facts.units import find_unit, is_enabled, read_pulls
from imagekit.verify.view import CannotSee, View

_SSH = "/etc/ssh"
_SERVICES = ("ssh.service", "sshd.service")
_SOCKETS = ("ssh.socket", "sshd.socket")


def _need_server(view: View) -> None:
    if not view.is_file("/usr/sbin/sshd"):
        raise CannotSee("the image has no SSH server")


def find_host_keys(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for host keys of OpenSSH, dropbear and tinyssh; a machine that runs must have one, an image none.

    A public half without its private key is left over from one.
    """
    keys = list_host_keys(view)
    if policy.profile is Profile.CLONE:
        _need_server(view)
        if not any(keys.values()):
            yield Seen(_SSH, "a running machine without a host key", fix="`ssh-keygen -A && systemctl restart ssh`")
        return
    for path, private in keys.items():
        base = path.removesuffix(".pub").removesuffix("-cert")
        if private:
            public = read_public_key(view.text(f"{path}.pub", KEY_LIMIT) or "")
            yield Seen(path, f"private host key{f' of {public}' if public else ''}")
        elif base == path or not keys.get(base):
            yield Seen(path, "a host key file without a private key", Severity.WARN)


def find_key_regeneration(view: View, _policy: Policy) -> Iterator[Seen]:
    """With no key in the image, something that boot starts must make one."""
    _need_server(view)
    if any(list_host_keys(view).values()):
        return
    try:
        if makes_host_keys(view):
            return
    except CannotSee:  # no cloud-init configuration: a unit may still do it
        pass
    if not any(_unit_makes_keys(view, name) for name in _started_units(view)):
        yield Seen(_SSH, "no host key, and neither cloud-init nor a unit will make one")


def _started_units(view: View) -> list[str]:
    """Return the units that boot starts, and those that the SSH server's unit itself names."""
    names = set(read_pulls(view)) | {"sshd-keygen.service"}
    for service in _SERVICES:
        unit = find_unit(view, service)
        if unit is None or not (unit.enabled or is_enabled(view, *_SOCKETS)):
            continue
        for line in unit.text.splitlines():
            key, _, value = line.partition("=")
            if key.strip() in ("Wants", "Requires"):
                names.update(value.split())
    return sorted(names)


def _unit_makes_keys(view: View, name: str) -> bool:
    """Say whether a unit makes host keys on the next boot; ``ConditionFirstBoot`` needs a first boot."""
    if name == "sshd-keygen.target":
        return find_unit(view, "sshd-keygen@.service") is not None
    unit = find_unit(view, name)
    if unit is None or unit.masked:
        return False
    makes = any(
        line.lstrip().startswith("Exec") and ("ssh-keygen -A" in line or "sshd-keygen" in line)
        for line in unit.text.splitlines()
    )
    if "ConditionFirstBoot=yes" in unit.text and not is_first_boot(view):
        return False
    # Debian 13's unit has no [Install] link of its own kind: ssh.service wants it.
    wanted = bool(unit.pulled_by) or any(
        name in service.text for each in _SERVICES if (service := find_unit(view, each)) is not None
    )
    return makes and wanted


CHECKS = (
    Check(
        id="ssh-host-keys",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="whoever has one clone's key can impersonate all of them",
        fix="`rm -f /etc/ssh/ssh_host_*`",
        find=find_host_keys,
        profiles=ALL_PROFILES,
        never_published=True,
    ),
    Check(
        id="ssh-host-key-regeneration",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="sshd without host keys does not start, so the clone cannot be reached",
        fix="`systemctl enable cloud-init-local.service`, or a unit that runs ssh-keygen -A",
        find=find_key_regeneration,
        profiles=MACHINES,
    ),
)
