"""Passwords: no field of the account files, nor of a copy of them, lets anybody in.

Source of the rules: shadow(5), crypt(5), CVE-2024-9486 and CVE-2024-9594 (image-builder's known password).
"""

import re
import time
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import ALL_PROFILES, EVERYWHERE, Check, Policy, Profile, Seen, Subject
from imagekit.verify.evidence import Lock, classify_password, name_hash_scheme
from imagekit.verify.facts.accounts import parse_passwords, read_accounts
from imagekit.verify.view import View

_TRIAL_SECONDS = 1.0  # for notorious passwords, over all accounts together
_FILES = ("/etc/passwd", "/etc/shadow", "/etc/gshadow", "/etc/passwd-", "/etc/shadow-", "/etc/gshadow-")
_COPIED_FILES = ("passwd", "shadow", "group", "gshadow", "subuid", "subgid")
_COPY = re.compile(
    rf"(?:{'|'.join(_COPIED_FILES)})-?(?:~|\.(?:bak|old|orig|org|save|backup|dpkg-(?:old|bak)|rpmsave)[\w.-]*|\.gz|\.\d+(?:\.gz)?)"
)


def find_account_passwords(view: View, policy: Policy) -> Iterator[Seen]:
    """Look at every password field, the backup copies' included; only the hash's method is told.

    On a machine that runs, people's passwords are their own: there only an empty field and a notorious password count.
    """
    if not view.is_file("/etc/shadow"):
        if policy.profile is Profile.SD_IMAGE and not view.is_file("/etc/passwd"):
            from imagekit.verify.facts.nixos_users import read_users  # here: of no use to a template

            read_users(view)  # what the first boot makes the accounts from: there, passwords are sd-access's
            return
        yield Seen("/etc/shadow", "there is no such file", Severity.WARN)
    names = {account.name for account in read_accounts(view)}
    is_clone = policy.profile is Profile.CLONE
    deadline = time.monotonic() + _TRIAL_SECONDS
    for path in _FILES:
        is_backup, is_passwd, is_group = path.endswith("-"), path.startswith("/etc/passwd"), "gshadow" in path
        if is_clone and (is_backup or is_group):
            continue
        for name, field in parse_passwords(view.text(path, 4 << 20) or "").items():
            if (is_passwd and field == "x") or (is_backup and not is_group and name not in names):
                continue  # a removed account's hash is account-backups'
            match classify_password(field):
                case Lock.USABLE:
                    known = _explain(field, name, deadline)
                    if not is_clone or known.startswith(": password is"):
                        yield Seen(path, f"{name} has a usable {name_hash_scheme(field)} hash{known}")
                case Lock.EMPTY if not is_group and not is_backup and name in names:
                    yield Seen(path, f"{name} has an empty field: no password is asked for")
                case Lock.LOCKED_HASH if not is_clone:
                    rest = field.lstrip("!*")
                    found = f"{name} is locked, but its {name_hash_scheme(rest)} hash is still there"
                    yield Seen(path, f"{found}{_explain(rest, name, deadline)}", Severity.WARN)
                case Lock.UNKNOWN if not is_clone:
                    yield Seen(path, f"{name} has a password field of no known form", Severity.WARN)


def _explain(field: str, name: str, deadline: float) -> str:
    """Say which notorious password the hash is of, or why none was tried; nothing when all were and none fits."""
    from imagekit.verify.secrets import libcrypt  # here: ctypes is slow to load, and a clean image has no hash

    try:
        word = libcrypt.find_known_password(field, name, deadline)
    except libcrypt.NotTested as reason:
        return f" (notorious passwords not tested: {reason})"
    return "" if word is None else f": password is `{word}`" if word else ": password is empty"


def find_account_backups(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at copies of the account files: a removed account's hash in one, and copies that no package makes.

    ``/etc/passwd-`` and its like are written by every passwd tool and are clean when no removed account's hash is in
    them; what they say about accounts that exist is account-passwords'.
    """
    names = {account.name for account in read_accounts(view)}
    for base in _COPIED_FILES:
        text = view.text(f"/etc/{base}-", 4 << 20)
        if base in ("passwd", "shadow") and text and (gone := _name_hashes(text, names)):
            yield Seen(f"/etc/{base}-", f"a hash of {gone}, who is no more", Severity.FAIL)
    for directory in ("/etc", "/var/backups"):
        for path, node in view.children(directory):
            if node.type is not FileType.FILE or not _COPY.fullmatch(path.rsplit("/", 1)[-1]):
                continue
            if holders := _name_hashes(_read_copy(view, path), set()):
                yield Seen(path, f"a copy of account data with a hash of {holders}", Severity.FAIL)
            else:
                yield Seen(path, "a copy of account data")


def _name_hashes(text: str, without: set[str]) -> str:
    """Return the names, five at most, of accounts other than ``without`` that have a hash, locked or not."""
    found = [
        name
        for name, field in parse_passwords(text).items()
        if name not in without and classify_password(field) in (Lock.USABLE, Lock.LOCKED_HASH)
    ]
    return ", ".join(found[:5])


def _read_copy(view: View, path: str) -> str:
    """Return a copy's text, unpacked when it is gzip's; at most 1 MiB of it."""
    if not path.endswith(".gz"):
        return view.text(path) or ""
    import zlib  # here: hardly any image has one

    try:
        unpacked = zlib.decompressobj(31).decompress(view.tree.read(path, 1 << 20) or b"", 1 << 20)
    except zlib.error:
        return ""
    return unpacked.decode("utf-8", "surrogateescape")


CHECKS = (
    Check(
        id="account-passwords",
        severity=Severity.FAIL,
        subject=Subject.ACCOUNTS,
        why="one password opens every clone, and a hash can be cracked at leisure",
        fix="`usermod -p '*' USER`, or delete the user; passwd -l keeps the hash",
        find=find_account_passwords,
        profiles=ALL_PROFILES,
        never_published=True,
    ),
    Check(
        id="account-backups",
        severity=Severity.INFO,
        subject=Subject.ACCOUNTS,
        why="the hash of a removed account lives on in the copy and can be cracked at leisure",
        fix="`rm -f /etc/*- /etc/*.bak /etc/*~ /var/backups/{passwd,shadow,group,gshadow}*`",
        find=find_account_backups,
        profiles=EVERYWHERE,
    ),
)
