"""cloud-init's configuration in the image: nothing of an installer, of the build's accounts, or against the clone.

Source of the rules: cloud-init's ``cc_set_hostname.py``, ``cc_users_groups.py``, ``cc_set_passwords.py``,
``cc_ssh.py``, ``stages.py``, ``config/cloud.cfg.tmpl``, and what Ubuntu's installer writes (subiquity, curtin).
"""

from collections.abc import Iterator
from typing import Any

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import CLONES_TOO, MACHINES, Check, Policy, Profile, Seen, Subject
from imagekit.verify.evidence import Lock, classify_password, name_hash_scheme
from imagekit.verify.facts.boot_entries import read_arguments
from imagekit.verify.facts.cloud_config import is_off, is_on, list_modules, read_cloud_config
from imagekit.verify.view import View

_STATE = "/var/lib/cloud"
_INSTANCES = f"{_STATE}/instances"
_NEEDED = ("ssh", "users_groups", "set_passwords", "set_hostname", "growpart", "resizefs")
_HARMLESS = "20-disable-cc-dpkg-grub.cfg"  # an installer's, and right for its machines
_PASSWORDS = ("passwd", "hashed_passwd", "plain_text_passwd", "password")
_KEYS = ("ssh_authorized_keys", "ssh-authorized-keys", "ssh_import_id", "ssh-import-id")
_MOST_USERS = 200


