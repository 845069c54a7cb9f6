"""The NixOS system on a card: never started, whole, open to those who are named and to nobody else, on the network.

Sources: nixpkgs' sd-image.nix, users-groups.nix, sshd.nix, installation-device.nix and its network modules;
systemd.network(5), dhcpcd.conf(5).
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Profile, Seen, Subject
from imagekit.verify.evidence import Lock, classify_password, name_hash_scheme
from imagekit.verify.facts.nixos import (
    STORE,
    find_system,
    find_systems,
    name_in_store,
    open_system,
    read_kernel_words,
)
from imagekit.verify.facts.sshd import MAIN_FILE, read_sshd_policy
from imagekit.verify.facts.units import find_unit, is_enabled
from imagekit.verify.view import CannotSee, View

# What reads a card's configuration is imported where it is used: most runs are about templates.
if TYPE_CHECKING:
    from imagekit.definition import Site
    from imagekit.verify.facts.nixos_users import User

_REGISTRATION = "/nix-path-registration"
_FIRST_BOOT = re.compile(r"/nix/store/[0-9a-z]{32}-local-cmds")
_GROWERS = ("growpart.service", "systemd-repart.service")
_GETTYS = ("getty@.service", "autovt@.service", "serial-getty@.service", "console-getty.service")
_LIMIT = 1 << 20
_KERNEL_NAME = re.compile(r"(?:eth|wlan)\d+")
# Made by a boot, and by nothing else. The machine-id, host keys, seeds and logs have checks of their own.
_BOOTED = (
    "/etc/NIXOS", "/etc/static", "/etc/passwd", "/etc/shadow", "/etc/.pwd.lock", "/var/lib/nixos",
    "/var/lib/systemd/timers", "/var/lib/systemd/timesync", "/nix/var/nix/db", "/nix/var/nix/profiles",
    "/nix/var/nix/gcroots", "/root/.nix-channels", "/root/.nix-defexpr",
)  # fmt: skip


def find_used_registration(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the list of store paths that the first boot reads and removes, and for what grows the root then."""
    node = view.tree.stat(_REGISTRATION)
    if node is None:
        yield Seen(_REGISTRATION, "there is no such file: the image has been started, or was not made as a card")
    elif not view.is_file(_REGISTRATION) or node.size == 0:
        yield Seen(_REGISTRATION, "empty: the first boot registers nothing, and the next clean-up removes the system")
    else:
        yield from _judge_growth(view)


def _judge_growth(view: View) -> Iterator[Seen]:
    """Look into the commands of the first boot; what is not called as nixpkgs calls it is not judged."""
    try:
        directory = find_system(view)
    except CannotSee:  # other checks say why
        return
    for name in ("init", "prepare-root"):
        script = _FIRST_BOOT.search(view.text(f"{directory}/{name}", _LIMIT) or "")
        commands = view.text(script.group(), _LIMIT) if script else None
        if script and commands and _REGISTRATION in commands and "resize2fs" not in commands:
            if not is_enabled(open_system(view), *_GROWERS):
                yield Seen(script.group(), "nothing grows the root to the size of the card", Severity.WARN)
            return


