"""The policy sshd would follow, worked out from its files (sshd_config(5)).

``sshd -T`` cannot be asked: without host keys, as a clean template has none, it ends with an error. Rules: the first
value of a keyword wins; ``Include`` is expanded where it stands, names in C order; what follows ``Match`` counts only
for whom it matches, and a ``Match`` inside an included file ends with that file.
"""

import fnmatch
import re
import shlex
from dataclasses import dataclass, field

from imagekit.verify.view import CannotSee, View, fact

MAIN_FILE = "/etc/ssh/sshd_config"
_DEPTH = 16  # sshd's own limit for nested includes
_FILES = 500
_LINE = re.compile(r"\s*([A-Za-z0-9]+)(?:\s*=\s*|\s+)(.*?)\s*$")
_ALIASES = {
    "challengeresponseauthentication": "kbdinteractiveauthentication",
    "skeyauthentication": "kbdinteractiveauthentication",
}
_DEFAULTS = {
    "passwordauthentication": "yes",
    "kbdinteractiveauthentication": "yes",
    "usepam": "no",
    "permitrootlogin": "prohibit-password",
    "permitemptypasswords": "no",
    "authorizedkeysfile": ".ssh/authorized_keys .ssh/authorized_keys2",
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A keyword's value as written, and the file it stands in."""

    value: str
    path: str


@dataclass(slots=True)
class MatchBlock:
    """Settings under one ``Match`` line."""

    criteria: str
    path: str
    settings: dict[str, Setting] = field(default_factory=dict)


@dataclass(slots=True)
class SshdPolicy:
    """``settings`` apply to everybody; ``blocks`` to whom their criteria name; keywords are in lower case."""

    settings: dict[str, Setting] = field(default_factory=dict)
    blocks: list[MatchBlock] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    def get(self, keyword: str) -> Setting:
        """Return the effective value of ``keyword``, sshd's own default when no file sets it."""
        return self.settings.get(keyword) or Setting(_DEFAULTS.get(keyword, ""), MAIN_FILE)

    def allows_passwords(self, block: MatchBlock | None = None) -> Setting | None:
        """Return the setting that lets somebody in by password, or ``None`` when nothing does.

        With ``block``, only what that block itself turns on counts.
        """

        def look(keyword: str) -> Setting:
            return (block.settings.get(keyword) if block else None) or self.get(keyword)

        methods = look("authenticationmethods").value.lower()
        if methods and not any(word in methods for word in ("any", "password", "keyboard-interactive")):
            return None
        password = look("passwordauthentication")
        if password.value.lower() != "no" and (block is None or "passwordauthentication" in block.settings):
            return password
        keyboard = look("kbdinteractiveauthentication")
        wanted = keyboard.value.lower() != "no" and look("usepam").value.lower() == "yes"
        return keyboard if wanted and (block is None or "kbdinteractiveauthentication" in block.settings) else None


@fact
def read_sshd_policy(view: View) -> SshdPolicy:
    """Evaluate ``/etc/ssh/sshd_config``; raises :class:`CannotSee` when there is none."""
    if not view.is_file(MAIN_FILE):
        raise CannotSee(f"the image has no {MAIN_FILE}")
    policy = SshdPolicy()
    _read_file(view, policy, MAIN_FILE, None, 0)
    return policy


def _read_file(view: View, policy: SshdPolicy, path: str, outer: MatchBlock | None, depth: int) -> None:
    if depth > _DEPTH or len(policy.files) >= _FILES:
        raise CannotSee(f"{path} is included too deep or too often")
    policy.files.append(path)
    block = outer
    for line in view.lines(path):
        match = _LINE.match(line)
        if match is None or line.lstrip().startswith("#"):
            continue
        keyword, value = match.group(1).lower(), _strip_comment(match.group(2))
        keyword = _ALIASES.get(keyword, keyword)
        if keyword == "include":
            for included in _expand(view, value):
                _read_file(view, policy, included, block, depth + 1)
        elif keyword == "match":
            if value.lower() == "all" and outer is None:
                block = None
                continue
            block = MatchBlock(value, path)
            policy.blocks.append(block)
        else:
            (policy.settings if block is None else block.settings).setdefault(keyword, Setting(value, path))


def _strip_comment(value: str) -> str:
    """Return a value without quotes and trailing comment; OpenSSH accepts both since 8.5."""
    try:
        words = shlex.split(value, comments=True)
    except ValueError:
        return value
    return " ".join(words)


def _expand(view: View, patterns: str) -> list[str]:
    """Return the files an ``Include`` names, each pattern's matches in C order; relative ones start in ``/etc/ssh``."""
    found = []
    for pattern in patterns.split():
        path = pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}"
        directory, _, name = path.rpartition("/")
        # glob(3): a pattern does not match a leading dot. Patterns in directories are rare and not followed.
        names = [entry for entry in view.tree.names(directory or "/") if fnmatch.fnmatchcase(entry, name)]
        found += [f"{directory}/{entry}" for entry in sorted(names) if entry[0] != "." or name[0] == "."]
    return found