def find_network_disabled(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the mapping, in whatever file, and for the kernel argument."""
    for file in read_cloud_config(view).files:
        network = file.values.get("network")
        if isinstance(network, dict) and network.get("config") == "disabled":
            yield Seen(file.path, "network: {config: disabled}")
    for argument in read_arguments(view):
        if argument.text == "network-config=disabled":
            yield Seen(argument.path, "kernel command line has network-config=disabled")


def find_installer_config(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what an installer configured for its one machine, by content first and by name for the rest."""
    for file in read_cloud_config(view).files:
        name = file.path.rsplit("/", 1)[-1]
        sources = file.values.get("datasource")
        none = sources.get("None") if isinstance(sources, dict) else None
        network = file.values.get("network")
        if isinstance(none, dict) and (none.get("userdata_raw") or none.get("metadata")):
            yield Seen(file.path, "datasource None with user-data of its own", Severity.FAIL, '`rm -f "$path"`')
        elif name == _HARMLESS:
            yield Seen(file.path, "written by an installer", Severity.INFO)
        elif isinstance(network, dict) and network.get("config") != "disabled":
            found = "a network configuration of its own, which beats the one of the clone's drive"
            yield Seen(file.path, found, fix='`rm -f "$path"`')
        elif "curtin" in name or ("installer" in name and file.values and not isinstance(network, dict)):
            yield Seen(file.path, "written by an installer", fix='`rm -f "$path"`')


def find_preserve_hostname(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the effective ``preserve_hostname``."""
    config = read_cloud_config(view)
    if is_on(config.get("preserve_hostname")):
        yield Seen(config.origin("preserve_hostname"), "preserve_hostname: true")


def find_users(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for passwords and keys in the configuration, and whether the default user is still made.

    Keys of accounts that the definition names are meant to be there; a password never is.
    """
    config = read_cloud_config(view)
    for file in config.files:
        for found in _list_credentials(file.values, policy.allow_users):
            yield Seen(file.path, found)
    users = config.get("users")
    if users is not None and not _has_default(users):
        yield Seen(
            config.origin("users"), "users has no default: the distribution's own user is not made", Severity.WARN
        )
    if is_on(config.get("ssh_pwauth")):
        found = "ssh_pwauth: true lets passwords in over SSH"
        yield Seen(config.origin("ssh_pwauth"), found, Severity.WARN)


def _list_credentials(values: dict[str, Any], allowed: tuple[str, ...]) -> Iterator[str]:
    """Yield what a file gives away: kind and account, never the value."""
    if values.get("password"):
        yield f"a password for the default user ({_name_kind(values['password'])})"
    chpasswd = values.get("chpasswd")
    if isinstance(chpasswd, dict) and (chpasswd.get("list") or chpasswd.get("users")):
        yield "chpasswd with passwords"
    if values.get("ssh_keys"):
        yield "ssh_keys: host keys, the same for every clone"
    yield from (f"{key} for the default user" for key in _KEYS if values.get(key))
    system = values.get("system_info")
    default = system.get("default_user") if isinstance(system, dict) else None
    users = values.get("users")
    entries = [(None, default)]
    if isinstance(users, list):
        entries += [(user.get("name"), user) for user in users[:_MOST_USERS] if isinstance(user, dict)]
    elif isinstance(users, dict):
        entries += list(users.items())[:_MOST_USERS]
    for name, entry in entries:
        if not isinstance(entry, dict):
            continue
        who = "the default user" if entry is default else f"user {name[:40] if isinstance(name, str) else '(no name)'}"
        for key in _PASSWORDS:
            if (value := entry.get(key)) and _opens(key, value):
                yield f"{key} for {who} ({_name_kind(value)})"
        if name not in allowed:
            yield from (f"{key} for {who}" for key in _KEYS if entry.get(key))


def _opens(key: str, value: object) -> bool:
    """Say whether a value is a password or a hash; in the two fields for hashes ``*`` and ``!`` lock the account."""
    if key in ("plain_text_passwd", "password") or not isinstance(value, str):
        return True
    return classify_password(value[:1000]) is not Lock.LOCKED


def _name_kind(value: object) -> str:
    """Name the method of a hash; what is no text is not looked into, since aliases may make it endless."""
    return (name_hash_scheme(value[:1000].lstrip("!")) if isinstance(value, str) else "") or "not a hash"


def _has_default(users: object) -> bool:
    """Say whether ``users`` names ``default``: as text, list or mapping (``distros/ug_util.py``)."""
    if isinstance(users, str):
        return "default" in [word.strip() for word in users.split(",")]
    if isinstance(users, dict):
        return "default" in users
    entries = users if isinstance(users, list) else []
    return any(entry == "default" or (isinstance(entry, dict) and _is_default(entry)) for entry in entries)


def _is_default(entry: dict[str, Any]) -> bool:
    return entry.get("name") == "default" or "default" in entry


def find_missing_modules(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether the modules that make a clone a machine of its own are in one of the three lists."""
    config = read_cloud_config(view)
    modules = list_modules(config)
    if missing := [name for name in _NEEDED if name not in modules]:
        yield Seen(config.origin("cloud_init_modules"), f"no list of modules has {', '.join(missing)}")


def find_unreadable_config(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for files that cloud-init cannot use, and for names that it never reads."""
    for file in read_cloud_config(view).files:
        if file.problem:
            yield Seen(file.path, file.problem)
    for path, node in view.children("/etc/cloud/cloud.cfg.d"):
        if path.endswith((".yaml", ".yml")) and node.type is FileType.FILE:
            yield Seen(path, "only names that end in .cfg are read", Severity.WARN)


def find_deletekeys(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the effective ``ssh_deletekeys``; with keys in the image it fails."""
    config = read_cloud_config(view)
    if is_off(config.get("ssh_deletekeys")):
        left = [name for name in view.tree.names("/etc/ssh") if name.startswith("ssh_host_")]
        severity = Severity.FAIL if left else Severity.WARN
        yield Seen(config.origin("ssh_deletekeys"), "ssh_deletekeys: false", severity)


def find_manual_clean(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what makes cloud-init trust an old instance for ever."""
    config = read_cloud_config(view)
    if is_on(config.get("manual_cache_clean")):
        yield Seen(config.origin("manual_cache_clean"), "manual_cache_clean: true")
    for path in (f"{_STATE}/instance/manual-clean", *(f"{path}/manual-clean" for path, _ in view.children(_INSTANCES))):
        if view.exists(path):
            yield Seen(path, "the mark that an instance is kept for ever")


CHECKS = (
    Check(
        id="cloud-init-network-disabled",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="the clone ignores its ipconfig and keeps the builder's network configuration",
        fix="`grep -rlE 'config: *disabled' /etc/cloud/cloud.cfg.d`, and remove the file; or network-config=disabled",
        find=find_network_disabled,
        profiles=MACHINES,
    ),
    Check(
        id="installer-cloud-config",
        severity=Severity.WARN,
        subject=Subject.CLOUD_INIT,
        why="a clone takes the installed machine's data instead of its own: users, password, name, disk and network",
        fix="`cd /etc/cloud/cloud.cfg.d && rm -f *installer*.cfg *curtin*.cfg; cloud-init clean --logs --seed`",
        find=find_installer_config,
        profiles=MACHINES,
    ),
    Check(
        id="preserve-hostname",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="every clone keeps the template's name",
        fix="`sed -i '/^preserve_hostname/d' /etc/cloud/cloud.cfg /etc/cloud/cloud.cfg.d/*.cfg`",
        find=find_preserve_hostname,
        profiles=MACHINES,
    ),
    Check(
        id="cloud-config-users",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="credentials in the image open every clone, and a list without default loses the user that clones expect",
        fix="`grep -nE 'passwd|password|ssh_|users:' -r /etc/cloud`, and move these lines to the clones' user-data",
        find=find_users,
        profiles=CLONES_TOO,
    ),
    Check(
        id="cloud-config-syntax",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="cloud-init skips a file it cannot read, so what it should set is silently missing",
        fix="`cloud-init schema -c FILE`, names the place to mend",
        find=find_unreadable_config,
        profiles=(Profile.TEMPLATE, Profile.CLONE),
    ),
    Check(
        id="cloud-init-modules",
        severity=Severity.WARN,
        subject=Subject.CLOUD_INIT,
        why="that part of a clone's first boot is silently missing",
        fix="`apt-get install --reinstall -o Dpkg::Options::=--force-confask cloud-init`, or restore the lists",
        find=find_missing_modules,
        profiles=MACHINES,
    ),
    Check(
        id="ssh-deletekeys",
        severity=Severity.WARN,
        subject=Subject.CLOUD_INIT,
        why="host keys that were left in the image are kept by every clone",
        fix="`sed -i '/^ssh_deletekeys/d' /etc/cloud/cloud.cfg /etc/cloud/cloud.cfg.d/*.cfg`",
        find=find_deletekeys,
        profiles=MACHINES,
    ),
    Check(
        id="manual-cache-clean",
        severity=Severity.FAIL,
        subject=Subject.CLOUD_INIT,
        why="cloud-init takes the old instance for the current one and does nothing on a clone",
        fix="`sed -i '/^manual_cache_clean/d' /etc/cloud/cloud.cfg /etc/cloud/cloud.cfg.d/*.cfg; cloud-init clean`",
        find=find_manual_clean,
        profiles=MACHINES,
    ),
)
