"""Accounts, groups, password fields and homes, read tolerantly: a bad line is skipped, never fatal."""

from dataclasses import dataclass

from imagekit.verify.evidence import Lock, classify_password
from imagekit.verify.view import CannotSee, View, fact

_NO_LOGIN = ("nologin", "false", "sync", "halt", "shutdown", "true")
_LIMIT = 4 << 20
_PEOPLE = range(1000, 60000)  # login.defs(5): UID_MIN to UID_MAX, as Debian and RHEL have them


@dataclass(frozen=True, slots=True)
class Account:
    """A line of passwd(5); ``password`` is its second field, ``uid`` and ``gid`` are -1 when they are no numbers."""

    name: str
    password: str
    uid: int
    gid: int
    home: str
    shell: str

    @property
    def can_log_in(self) -> bool:
        """Say whether the shell lets somebody in; an empty field means ``/bin/sh``."""
        return self.shell.rsplit("/", 1)[-1] not in _NO_LOGIN

    @property
    def is_person(self) -> bool:
        """Say whether the number is from the range of people."""
        return self.uid in _PEOPLE


@fact
def read_accounts(view: View) -> tuple[Account, ...]:
    """Read ``/etc/passwd``; raises :class:`CannotSee` when there is none."""
    text = view.text("/etc/passwd", _LIMIT)
    if text is None:
        raise CannotSee("the image has no /etc/passwd")
    accounts = []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= 7 and fields[0] and fields[0][0] not in "#+-":
            name, password, uid, gid, _, home, shell = fields[:7]
            accounts.append(Account(name, password, _number(uid), _number(gid), home, shell.strip()))
    return tuple(accounts)


@fact
def read_shadow(view: View) -> dict[str, str]:
    """Return the password field of each account in ``/etc/shadow``; empty when there is no such file."""
    return parse_passwords(view.text("/etc/shadow", _LIMIT) or "")


def parse_passwords(text: str) -> dict[str, str]:
    """Return name and second field of each line of a passwd(5), shadow(5) or gshadow(5) file."""
    fields = (line.split(":", 2) for line in text.splitlines())
    return {field[0]: field[1] for field in fields if len(field) >= 2 and field[0] and field[0][0] not in "#+-"}


@fact
def read_groups(view: View) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Return number and members of each group in ``/etc/group``."""
    groups = {}
    for line in (view.text("/etc/group", _LIMIT) or "").splitlines():
        fields = line.split(":")
        if len(fields) >= 4 and fields[0]:
            groups[fields[0]] = (_number(fields[2]), tuple(name for name in fields[3].strip().split(",") if name))
    return groups


def find_password(view: View, account: Account) -> str | None:
    """Return the field that decides about a password; ``None`` when shadow has no line, so nothing can match."""
    return read_shadow(view).get(account.name) if account.password == "x" else account.password


def has_password(view: View, account: Account) -> bool:
    """Say whether somebody can log in to the account with a password, the empty one included."""
    field = find_password(view, account)
    return field is not None and classify_password(field) in (Lock.EMPTY, Lock.USABLE)


@fact
def find_homes(view: View) -> dict[str, str]:
    """Return every home directory that exists with its account's name: of passwd, and whatever is in ``/home``.

    A directory in ``/home`` that no account has gets the directory's own name. ``/`` is nobody's home. A NixOS card
    that never ran has no accounts yet, only what its builder put there.
    """
    homes: dict[str, str] = {}
    is_new_card = view.tree.lstat("/etc/passwd") is None and view.tree.lstat("/nix/store") is not None
    for account in () if is_new_card else read_accounts(view):
        home = account.home.rstrip("/")
        if home.startswith("/") and view.tree.names(home):
            homes.setdefault(home, account.name)
    for path, _ in view.children("/home"):
        homes.setdefault(path, path.rsplit("/", 1)[-1])
    homes.setdefault("/root", "root")
    return homes


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else -1