def find_boot_traces(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what only a boot makes: activation's marks, accounts, the store's database, profiles."""
    for path in _BOOTED:
        if (node := view.tree.lstat(path)) is not None:
            yield Seen(path, f"a {node.type.value} that a boot has made")


def find_missing_paths(view: View, _policy: Policy) -> Iterator[Seen]:
    """Compare the registered store paths with the store, and look for the systems among them."""
    from imagekit.disk.packages.nix_store import read_store_paths

    registered = read_store_paths(view.tree)
    if not registered:
        raise CannotSee("the image does not say what is in its store")
    present = set(view.tree.names(STORE))
    for each in registered:
        if each.path.rsplit("/", 1)[-1] not in present:
            yield Seen(each.path, "registered, and not in the store")
    known = {each.path for each in registered}
    for system in find_systems(view):
        if system not in known:
            yield Seen(system, "the system of a boot entry, and not registered: the next clean-up removes it")


def find_access_problems(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the accounts that the first boot makes, at who can enter by key, and at consoles that ask nothing.

    A password in the configuration is in the store, where every account can read it, and is the same on every card.
    """
    from imagekit.verify.facts.nixos_users import list_entrants, read_users

    system = open_system(view)
    keys = name_in_store(view, "/etc/ssh/authorized_keys.d")
    if not system.is_file(MAIN_FILE) or not is_enabled(system, "sshd.service", "sshd.socket"):
        yield Seen(name_in_store(view, MAIN_FILE), "no SSH server is started: nobody can enter a card without a screen")
        by_password = False
    else:
        ssh = read_sshd_policy(system)
        by_password = ssh.allows_passwords() is not None
        others = ssh.get("authorizedkeyscommand").value.lower() or ssh.get("trustedusercakeys").value.lower()
        if others in ("", "none") and not any(list_entrants(view)):
            yield Seen(keys, "no account that may log in has a key: nobody can enter a card without a screen")
        if ssh.get("permitemptypasswords").value.lower() == "yes":
            yield Seen(name_in_store(view, MAIN_FILE), "PermitEmptyPasswords yes")
    path = read_users(view).path
    for user in read_users(view).users:
        if found := _judge_user(view, user):
            how = ", and SSH takes passwords" if by_password and user.can_log_in else ""
            yield Seen(path, f"{user.name} {found}{how}")
    for name in _GETTYS:
        unit = find_unit(system, name)
        if unit is not None and not unit.masked and "--autologin" in unit.text:
            yield Seen(name_in_store(view, unit.path), "the console logs in by itself", Severity.WARN)


def _judge_user(view: View, user: "User") -> str:
    """Return how somebody can log in to the account with a password, empty when nobody can."""
    if "" in (*user.clear, *user.hashed):
        return "has an empty password: nobody is asked for one"
    if user.clear:
        return "has a password in clear text"
    for each in user.hashed:
        if classify_password(each) in (Lock.USABLE, Lock.LOCKED_HASH):
            return f"has a {name_hash_scheme(each.lstrip('!*'))} hash"
    if user.password_file.startswith(f"{STORE}/"):
        return "has its password's file in the store"
    return "has its password's file in the image" if user.password_file and view.exists(user.password_file) else ""


def find_store_secrets(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for keys, tokens and passwords in what the configuration put into the store; deep, in packages as well.

    The list of accounts is sd-access's.
    """
    from imagekit.verify.facts.nixos_users import read_users
    from imagekit.verify.facts.store_files import search_store

    try:
        accounts = read_users(view).path
    except CannotSee:
        accounts = ""
    files = search_store(view, deep=policy.deep)
    for path, found in files.found.items():
        if path != accounts:
            yield Seen(path, found)
    if files.unread:
        raise CannotSee(f"the store's own files were read up to {files.unread}; a deep verification reads all")


def find_network_problems(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether anything gives the card an address, and whether it waits for a name that its board does not use."""
    from imagekit.verify.facts.nixos_networks import list_networks

    networks = list_networks(open_system(view))
    if not networks:
        where = name_in_store(view, "/etc/systemd")
        yield Seen(where, "nothing gives the card an address: no network of systemd-networkd, dhcpcd, NetworkManager")
    if "net.ifnames=0" in read_kernel_words(view):
        return
    names = {name for network in networks for name in network.names}
    if any(not _KERNEL_NAME.fullmatch(name) for name in names):
        return
    for network in networks:
        kernel_names = " ".join(name for name in network.names if name.startswith("eth"))
        if kernel_names:
            found = f"is for {kernel_names} only; a Raspberry Pi 4 has end0"
            yield Seen(name_in_store(view, network.path), found, Severity.WARN)


def find_site_problems(view: View, policy: Policy) -> Iterator[Seen]:
    """Look whether the card is what its definition says of its house: name, address, router, keys, services."""
    system = open_system(view)
    if policy.site is not None:
        yield from _judge_site(view, system, policy.site)
    for unit in policy.services:
        if not is_enabled(system, unit):
            yield Seen(name_in_store(view, f"/etc/systemd/system/{unit}"), "is not started")


def _judge_site(view: View, system: View, site: "Site") -> Iterator[Seen]:
    from imagekit.verify.facts.nixos_networks import read_static_networks

    name = (system.text("/etc/hostname", 1024) or "").strip()
    if name != site.host_name:
        yield Seen(name_in_store(view, "/etc/hostname"), f"the host is {name or 'nameless'}, not {site.host_name}")
    given = read_static_networks(system)
    for what, wanted, values in (
        ("address", str(site.address), given.addresses),
        ("gateway", str(site.gateway), given.gateways),
    ):
        if wanted not in values:
            found = f"no network gives the {what} {wanted}" + (f", but {', '.join(values)}" if values else "")
            yield Seen(name_in_store(view, "/etc/systemd/network"), found)
    file = f"/etc/ssh/authorized_keys.d/{site.admin}"
    present = {" ".join(line.split()[:2]) for line in system.lines(file)} if system.is_file(file) else set()
    missing = [key for key in site.ssh_keys if " ".join(key.split()[:2]) not in present]
    if missing:
        yield Seen(
            name_in_store(view, file), f"{len(missing)} of {len(site.ssh_keys)} keys cannot enter as {site.admin}"
        )


CHECKS: tuple[Check, ...] = (
    Check(
        id="sd-first-boot",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="the store is not registered again and the root does not grow: a small full root on a large card",
        fix="take the image as it was built, not one read back from a card",
        find=find_used_registration,
        profiles=(Profile.SD_IMAGE,),
    ),
    Check(
        id="sd-booted",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="the identity, accounts and state of one machine are on every card",
        fix="take the image as it was built, not one read back from a card",
        find=find_boot_traces,
        profiles=(Profile.SD_IMAGE,),
    ),
    Check(
        id="sd-closure",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="a service fails when it needs what is not there, or after the first clean-up of the store",
        fix="build the image again; `nix-store --verify --check-contents` tells whether the builder's store is whole",
        find=find_missing_paths,
        profiles=(Profile.SD_IMAGE,),
    ),
    Check(
        id="sd-access",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="a card without a screen that nobody can enter, or that everybody can",
        fix="set users.users.NAME.openssh.authorizedKeys.keys, no password, and users.mutableUsers = false",
        find=find_access_problems,
        profiles=(Profile.SD_IMAGE,),
    ),
    Check(
        id="sd-store-secrets",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="every account of the machine, and whoever gets the image, reads what is in the store",
        fix="name a file outside of the store (passwordFile, environmentFiles), and replace the secret",
        find=find_store_secrets,
        profiles=(Profile.SD_IMAGE,),
    ),
    Check(
        id="sd-network",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="a server without a screen that has no address cannot be reached, nor asked anything",
        fix='match the interface by type (matchConfig.Type = "ether"), or set usePredictableInterfaceNames = false',
        find=find_network_problems,
        profiles=(Profile.SD_IMAGE,),
    ),
    Check(
        id="sd-site",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="the card comes up with another name or address, or nobody has the key: it cannot be found or entered",
        fix="have the flake read nix/site.json, or make the table site say what the flake does",
        find=find_site_problems,
        profiles=(Profile.SD_IMAGE,),
    ),
)
