"""Accounts: nobody can become anybody on a clone who was not named by the clone's own data.

Source of the rules: shadow(5), crypt(5), sudoers(5), CVE-2024-9486 and CVE-2024-9594 (image-builder's known password).
"""

import re
from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import EVERYWHERE, Check, Policy, Seen, Subject
from imagekit.verify.evidence import Lock, classify_password, name_hash_scheme
from imagekit.verify.facts.accounts import (
    Account,
    find_homes,
    has_password,
    parse_passwords,
    read_accounts,
    read_groups,
)
from imagekit.verify.facts.sudo import Grant, read_grants
from imagekit.verify.view import View

_FILES = ("/etc/passwd", "/etc/shadow", "/etc/gshadow", "/etc/passwd-", "/etc/shadow-", "/etc/gshadow-")
_ADMIN_GROUPS = ("sudo", "wheel", "admin")
_GETTYS = ("getty@", "serial-getty@", "console-getty", "container-getty@", "autologin@")
_DESKTOP_LOGIN = re.compile(r"\s*(?:AutomaticLogin|autologin-user)\s*=\s*\S", re.IGNORECASE)
_SDDM_LOGIN = re.compile(r"\s*User\s*=\s*\S")
_DESKTOP_FILES = ("/etc/gdm3/daemon.conf", "/etc/gdm3/custom.conf", "/etc/gdm/custom.conf", "/etc/lightdm/lightdm.conf")


def find_account_passwords(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at every password field, the backup copies' included; only the hash's method is told."""
    if not view.is_file("/etc/shadow"):
        yield Seen("/etc/shadow", "there is no such file", Severity.WARN)
    names = {account.name for account in read_accounts(view)}
    for path in _FILES:
        is_backup, is_passwd = path.endswith("-"), path.startswith("/etc/passwd")
        for name, field in parse_passwords(view.text(path, 4 << 20) or "").items():
            if is_passwd and field == "x":
                continue
            match classify_password(field):
                case Lock.USABLE:
                    yield Seen(path, f"{name} has a usable {name_hash_scheme(field)} hash")
                case Lock.EMPTY if not path.startswith("/etc/gshadow") and not is_backup and name in names:
                    yield Seen(path, f"{name} has an empty field: no password is asked for")
                case Lock.LOCKED_HASH:
                    scheme = name_hash_scheme(field.lstrip("!*"))
                    yield Seen(path, f"{name} is locked, but its {scheme} hash is still there", Severity.WARN)
                case Lock.UNKNOWN:
                    yield Seen(path, f"{name} has a password field of no known form", Severity.WARN)


def find_build_user(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for people's accounts and homes that the definition does not name."""
    accounts = read_accounts(view)
    admins = {name for group in _ADMIN_GROUPS for name in read_groups(view).get(group, (0, ()))[1]}
    admins |= {grant.who for grant in read_grants(view)}
    for account in accounts:
        if not account.is_person or account.name in policy.allow_users:
            continue
        powers = [
            text
            for text, has in (
                (f"login shell {account.shell or '/bin/sh'}", account.can_log_in),
                ("sudo", account.name in admins),
                ("a password", has_password(view, account)),
            )
            if has
        ]
        yield Seen("/etc/passwd", _describe(account, powers), Severity.FAIL if powers else Severity.WARN)
    known = {account.name for account in accounts} | set(policy.allow_users)
    homes = {account.home.rstrip("/") for account in accounts}
    for home, name in find_homes(view).items():
        if home.startswith("/home/") and home not in homes and name not in known and name != "lost+found":
            yield Seen(home, "a home directory that no account has", Severity.WARN)


def _describe(account: Account, powers: list[str]) -> str:
    return f"{account.name} (uid {account.uid}): {', '.join(powers) or 'no login, but the account and its home remain'}"


def find_uid_zero(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for a second root."""
    for account in read_accounts(view):
        if account.uid == 0 and account.name != "root":
            yield Seen("/etc/passwd", f"{account.name} has uid 0")


def find_sudo_nopasswd(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for who becomes root without a password; a file about allowed users only is meant to be there."""
    grants = read_grants(view)
    named: dict[str, set[str]] = {}
    for grant in grants:
        named.setdefault(grant.path, set()).add(grant.who)
    allowed = {path for path, names in named.items() if names <= set(policy.allow_users)}
    for grant in grants:
        if not grant.nopasswd or grant.who == "root" or grant.path in allowed:
            continue
        yield Seen(grant.path, f"{grant.who} needs no password for sudo", _weigh(grant))


def _weigh(grant: Grant) -> Severity:
    if grant.ignored:
        return Severity.INFO
    is_group = grant.who.startswith("%") and not grant.path.endswith("/90-cloud-init-users")
    return Severity.WARN if is_group else Severity.FAIL


def find_autologin(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for consoles that log somebody in by themselves."""
    for directory in ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"):
        for path, _ in view.children(directory):
            name = path.rsplit("/", 1)[-1]
            if not name.startswith(_GETTYS):
                continue
            files = [each for each, _ in view.children(path, ".conf")] if name.endswith(".d") else [path]
            for file in files:
                if any(_logs_in(line) for line in view.lines(file) if line.lstrip().startswith("ExecStart")):
                    yield Seen(file, "agetty is started with --autologin")
    if any(_logs_in(line) for line in view.lines("/etc/inittab") if not line.startswith("#")):
        yield Seen("/etc/inittab", "a console logs somebody in by itself")
    patterns = dict.fromkeys(_DESKTOP_FILES, _DESKTOP_LOGIN)
    for path in ("/etc/sddm.conf", *(each for each, _ in view.children("/etc/sddm.conf.d", ".conf"))):
        patterns[path] = _SDDM_LOGIN
    for path, pattern in patterns.items():
        if any(pattern.match(line) for line in view.lines(path)):
            yield Seen(path, "the display manager logs somebody in by itself")


def _logs_in(command: str) -> bool:
    """Say whether a command line starts agetty(8) with a user it does not ask for."""
    words = command.split()
    return "agetty" in command and any(word == "-a" or word.startswith("--autologin") for word in words)


CHECKS = (
    Check(
        id="account-passwords",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="one password opens every clone, and a hash can be cracked at leisure",
        fix="usermod -p '*' USER, or delete the user; passwd -l keeps the hash",
        find=find_account_passwords,
        profiles=EVERYWHERE,
        never_published=True,
    ),
    Check(
        id="build-user",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="the account of the build, with its home, keys and rights, exists on every clone",
        fix="userdel -rf USER as the last step of the build, or name the user in the image's definition",
        find=find_build_user,
    ),
    Check(
        id="uid-zero",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="an account with number 0 is root under another name",
        fix="delete the account",
        find=find_uid_zero,
    ),
    Check(
        id="sudo-nopasswd",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="whoever gets this account is root",
        fix="remove the line or the file",
        find=find_sudo_nopasswd,
    ),
    Check(
        id="autologin",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="the console of every clone is an open shell",
        fix="remove the drop-in",
        find=find_autologin,
    ),
)
