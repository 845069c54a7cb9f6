"""Secrets in a Nix store: everything in it can be read by every account of the machine (mode 0444).

What a configuration brings are files that lie in the store directly (``writeText`` and its kin), units
(``unit-…``) with their scripts (``unit-script-…``), and the system's activation. Packages as their publishers ship
them are read in a deep verification only.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from imagekit.disk.tree import FileType, Node
from imagekit.verify.facts.nixos import STORE, find_systems
from imagekit.verify.secrets.patterns import STRONG_SECRETS, find_secrets
from imagekit.verify.view import CannotSee, View, fact

_LARGEST = 256 << 10
_LARGEST_DEEP = 4 << 20
_MOST_FILES, _MOST_FILES_DEEP = 5_000, 1_000_000
_MOST_BYTES, _MOST_BYTES_DEEP = 16 << 20, 8 << 30
_HEAD = 8000  # a NUL in here makes a file binary, as git judges (buffer_is_binary)
_OWN = re.compile(r"[0-9a-z]{32}-(?:unit-|etc-|system-units$|nixos-system-)")
_SYSTEM_FILES = ("activate", "init", "prepare-root", "dry-activate")
# Sources, patches and tests' keys, as their publishers ship them.
_LIBRARIES = frozenset(
    {"test", "tests", "testdata", "doc", "docs", "man", "info", "example", "examples", "node_modules", "site-packages"}
)
_VALUE = rb"(?:\\?[\"'])?(?![\s\"'$%{/@<\\]|file:)[^\s\"'\\]"
# Something of what each pattern below needs, in lower case; most files have nothing of it.
_SETTING_LITERALS = (b"passw", b"passphrase", b"token", b"secret", b"api_key", b"apikey", b"psk", b"presharedkey",
                     b"wep_key", b"pwhash")  # fmt: skip
_SECRET_LITERALS = tuple(literal for pattern in STRONG_SECRETS for literal in pattern.literals)
_PIECE = 1 << 20
_GAP = b"\0\n"
# Settings of the things that a card of this kind runs; a name that ends in _FILE is what it should be.
_SETTINGS = (
    re.compile(
        rb"(?i)(?<![0-9A-Za-z])((?:initial)?hashed_?password)\\?\"?[ \t]{0,8}[:=][ \t]{0,8}(?:\\?[\"'])?"
        rb"\$(?:y|gy|7|2[abxy]|6|5|1)\$[./0-9A-Za-z$=,]{8}"
    ),
    re.compile(
        rb"(?<![0-9A-Za-z_])(WEBPASSWORD|FTLCONF_webserver_api_(?:password|pwhash))\\?\"?[ \t]{0,8}[:=][ \t]{0,8}"
        + _VALUE
    ),
    re.compile(rb"(?<![0-9A-Za-z_])(pwhash)\"?[ \t]{0,8}[:=][ \t]{0,8}[\"']?\$BALLOON"),
    re.compile(
        rb"(?m)(?:^Environment=\"?|(?:-e|--env)[ =][\"']?)"
        rb"([A-Z][A-Z0-9_]{0,60}?(?:PASSWORD|PASSWD|PASSPHRASE|TOKEN|SECRET|API_?KEY))=" + _VALUE
    ),
    re.compile(rb"(?m)^[ \t]{0,16}#?(psk|sae_password|wep_key\d)[ \t]{0,8}=[ \t]{0,8}(?:\"[^\"\n]|[0-9a-f]{64})"),
    re.compile(rb"(?m)^(psk|wpa_passphrase|wpa_psk|Passphrase|PreSharedKey)=(?!ext:)[^\s\"'$%{/@<][^\s]{7}"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _File:
    """A file that was read; ``own`` when a configuration wrote it."""

    path: str
    data: bytes
    own: bool


@dataclass(slots=True)
class StoreFiles:
    """What was found: evidence for each path, and what was left out."""

    found: dict[str, str] = field(default_factory=dict)
    unread: str = ""


def search_store(view: View, *, deep: bool = False) -> StoreFiles:
    """Return the secrets in the store's files; ``deep`` reads packages as well."""
    return _search_deeply(view) if deep else _search_quickly(view)


