"""SSH: no key of the build remains, every clone makes its own, and nobody gets in with a password.

Source of the rules: sshd(8), sshd_config(5), cloud-init's ``cc_ssh.py``, Debian's openssh-server units.
"""

from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import EVERYWHERE, MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.evidence import PRIVATE_KEY, read_public_key
from imagekit.verify.facts.accounts import find_homes, has_password, read_accounts
from imagekit.verify.facts.cloud_config import is_off, makes_host_keys, read_cloud_config
from imagekit.verify.facts.sshd import read_sshd_policy
from imagekit.verify.facts.system import is_first_boot
from imagekit.verify.facts.units import find_unit, is_enabled, read_pulls
from imagekit.verify.view import CannotSee, View

_SSH = "/etc/ssh"
_SERVICES = ("ssh.service", "sshd.service")
_SOCKETS = ("ssh.socket", "sshd.socket")
_KEY_LIMIT = 64 << 10
_MOST_PATTERNS = 16


def _need_server(view: View) -> None:
    if not view.is_file("/usr/sbin/sshd"):
        raise CannotSee("the image has no SSH server")


def list_host_keys(view: View) -> Iterator[tuple[str, bool]]:
    """Yield the path of each host key file and whether it is a private key."""
    for path, _ in view.children(_SSH):
        if path.startswith(f"{_SSH}/ssh_host_"):
            yield path, bool(PRIVATE_KEY.search(view.text(path, _KEY_LIMIT) or ""))
    for directory in ("/etc/dropbear", "/etc/dropbear/initramfs", "/etc/dropbear-initramfs"):
        for path, _ in view.children(directory, "_host_key"):
            yield path, True
    for path, node in view.children("/etc/tinyssh/sshkeydir"):
        if node.type is FileType.FILE and "/." in path:
            yield path, True


