"""SSH keys: no key of the build remains, and every clone makes its own.

Source of the rules: sshd(8), ssh-keygen(1), cloud-init's ``cc_ssh.py``, Debian's openssh-server units, Packer's
``step_cleanup_temp_keys.go``.
"""

from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import (
    ALL_PROFILES,
    CLONES_TOO,
    EVERYWHERE,
    MACHINES,
    Check,
    Policy,
    Profile,
    Seen,
    Subject,
)
from imagekit.verify.evidence import PRIVATE_KEY, PublicKey, read_public_key
from imagekit.verify.facts.accounts import find_homes
from imagekit.verify.facts.cloud_config import makes_host_keys
from imagekit.verify.facts.sshd import read_sshd_policy
from imagekit.verify.facts.system import is_first_boot
from imagekit.verify.facts.units import find_unit, is_enabled, read_pulls
from imagekit.verify.view import CannotSee, View, fact

_SSH = "/etc/ssh"
_SERVICES = ("ssh.service", "sshd.service")
_SOCKETS = ("ssh.socket", "sshd.socket")
_KEY_LIMIT = 64 << 10
_MOST_PATTERNS = 16
_MOST_KEYS = 32
# SHA-256 fingerprints of the two key pairs that Vagrant publishes, private halves included (its keys/ directory).
_PUBLISHED = (
    "SHA256:1M4RzhMyWuFS/86uPY/ce2prh/dVTHW7iD2RhpquOZA",
    "SHA256:WkvqjnyPAeC0cbPErYiGP9vqHdgL1MqqvPdIe3lvHgI",
)


def _need_server(view: View) -> None:
    if not view.is_file("/usr/sbin/sshd"):
        raise CannotSee("the image has no SSH server")


@fact
def list_host_keys(view: View) -> dict[str, bool]:
    """Return the path of each host key file and whether it is a private key; ``HostKey`` may name other places."""
    keys: dict[str, bool] = {}
    paths = [path for path, _ in view.children(_SSH) if path.startswith(f"{_SSH}/ssh_host_")]
    try:
        named = [setting.value for setting in read_sshd_policy(view).list_values("hostkey")][:_MOST_KEYS]
    except CannotSee:
        named = []
    for path in dict.fromkeys([*paths, *(path for path in named if view.is_file(path))]):
        keys[path] = bool(PRIVATE_KEY.search(view.text(path, _KEY_LIMIT) or ""))
    for directory in ("/etc/dropbear", "/etc/dropbear/initramfs", "/etc/dropbear-initramfs"):
        keys |= {path: True for path, _ in view.children(directory, "_host_key")}
    for path, node in view.children("/etc/tinyssh/sshkeydir"):
        if node.type is FileType.FILE and "/." in path:
            keys[path] = True
    return keys


