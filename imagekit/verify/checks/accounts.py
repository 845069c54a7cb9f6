"""Accounts: nobody can become anybody on a clone who was not named by the clone's own data.

Source of the rules: passwd(5), sudoers(5), doas.conf(5), polkit(8), pam_wheel(8), agetty(8).
"""

import re
from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import ALL_PROFILES, CLONES_TOO, EVERYWHERE, Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.accounts import (
    Account,
    find_homes,
    has_password,
    read_accounts,
    read_groups,
)
from imagekit.verify.facts.sudo import Grant, read_grants
from imagekit.verify.view import View

_ROOT_LIKE_GROUPS = ("docker", "lxd", "incus-admin", "disk")
_POLKIT_YES = re.compile(r"^(?!\s*(?://|\*)).*\bpolkit\.Result\.YES\b")
_PKLA_YES = re.compile(r"\s*Result(?:Any|Inactive|Active)\s*=\s*yes\b")
_PAM_OPEN = re.compile(
    r"\s*-?auth\s+(?:sufficient|required|requisite|\[[^\]]*\])\s+pam_(?:permit\.so|wheel\.so\s.*\btrust\b)"
)
_ADMIN_GROUPS = ("sudo", "wheel", "admin")
_GETTYS = ("getty@", "serial-getty@", "console-getty", "container-getty@", "autologin@")
_DESKTOP_LOGIN = re.compile(r"\s*(?:AutomaticLogin|autologin-user)\s*=\s*\S", re.IGNORECASE)
_SDDM_LOGIN = re.compile(r"\s*User\s*=\s*\S")
_DESKTOP_FILES = ("/etc/gdm3/daemon.conf", "/etc/gdm3/custom.conf", "/etc/gdm/custom.conf", "/etc/lightdm/lightdm.conf")


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


def find_uid_zero(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for a second root, and for accounts with a login in root's group.

    On a NixOS card that never ran, the accounts are those that its first boot will make.
    """
    if policy.profile is Profile.SD_IMAGE and not view.is_file("/etc/passwd"):
        from imagekit.verify.facts.nixos_users import read_users  # here: of no use to a template

        yield from (
            Seen(read_users(view).path, f"{user.name} has uid 0")
            for user in read_users(view).users
            if user.uid == 0 and user.name != "root"
        )
        return
    for account in read_accounts(view):
        if account.name == "root":
            continue
        if account.uid == 0:
            yield Seen("/etc/passwd", f"{account.name} has uid 0")
        elif account.gid == 0 and account.can_log_in:
            yield Seen("/etc/passwd", f"{account.name} can log in and has root's group, gid 0")


def find_other_escalation(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for ways to root beside sudo: doas, polkit, su's PAM file, and groups that are as good as root."""
    for path in ("/etc/doas.conf", *(path for path, _ in view.children("/etc/doas.d", ".conf"))):
        for line in view.lines(path):
            words = line.split("#")[0].split()
            if words[:1] == ["permit"] and "nopass" in words and "root" not in words[1:3]:
                yield Seen(path, "doas asks for no password")
    for path, _ in view.children("/etc/polkit-1/rules.d", ".rules"):
        if any(_POLKIT_YES.search(line) for line in view.lines(path)):
            yield Seen(path, "a polkit rule answers YES")
    for path, _ in view.files_below("/etc/polkit-1/localauthority"):
        if path.endswith(".pkla") and any(_PKLA_YES.match(line) for line in view.lines(path)):
            yield Seen(path, "a polkit authority answers yes")
    for path, _ in view.children("/etc/pam.d"):
        if path.startswith("/etc/pam.d/su") and any(_PAM_OPEN.match(line) for line in view.lines(path)):
            yield Seen(path, "PAM lets everybody, or a whole group, through without a password")
    if policy.profile is Profile.CLONE:  # whom a machine's owner puts into a group is the owner's word
        return
    groups = read_groups(view)
    for group in _ROOT_LIKE_GROUPS:
        number, listed = groups.get(group, (-1, ()))
        primary = [account.name for account in read_accounts(view) if account.gid == number != -1 and account.is_person]
        members = [name for name in dict.fromkeys((*listed, *primary)) if name not in (*policy.allow_users, "root")]
        if members:
            yield Seen("/etc/group", f"{', '.join(members[:5])} in group {group} can become root")


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
                    yield Seen(file, "agetty is started with --autologin", fix='`rm -f "$path"`')
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
        id="build-user",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="the account of the build, with its home, keys and rights, exists on every clone",
        fix="`userdel -rf USER` as the last step of the build, or name the user in the image's definition",
        find=find_build_user,
        profiles=EVERYWHERE,
    ),
    Check(
        id="uid-zero",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="an account with number 0 is root under another name",
        fix="`userdel -rf USER`, or give it a number and group of its own",
        find=find_uid_zero,
        profiles=ALL_PROFILES,
    ),
    Check(
        id="other-escalation",
        severity=Severity.WARN,
        subject=Subject.ACCOUNTS,
        why="whoever gets such an account, or any account, is root",
        fix="remove the rule, or take the user out: `gpasswd -d USER GROUP`",
        find=find_other_escalation,
        profiles=CLONES_TOO,
    ),
    Check(
        id="sudo-nopasswd",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="whoever gets this account is root",
        fix="remove the line or the file",
        find=find_sudo_nopasswd,
        profiles=EVERYWHERE,
    ),
    Check(
        id="autologin",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="the console of every clone is an open shell",
        fix="remove the line that logs somebody in",
        find=find_autologin,
        profiles=CLONES_TOO,
    ),
)