@fact
def _search_quickly(view: View) -> StoreFiles:
    return _search(view, deep=False)


@fact
def _search_deeply(view: View) -> StoreFiles:
    return _search(view, deep=True)


def _search(view: View, *, deep: bool) -> StoreFiles:
    result = StoreFiles()
    if view.tree.stat(STORE) is None:
        raise CannotSee(f"the image has no {STORE}")
    most_files, most_bytes = (_MOST_FILES_DEEP, _MOST_BYTES_DEEP) if deep else (_MOST_FILES, _MOST_BYTES)
    count = total = pending = 0
    files: list[_File] = []
    for path, node, own in _list_files(view, deep=deep):
        count, total = count + 1, total + node.size
        if count > most_files or total > most_bytes:
            result.unread = path
            break
        data = view.tree.source.data(node, _LARGEST_DEEP)
        if b"\0" not in data[:_HEAD]:
            files.append(_File(path, data, own))
            pending += len(data)
            if pending >= _PIECE:
                result.found |= _judge_together(files)
                files, pending = [], 0
    result.found |= _judge_together(files)
    return result


def _judge_together(files: list[_File]) -> dict[str, str]:
    """Return the evidence for each file that has any; a word is looked for in all of them at once, which is faster."""
    starts, at = [], 0
    for file in files:
        starts.append(at)
        at += len(file.data) + len(_GAP)
    joined = _GAP.join(file.data for file in files)
    wanted = set(_find_files(joined, _SECRET_LITERALS, starts)) | set(
        _find_files(joined.lower(), _SETTING_LITERALS, starts)
    )
    judged = ((files[index].path, _judge(files[index].data, own=files[index].own)) for index in sorted(wanted))
    return {path: evidence for path, evidence in judged if evidence}


def _find_files(joined: bytes, literals: tuple[bytes, ...], starts: list[int]) -> Iterator[int]:
    """Yield the number of every file that has one of ``literals``, going on behind the file after each."""
    for literal in literals:
        at = joined.find(literal)
        while at >= 0:
            index = bisect_right(starts, at) - 1
            yield index
            at = joined.find(literal, starts[index + 1]) if index + 1 < len(starts) else -1


def _list_files(view: View, *, deep: bool) -> Iterator[tuple[str, Node, bool]]:
    """Yield path, node and whether a configuration wrote it."""
    for path, node in view.children(STORE):
        if node.type is FileType.FILE and 0 < node.size <= _LARGEST:
            yield path, node, True
        elif node.type is FileType.DIRECTORY:
            own = _OWN.match(path.rsplit("/", 1)[-1]) is not None
            if path in find_systems(view):
                entries = ((f"{path}/{name}", view.tree.lstat(f"{path}/{name}")) for name in _SYSTEM_FILES)
                yield from ((place, each, True) for place, each in entries if _is_small(each, _LARGEST) and each)
            elif own or deep:
                for place, each in view.walk(path):
                    # Test keys come by the hundred with packages, and so do examples.
                    if _is_small(each, _LARGEST if own else _LARGEST_DEEP) and (own or _is_wanted(place)):
                        yield place, each, own


def _is_small(node: Node | None, largest: int) -> bool:
    return node is not None and node.type is FileType.FILE and 0 < node.size <= largest


def _is_wanted(path: str) -> bool:
    return not _LIBRARIES & set(path.lower().split("/")[4:])


def _judge(data: bytes, *, own: bool) -> str:
    """Return what is in a file, never the value; settings are looked for in what a configuration wrote."""
    for secret in find_secrets(data, STRONG_SECRETS):
        return str(secret)
    for pattern in _SETTINGS if own else ():
        if match := pattern.search(data):
            return f"a value for {match.group(1).decode()}"
    return ""
