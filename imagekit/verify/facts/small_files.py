"""The small files of the places where people and scripts put things, each read once for every check that asks.

One walk and one read serve the searches for private keys, for tokens and for version control's leftovers, and the look
at modes in ``/etc``. Both are bounded: what the bound leaves out is named in :attr:`SmallFiles.unread`, so that a check
can say that it did not see everything.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from imagekit.disk.tree import FileType, Node
from imagekit.errors import VerificationFailed
from imagekit.verify.facts.accounts import find_homes, read_accounts
from imagekit.verify.secrets.patterns import STRONG_SECRETS, Secret, find_secrets
from imagekit.verify.view import CannotSee, View, fact

PLACES = ("/etc", "/root", "/home", "/usr/local", "/srv", "/opt")
# Libraries as their publishers ship them: test keys and examples by the thousand, nothing of the build.
_LIBRARIES = (
    "/node_modules", "/site-packages", "/dist-packages", "/.git/objects", "/.cargo/registry", "/go/pkg/mod",
    "/__pycache__", "/.rustup/toolchains",
)  # fmt: skip
_PEM = b"PRIVATE KEY"
_PEM_BEGIN = b"-----BEGIN "
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_HEAD = 8000  # a NUL in here makes a file binary, as git judges (buffer_is_binary)
_PIECE = 1 << 20
_GAP = b"\0\n"
# What a file must contain to be looked at closely. Every certificate begins as a key does, so a key's own word counts.
_LITERALS = (
    _PEM,
    *(literal for pattern in STRONG_SECRETS for literal in pattern.literals if not literal.startswith(_PEM_BEGIN)),
)


@dataclass(frozen=True, slots=True)
class _Budget:
    """How much is looked at: directory entries, files and bytes in all, and the largest file, in bytes."""

    entries: int
    files: int
    total: int
    largest: int


_QUICK = _Budget(entries=6_000, files=3_000, total=8 << 20, largest=256 << 10)
_DEEP = _Budget(entries=1_000_000, files=200_000, total=512 << 20, largest=16 << 20)


@dataclass(slots=True)
class SmallFiles:
    """What was seen: every ``entry`` that was walked over, ``secrets`` by path, and paths with a PEM key's header.

    ``unread`` says, place by place, what was not looked at.
    """

    entries: list[tuple[str, Node]] = field(default_factory=list)
    secrets: dict[str, tuple[Secret, ...]] = field(default_factory=dict)
    key_headers: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)

    def need_all(self, *places: str) -> None:
        """Raise :class:`CannotSee` when something under ``places`` was not looked at."""
        missing = [each for each in self.unread if f"{each.split(':')[0]}/".startswith(tuple(f"{p}/" for p in places))]
        if missing:
            raise CannotSee(f"not everything was read ({'; '.join(missing[:3])}); a deep verification reads more")


def search_small_files(view: View, *, deep: bool = False) -> SmallFiles:
    """Return what the small files hold; with ``deep``, larger and many more of them are read."""
    return _search_deeply(view) if deep else _search_quickly(view)


@fact
def _search_quickly(view: View) -> SmallFiles:
    return _search(view, _QUICK)


@fact
def _search_deeply(view: View) -> SmallFiles:
    return _search(view, _DEEP)


def _search(view: View, budget: _Budget) -> SmallFiles:
    found = SmallFiles()
    reader = _Reader(view, found, budget)
    for place in _list_places(view):
        reader.read_place(place)
    reader.search_piece()
    return found


def _list_places(view: View) -> Iterator[str]:
    """Yield the places, then homes of people that lie outside them; each canonical, none inside another."""
    places: list[str] = []
    try:
        people = {account.name for account in read_accounts(view) if account.is_person}
        homes = [home for home, owner in find_homes(view).items() if owner in people]
    except CannotSee:  # no accounts: a card whose /etc is made at first boot
        homes = []
    for place in (*PLACES, *homes):
        canonical = view.tree.resolve(place)
        if canonical and canonical != "/" and not any(f"{canonical}/".startswith(f"{each}/") for each in places):
            places.append(canonical)
            yield canonical


class _Reader:
    """Walks and reads within the budget; files are searched together, a piece of about 1 MiB at a time."""

    def __init__(self, view: View, found: SmallFiles, budget: _Budget) -> None:
        self._view, self._found, self._budget = view, found, budget
        self._files = self._total = 0
        self._piece: list[tuple[str, bytes]] = []
        self._piece_bytes = 0

    def read_place(self, place: str) -> None:
        found, budget = self._found, self._budget
        try:
            for path, node in self._view.walk(place, skip=_LIBRARIES):
                if len(found.entries) >= budget.entries:
                    found.unread.append(f"{place}: more than {budget.entries} files")
                    return
                found.entries.append((path, node))
                if node.type is FileType.FILE and 0 < node.size <= budget.largest:
                    if self._files >= budget.files or self._total + node.size > budget.total:
                        found.unread.append(f"{place}: more than {budget.files} files or {budget.total >> 20} MiB")
                        return
                    self._read_file(path, node)
        except VerificationFailed as problem:  # a directory that this user may not list
            found.unread.append(f"{place}: {problem.message}")
        except CannotSee as blind:  # another filesystem that cannot be read
            found.unread.append(f"{place}: {blind.reason}")

    def _read_file(self, path: str, node: Node) -> None:
        self._files += 1
        self._total += node.size
        try:
            data = self._view.tree.source.data(node, self._budget.largest)
        except VerificationFailed as problem:  # this user may not read it
            self._found.unread.append(f"{path}: {problem.message}")
            return
        is_bundle = data.startswith(_CERTIFICATE) and _PEM not in data  # a quarter of all bytes in a Debian's /etc
        if is_bundle or b"\0" in data[:_HEAD]:
            return
        self._piece.append((path, data))
        self._piece_bytes += len(data) + len(_GAP)
        if self._piece_bytes > _PIECE:
            self.search_piece()

    def search_piece(self) -> None:
        """Look for the patterns' beginnings in all files at once, and at the files that have one more closely."""
        joined = _GAP.join(data for _, data in self._piece)
        starts: list[int] = []
        at = 0
        for _, data in self._piece:
            starts.append(at)
            at += len(data) + len(_GAP)
        for number in sorted({bisect_right(starts, place) - 1 for place in _find_literals(joined)}):
            path, data = self._piece[number]
            if _has_key_header(data):
                self._found.key_headers.append(path)
            secrets = tuple(find_secrets(data))
            if secrets:
                self._found.secrets[path] = secrets
        self._piece, self._piece_bytes = [], 0


def _find_literals(data: bytes) -> Iterator[int]:
    for literal in _LITERALS:
        at = data.find(literal)
        while at >= 0:
            yield at
            at = data.find(literal, at + len(literal))


def _has_key_header(data: bytes) -> bool:
    """Say whether a line begins a private key in the textual encoding (RFC 7468, section 10; OpenSSH's own)."""
    at = data.find(_PEM_BEGIN)
    while at >= 0:
        line = data[at : at + 80].split(b"\n", 1)[0]
        if _PEM in line and (at == 0 or data[at - 1 : at] in b"\n\r"):
            return True
        at = data.find(_PEM_BEGIN, at + 1)
    return False
