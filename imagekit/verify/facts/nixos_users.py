"""The accounts that a NixOS system makes at its first boot, and who of them can enter with a key.

Sources: nixpkgs' users-groups.nix, update-users-groups.pl, userborn.nix and sshd.nix; sshd_config(5).
"""

import fnmatch
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.verify.evidence import read_public_key
from imagekit.verify.facts.nixos import find_system, open_system
from imagekit.verify.facts.sshd import SshdPolicy, read_sshd_policy
from imagekit.verify.view import CannotSee, View, fact

_LIMIT = 4 << 20
_MOST_USERS = 5_000
_MOST_PATTERNS = 256
_MOST_KEY_FILES = 32
_LONGEST = 1024  # of a name or a home; what is longer is nobody's
_NO_LOGIN = ("nologin", "false")
_LIST = re.compile(r"/nix/store/[0-9a-z]{32}-(?:users-groups|userborn)\.json")
_IN_CLEAR = ("password", "initialPassword")
_HASHED = ("hashedPassword", "initialHashedPassword")


@dataclass(frozen=True, slots=True)
class User:
    """An account of the configuration: only what is set is in ``clear`` (passwords) and ``hashed`` (crypt fields).

    ``uid`` is -1 when activation chooses it; ``password_file`` is where it reads a hash from, empty when nowhere.
    """

    name: str
    uid: int
    home: str
    can_log_in: bool
    clear: tuple[str, ...]
    hashed: tuple[str, ...]
    password_file: str


@dataclass(frozen=True, slots=True)
class Users:
    """The accounts, and the store's file that lists them."""

    path: str
    users: tuple[User, ...]


@fact
def read_users(view: View) -> Users:
    """Read the list that activation, or userborn's unit, is given.

    Raises :class:`CannotSee` when neither names one, or when it cannot be understood.
    """
    unit = open_system(view).text("/etc/systemd/system/userborn.service", _LIMIT) or ""
    found = _LIST.search(view.text(f"{find_system(view)}/activate", _LIMIT) or "") or _LIST.search(unit)
    if found is None:
        raise CannotSee("neither the activation script nor userborn names a list of accounts")
    path = found.group()
    text = view.text(path, _LIMIT)
    if text is None:
        raise CannotSee(f"the list of accounts, {path}, is not in the image")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise CannotSee(f"the list of accounts, {path}, is no JSON") from None
    listed = content.get("users") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise CannotSee(f"the list of accounts, {path}, names no users")
    return Users(path, tuple(_read_user(each) for each in listed[:_MOST_USERS] if isinstance(each, dict)))


def _read_user(values: dict[str, object]) -> User:
    def get(*keys: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(value for key in keys if isinstance(value := values.get(key), str)))

    return User(
        name="".join(get("name"))[:_LONGEST],
        uid=uid if isinstance(uid := values.get("uid"), int) else -1,
        home="".join(get("home"))[:_LONGEST],
        can_log_in="".join(get("shell")).rsplit("/", 1)[-1] not in _NO_LOGIN,
        clear=get(*_IN_CLEAR),
        hashed=get(*_HASHED),
        password_file="".join(get("hashedPasswordFile")),
    )


def list_entrants(view: View) -> Iterator[str]:
    """Yield the accounts that can enter with a key that the image has; raises :class:`CannotSee` as sshd's facts."""
    system = open_system(view)
    policy = read_sshd_policy(system)
    if policy.get("pubkeyauthentication").value.lower() == "no":
        return
    patterns = policy.get("authorizedkeysfile").value.split()[:_MOST_KEY_FILES]
    for user in read_users(view).users:
        if not user.can_log_in or not _is_allowed(policy, user.name):
            continue
        paths = (_expand(pattern, user) for pattern in patterns)
        if any(read_public_key(line) for path in paths for line in system.lines(path)):
            yield user.name


def _is_allowed(policy: SshdPolicy, name: str) -> bool:
    """Say whether sshd lets the account in at all; lists that tell hosts apart are read for the account alone."""
    if name == "root" and policy.get("permitrootlogin").value.lower() in ("no", "forced-commands-only"):
        return False
    allowed = [word for each in policy.list_values("allowusers") for word in each.value.split()][:_MOST_PATTERNS]
    denied = [word for each in policy.list_values("denyusers") for word in each.value.split()][:_MOST_PATTERNS]
    if any("@" not in word and fnmatch.fnmatchcase(name, word) for word in denied):
        return False
    return not allowed or any(fnmatch.fnmatchcase(name, word.partition("@")[0]) for word in allowed)


def _expand(pattern: str, user: User) -> str:
    """Fill in sshd's tokens; a relative path begins in the account's home."""
    path = pattern.replace("%u", user.name).replace("%h", user.home)
    return path if path.startswith("/") else f"{user.home}/{path}"
