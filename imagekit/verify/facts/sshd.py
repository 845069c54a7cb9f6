"""The policy sshd would follow, worked out from its files (sshd_config(5)).

``sshd -T`` cannot be asked: without host keys, as a clean template has none, it ends with an error. Rules: the first
value of a keyword wins; ``Include`` is expanded where it stands, names in C order; what follows ``Match`` counts only
for whom it matches, and a ``Match`` inside an included file ends with that file.
"""

import fnmatch
import shlex
from dataclasses import dataclass, field

from imagekit.verify.view import CannotSee, View, fact

MAIN_FILE = "/etc/ssh/sshd_config"
_DEPTH = 16  # sshd's own limit for nested includes
_FILES = 500
_LINES = 20_000
_DIRECTORIES = 100
_WILD = frozenset("*?[")
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


@dataclass(frozen=True, slots=True)
class Line:
    """A line that says something: ``keyword`` in lower case, by its present name; ``number`` counts from 1."""

    keyword: str
    value: str
    path: str
    number: int
    in_match: bool


@dataclass(slots=True)
class MatchBlock:
    """Settings under one ``Match`` line."""

    criteria: str
    path: str
    settings: dict[str, Setting] = field(default_factory=dict)


@dataclass(slots=True)
class SshdPolicy:
    """``settings`` apply to everybody; ``blocks`` to whom their criteria name; keywords are in lower case.

    ``lines`` are all of them in the order in which sshd reads them; ``unread`` are included names that lead nowhere.
    """

    settings: dict[str, Setting] = field(default_factory=dict)
    blocks: list[MatchBlock] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)

    def get(self, keyword: str) -> Setting:
        """Return the effective value of ``keyword``, sshd's own default when no file sets it."""
        return self.settings.get(keyword) or Setting(_DEFAULTS.get(keyword, ""), MAIN_FILE)

    def list_values(self, keyword: str) -> list[Setting]:
        """Return every value of a keyword that may be repeated (``HostKey``), those for everybody only."""
        lines = (line for line in self.lines if line.keyword == keyword and not line.in_match)
        return [Setting(line.value, line.path) for line in lines]

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
    for number, text in enumerate(view.lines(path), 1):
        keyword, value = _split_line(text)
        if not keyword:
            continue
        if len(policy.lines) >= _LINES:
            raise CannotSee(f"{path} makes sshd's configuration too long")
        policy.lines.append(Line(keyword, value, path, number, block is not None))
        if keyword == "include":
            for included in _expand(view, value):
                if view.tree.stat(included) is None:
                    policy.unread.append((path, included))
                else:
                    _read_file(view, policy, included, block, depth + 1)
        elif keyword == "match":
            if value.lower() == "all" and outer is None:
                block = None
                continue
            block = MatchBlock(value, path)
            policy.blocks.append(block)
        else:
            (policy.settings if block is None else block.settings).setdefault(keyword, Setting(value, path))


def _split_line(text: str) -> tuple[str, str]:
    """Return keyword and value of a line; an empty keyword for a blank line or a comment.

    Blanks or one ``=`` stand between the two, and the keyword may be quoted.
    """
    text = text.strip()
    if not text or text.startswith("#"):
        return "", ""
    end = next((at for at, character in enumerate(text) if character.isspace() or character == "="), len(text))
    keyword = text[:end].strip('"').lower()
    rest = text[end:].lstrip()
    if rest.startswith("="):
        rest = rest[1:].lstrip()
    return _ALIASES.get(keyword, keyword), _strip_comment(rest)


def _strip_comment(value: str) -> str:
    """Return a value without quotes and trailing comment; OpenSSH accepts both since 8.5."""
    try:
        words = shlex.split(value, comments=True)
    except ValueError:
        return value
    return " ".join(words)


def _expand(view: View, patterns: str) -> list[str]:
    """Return the files an ``Include`` names, each pattern's matches in C order; relative ones start in ``/etc/ssh``.

    As glob(3) does it: a pattern may have wildcards in any part and does not match a leading dot, and a name without
    a match is left out silently. A link that leads nowhere is a match.
    """
    found = []
    for pattern in patterns.split():
        parts = (pattern if pattern.startswith("/") else f"/etc/ssh/{pattern}").split("/")[1:]
        places = [""]
        for part in parts:
            places = [f"{place}/{name}" for place in places[:_DIRECTORIES] for name in _match_names(view, place, part)]
        found += places
    return found[: _FILES + 1]


def _match_names(view: View, directory: str, part: str) -> list[str]:
    if part in ("", ".", ".."):
        return [part]
    if not _WILD & set(part):
        return [part] if view.tree.lstat(f"{directory}/{part}") is not None else []
    names = [name for name in view.tree.names(directory or "/") if name[0] != "." or part[0] == "."]
    return sorted(name for name in names if fnmatch.fnmatchcase(name, part))