def find_host_keys(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for host keys of OpenSSH, dropbear and tinyssh; a machine that runs must have one, an image none.

    A public half without its private key is left over from one.
    """
    keys = list_host_keys(view)
    if policy.profile is Profile.CLONE:
        _need_server(view)
        if not any(keys.values()):
            yield Seen(_SSH, "a running machine without a host key", fix="ssh-keygen -A && systemctl restart ssh")
        return
    for path, private in keys.items():
        base = path.removesuffix(".pub").removesuffix("-cert")
        if private:
            public = read_public_key(view.text(f"{path}.pub", _KEY_LIMIT) or "")
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


def find_authorized_keys(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for key lines wherever sshd or a person would look for them.

    A machine that runs has keys; there, only those of a build are wrong. Vagrant's published keys are wrong even for an
    account that the definition names.
    """
    for path, owner in _list_key_files(view).items():
        for line in view.lines(path):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            key = read_public_key(line)
            builder = _name_builder(key)
            if _is_published(key) or (builder and owner not in policy.allow_users):
                yield Seen(path, f"lets in {builder}: {key}")
            elif owner not in policy.allow_users and policy.profile is not Profile.CLONE:
                yield Seen(path, f"lets in {key or 'an unknown kind of key'}")


def _list_key_files(view: View) -> dict[str, str]:
    """Return each file that may hold authorized keys, and whose."""
    paths: dict[str, str] = {}
    homes = find_homes(view)
    for home, owner in homes.items():
        for path, _ in view.children(f"{home}/.ssh"):
            if path.rsplit("/", 1)[-1].startswith("authorized_keys"):
                paths.setdefault(path, owner)
    for path, _ in view.children(f"{_SSH}/authorized_keys.d"):
        paths.setdefault(path, path.rsplit("/", 1)[-1])
    try:
        sshd = read_sshd_policy(view)
    except CannotSee:
        return paths
    values = [sshd.get("authorizedkeysfile").value]
    values += [block.settings[key].value for block in sshd.blocks if (key := "authorizedkeysfile") in block.settings]
    patterns = dict.fromkeys(word for value in values for word in value.split() if word != "none")
    for pattern in list(patterns)[:_MOST_PATTERNS]:
        for home, owner in homes.items():
            path = pattern.replace("%h", home).replace("%u", owner).replace("%%", "%")
            paths.setdefault(path if path.startswith("/") else f"{home}/{path}", owner)
    return paths


def _is_published(key: PublicKey | None) -> bool:
    return key is not None and key.fingerprint in _PUBLISHED


def _name_builder(key: PublicKey | None) -> str:
    """Say whose key it is when it comes from a build, by its fingerprint or comment; empty for other keys."""
    if key is None:
        return ""
    if _is_published(key):
        return "everybody, with Vagrant's published key"
    comment = key.comment.lower()
    if comment.startswith("packer"):
        return "Packer, with its temporary key"
    return "the build machine" if comment.startswith(("root@build", "root@packer", "builder@")) else ""


def find_private_keys(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for private keys in homes and in the places where deployments put them; host keys have their own check."""
    host_keys = list_host_keys(view)
    for place in ("/root", "/home", _SSH, "/opt", "/srv"):
        for path, node in view.files_below(place):
            name = path.rsplit("/", 1)[-1]
            is_candidate = name.startswith("id_") or name.endswith((".pem", ".key")) or "/.ssh/" in path
            if node.type is not FileType.FILE or not is_candidate or path in host_keys:
                continue
            if PRIVATE_KEY.search(view.text(path, _KEY_LIMIT) or ""):
                yield Seen(path, "a private key")


def find_known_hosts(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the machines that the build has talked to: homes' ``known_hosts``, and the one for everybody."""
    for home in find_homes(view):
        for path, _ in view.children(f"{home}/.ssh"):
            if path.rsplit("/", 1)[-1].startswith("known_hosts") and (count := _count_hosts(view, path)):
                yield Seen(path, f"{count} known hosts")
    for path in (f"{_SSH}/ssh_known_hosts", f"{_SSH}/ssh_known_hosts2"):
        if count := _count_hosts(view, path):
            yield Seen(path, f"{count} known hosts", Severity.INFO)


def _count_hosts(view: View, path: str) -> int:
    return sum(1 for line in view.lines(path) if line.strip() and not line.lstrip().startswith("#"))


CHECKS = (
    Check(
        id="ssh-host-keys",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="whoever has one clone's key can impersonate all of them",
        fix="rm -f /etc/ssh/ssh_host_*",
        find=find_host_keys,
        profiles=ALL_PROFILES,
        never_published=True,
    ),
    Check(
        id="ssh-host-key-regeneration",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="sshd without host keys does not start, so the clone cannot be reached",
        fix="systemctl enable cloud-init-local.service  # or a unit that runs ssh-keygen -A",
        find=find_key_regeneration,
        profiles=MACHINES,
    ),
    Check(
        id="authorized-keys",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="whoever holds the build's key can log in to every clone",
        fix="rm -f /root/.ssh/authorized_keys* /home/*/.ssh/authorized_keys*  # clones get their keys from cloud-init",
        find=find_authorized_keys,
        profiles=CLONES_TOO,  # a card's keys are in its configuration, and there must be one: sd-access
    ),
    Check(
        id="private-keys",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="a key of the builder is handed to every clone",
        fix="rm -f /root/.ssh/id_* /home/*/.ssh/id_*  # and replace the key wherever it is accepted",
        find=find_private_keys,
        profiles=(*EVERYWHERE, Profile.SD_IMAGE),
    ),
    Check(
        id="known-hosts",
        severity=Severity.WARN,
        subject=Subject.SSH,
        why="a map of the build's network is handed to whoever gets a clone",
        fix="rm -f /root/.ssh/known_hosts* /home/*/.ssh/known_hosts* /etc/ssh/ssh_known_hosts*",
        find=find_known_hosts,
        profiles=(*EVERYWHERE, Profile.SD_IMAGE),
    ),
)