def find_host_keys(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for private host keys of OpenSSH, dropbear and tinyssh, and for public halves without one."""
    keys = dict(list_host_keys(view))
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
    if any(private for _, private in list_host_keys(view)):
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
    """Look for key lines wherever sshd or a person would look for them."""
    paths: dict[str, str] = {}
    homes = find_homes(view)
    for home, owner in homes.items():
        for path, _ in view.children(f"{home}/.ssh"):
            if path.rsplit("/", 1)[-1].startswith("authorized_keys"):
                paths.setdefault(path, owner)
    for path, _ in view.children(f"{_SSH}/authorized_keys.d"):
        paths.setdefault(path, path.rsplit("/", 1)[-1])
    try:
        patterns = read_sshd_policy(view).get("authorizedkeysfile").value.split()[:_MOST_PATTERNS]
    except CannotSee:
        patterns = []
    for pattern in patterns if patterns != ["none"] else []:
        for home, owner in homes.items():
            path = pattern.replace("%h", home).replace("%u", owner).replace("%%", "%")
            paths.setdefault(path if path.startswith("/") else f"{home}/{path}", owner)
    for path, owner in paths.items():
        if owner in policy.allow_users:
            continue
        for line in view.lines(path):
            if line.strip() and not line.lstrip().startswith("#"):
                yield Seen(path, f"lets in {read_public_key(line) or 'an unknown kind of key'}")


def find_password_login(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at what sshd would decide about passwords, and whether any account has one."""
    setting = read_sshd_policy(view).allows_passwords()
    if setting is None:
        return
    holders = [account.name for account in read_accounts(view) if account.can_log_in and has_password(view, account)]
    if holders:
        yield Seen(setting.path, f"passwords are accepted, and {', '.join(holders[:5])} can use one")
        return
    try:
        mended = is_off(read_cloud_config(view).get("ssh_pwauth"))
    except CannotSee:
        mended = False
    severity = Severity.INFO if mended else Severity.WARN
    yield Seen(setting.path, "passwords are accepted; no account has a usable one now", severity)


def find_root_login(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the effective ``PermitRootLogin``."""
    setting = read_sshd_policy(view).get("permitrootlogin")
    match setting.value.lower():
        case "yes":
            yield Seen(setting.path, "PermitRootLogin yes")
        case "prohibit-password" | "without-password":
            yield Seen(setting.path, f"PermitRootLogin {setting.value}: root may log in with a key", Severity.INFO)


def find_empty_passwords(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the effective ``PermitEmptyPasswords``, in ``Match`` blocks too."""
    policy = read_sshd_policy(view)
    settings = [policy.get("permitemptypasswords")]
    settings += [block.settings[key] for block in policy.blocks if (key := "permitemptypasswords") in block.settings]
    for setting in settings:
        if setting.value.lower() == "yes":
            yield Seen(setting.path, "PermitEmptyPasswords yes")


def find_match_blocks(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for ``Match`` blocks that turn on passwords or root's password."""
    policy = read_sshd_policy(view)
    for block in policy.blocks:
        if block.settings and policy.allows_passwords(block):
            yield Seen(block.path, f"Match {block.criteria}: passwords are accepted")
        root = block.settings.get("permitrootlogin")
        if root is not None and root.value.lower() == "yes":
            yield Seen(block.path, f"Match {block.criteria}: PermitRootLogin yes")


def find_server_disabled(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether boot starts the SSH server, as a service or through its socket."""
    if not view.is_file("/usr/sbin/sshd"):
        yield Seen("/usr/sbin/sshd", "there is no SSH server")
        return
    if view.exists(f"{_SSH}/sshd_not_to_be_run"):
        yield Seen(f"{_SSH}/sshd_not_to_be_run", "the file exists: Debian's unit does not start sshd")
    if is_enabled(view, *_SERVICES, *_SOCKETS):
        service = next((unit for name in _SERVICES if (unit := find_unit(view, name)) is not None), None)
        if service is not None and service.masked:
            yield Seen(service.path, f"{service.name} is masked")
        return
    unit = next((unit for name in _SERVICES if (unit := find_unit(view, name)) is not None), None)
    what = "there is no unit for it" if unit is None else "masked" if unit.masked else "not enabled, nor is its socket"
    yield Seen(unit.path if unit else "/usr/lib/systemd/system/ssh.service", what)


def find_private_keys(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for private keys in homes and in the places where deployments put them; host keys have their own check."""
    for place in ("/root", "/home", _SSH, "/opt", "/srv"):
        for path, node in view.files_below(place):
            name = path.rsplit("/", 1)[-1]
            is_candidate = name.startswith("id_") or name.endswith((".pem", ".key")) or "/.ssh/" in path
            if node.type is not FileType.FILE or not is_candidate or path.startswith(f"{_SSH}/ssh_host_"):
                continue
            if PRIVATE_KEY.search(view.text(path, _KEY_LIMIT) or ""):
                yield Seen(path, "a private key")


CHECKS = (
    Check(
        id="ssh-host-keys",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="whoever has one clone's key can impersonate all of them",
        fix="rm -f /etc/ssh/ssh_host_*",
        find=find_host_keys,
        never_published=True,
    ),
    Check(
        id="ssh-host-key-regeneration",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="sshd without host keys does not start, so the clone cannot be reached",
        fix="enable cloud-init with its ssh module, or a unit that runs ssh-keygen -A",
        find=find_key_regeneration,
        profiles=MACHINES,
    ),
    Check(
        id="authorized-keys",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="whoever holds the build's key can log in to every clone",
        fix="remove the file; clones get their keys from cloud-init",
        find=find_authorized_keys,
    ),
    Check(
        id="sshd-password-login",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="passwords are guessed by machines that do nothing else",
        fix="PasswordAuthentication no and KbdInteractiveAuthentication no in a drop-in that sorts first (00-….conf)",
        find=find_password_login,
        profiles=EVERYWHERE,
    ),
    Check(
        id="sshd-root-login",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="root can be entered with a password",
        fix="PermitRootLogin no, or prohibit-password, in a drop-in that sorts first",
        find=find_root_login,
    ),
    Check(
        id="sshd-empty-passwords",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="an account with an empty password field is open to everybody",
        fix="remove PermitEmptyPasswords",
        find=find_empty_passwords,
    ),
    Check(
        id="sshd-match",
        severity=Severity.WARN,
        subject=Subject.SSH,
        why="the block opens for some what the rest of the configuration closes, and sshd -T does not show it",
        fix="remove the block",
        find=find_match_blocks,
    ),
    Check(
        id="ssh-enabled",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="there is no way into the clone",
        fix="systemctl unmask ssh; systemctl enable ssh",
        find=find_server_disabled,
        profiles=MACHINES,
    ),
    Check(
        id="private-keys",
        severity=Severity.FAIL,
        subject=Subject.SSH,
        why="a key of the builder is handed to every clone",
        fix="remove the file and replace the key wherever it is accepted",
        find=find_private_keys,
    ),
)
