"""Secrets in a Nix store: everything in it can be read by every account of the machine (mode 0444).

What a configuration brings are files that lie in the store directly (``writeText`` and its kin), units
(``unit-…``) with their scripts (``unit-script-…``), and the system's activation. Packages as their publishers ship
them are read in a deep verification only.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from imagekit.disk.tree import FileType, Node
from imagekit.verify.facts.nixos import STORE, find_systems
from imagekit.verify.secret_patterns import STRONG_SECRETS, find_secrets
from imagekit.verify.view import CannotSee, View, fact

_LARGEST = 256 << 10
_LARGEST_DEEP = 4 << 20
_MOST_FILES = 5_000
_MOST_BYTES = 16 << 20
_HEAD = 8000  # a NUL in here makes a file binary, as git judges (buffer_is_binary)
_OWN = re.compile(r"[0-9a-z]{32}-(?:unit-|etc-|system-units$|nixos-system-)")
_SYSTEM_FILES = ("activate", "init", "prepare-root", "dry-activate")
# Sources, patches and tests' keys, as their publishers ship them.
_LIBRARIES = frozenset(
    {"test", "tests", "testdata", "doc", "docs", "man", "info", "example", "examples", "node_modules", "site-packages"}
)
_VALUE = rb"(?:\\?[\"'])?(?![\s\"'$%{/@<\\]|file:)[^\s\"'\\]"
_LITERAL = re.compile(rb"(?i)passw|passphrase|token|secret|api_?key|psk|pwhash")
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
    count = total = 0
    for path, node, own in _list_files(view, deep=deep):
        count, total = count + 1, total + node.size
        if not deep and (count > _MOST_FILES or total > _MOST_BYTES):
            result.unread = path
            break
        data = view.tree.source.data(node, _LARGEST_DEEP)
        if b"\0" not in data[:_HEAD] and (evidence := _judge(data, own=own)):
            result.found[path] = evidence
    return result


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
    if own and _LITERAL.search(data):
        for pattern in _SETTINGS:
            if match := pattern.search(data):
                return f"a value for {match.group(1).decode()}"
    return ""
