"""Search gigabytes for the strong patterns of :mod:`imagekit.verify.secrets.patterns`, with the same result.

Looking for thirty literals costs thirty passes. Here a look at every second byte finds the blocks with a long run of
the characters that secrets are made of; in compressed data and machine code there are few. Only those are searched,
with letters that differ between literals of one shape made one first, so that one pass finds several of them. A
regular expression is tried only where a literal stands.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from imagekit.disk.containers.open import Disk
from imagekit.disk.runs import Range
from imagekit.verify.secrets.patterns import LONGEST_SECRET, STRONG_SECRETS, Secret, SecretPattern, match_secret

PIECE = 1 << 20
_BLOCK = 4096
_ZEROS = bytes(PIECE)
_CONTEXT = 64  # bytes before a match that decide whether it is one

# Letters that differ between literals of one shape become one: gh[pousr]_, xox[bp]-, "Key" and "ken", ":$" and "!$".
_SAME = {ord(character): ord("p") for character in "bdoprsu"} | {ord(character): ord("n") for character in "yng"}
_SAME[ord("!")] = ord(":")
_FOLD = bytes(_SAME.get(lower, lower) for lower in (value + 32 if 65 <= value <= 90 else value for value in range(256)))
_TEXTS = (
    b"-----BEGIN ", b":$", b"key", b"glp", b"xoxb-", b"ghp_", b"_pat_", b"k_live_", b"ps_ey", b"AKIA", b"hvs.",
)  # fmt: skip

_RUN = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_-+/."
_IS_RUN = bytes(value in _RUN for value in range(256))
_SHORTEST_RUN = 20
_SAMPLES = b"\1" * (_SHORTEST_RUN // 2)
_BEFORE, _BEHIND = 640, 32  # how far a literal may be before the block with the run, and reach out behind it


@dataclass(frozen=True, slots=True)
class _Needle:
    """What one pass looks for, and every literal that has it, with its place inside."""

    folded: bytes
    literals: tuple[tuple[SecretPattern, bytes, int], ...]


def _make_needles(literals: set[bytes]) -> tuple[_Needle, ...]:
    """Give each of ``literals`` to the first text that it contains after folding, and take it out."""
    found: dict[bytes, list[tuple[SecretPattern, bytes, int]]] = {text.translate(_FOLD): [] for text in _TEXTS}
    for pattern in STRONG_SECRETS:
        for literal in literals.intersection(pattern.literals):
            folded = literal.translate(_FOLD)
            needle = next((each for each in found if each in folded), None)
            if needle is not None:
                found[needle].append((pattern, literal, folded.index(needle)))
                literals.remove(literal)
    return tuple(_Needle(folded, tuple(each)) for folded, each in found.items())


UNSCANNED = {literal for pattern in STRONG_SECRETS for literal in pattern.literals}  # in the end, none
_NEEDLES = _make_needles(UNSCANNED)


def scan(data: bytes) -> list[Secret]:
    """Return what ``find_secrets(data)`` yields, sorted by offset."""
    found: dict[tuple[int, str], Secret] = {}
    for begin, end in _find_windows(data):
        folded = data[begin:end].translate(_FOLD)
        for needle in _NEEDLES:
            _collect(data, folded, begin, needle, found)
    return _drop_nested(sorted(found.values(), key=lambda each: (each.offset, each.kind)))


def _collect(data: bytes, folded: bytes, base: int, needle: _Needle, found: dict[tuple[int, str], Secret]) -> None:
    """Add the secrets that a needle leads to; ``folded`` begins at ``base`` of ``data``."""
    at = folded.find(needle.folded)
    while at >= 0:
        for pattern, literal, shift in needle.literals:
            begin = base + at - shift
            if begin >= 0 and data.startswith(literal, begin):
                secret = match_secret(pattern, data, begin)
                if secret is not None:
                    found[secret.offset, secret.kind] = secret
        at = folded.find(needle.folded, at + 1)


def _drop_nested(secrets: list[Secret]) -> list[Secret]:
    """Leave out a match of the same kind inside another one, as a search that goes on behind each match does."""
    ends: dict[str, int] = {}
    kept = []
    for secret in secrets:
        if secret.offset >= ends.get(secret.kind, 0):
            ends[secret.kind] = secret.offset + secret.length
            kept.append(secret)
    return kept


def _find_windows(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the parts of ``data`` in which a secret may begin: blocks with a long run, and what is before them."""
    samples = data[::2].translate(_IS_RUN)
    begin = end = 0
    at = samples.find(_SAMPLES)
    while at >= 0:
        block = 2 * at // _BLOCK * _BLOCK
        if block - _BEFORE > end:
            if end:
                yield begin, end
            begin = max(0, block - _BEFORE)
        end = block + _BLOCK + _BEHIND
        at = samples.find(_SAMPLES, (block + _BLOCK) // 2)
    if end:
        yield begin, end


@dataclass(slots=True)
class Scanned:
    """What a search has seen so far: bytes in blocks that are not all zero, and secrets at offsets of the disk."""

    used_bytes: int
    secrets: list[Secret]


def scan_ranges(disk: Disk, ranges: Iterable[Range]) -> Scanned:
    """Search ``ranges`` of ``disk``, which rise; what lies across the border of two pieces is found too.

    Reads 1 MiB at a time. Raises :class:`imagekit.errors.ImageDamaged` as the disk does.
    """
    seen = Scanned(0, [])
    for offset, length in ranges:
        tail, end, position = b"", offset + length, offset
        while position < end:
            piece = disk.read(position, min(PIECE, end - position))
            begin, position = position - len(tail), position + len(piece)
            if piece == (_ZEROS if len(piece) == PIECE else _ZEROS[: len(piece)]):
                if tail:
                    _take(seen, scan(tail), begin, _CONTEXT, len(tail))
                tail = b""
                continue
            seen.used_bytes += count_used(piece)
            data = tail + piece
            # What begins in the last bytes may go on in the next piece: it waits for it.
            settled = len(data) if position == end else max(len(data) - LONGEST_SECRET, 0)
            _take(seen, scan(data), begin, _CONTEXT if tail else 0, settled)
            tail = data[max(settled - _CONTEXT, 0) :]
    return seen


def _take(seen: Scanned, secrets: list[Secret], base: int, first: int, settled: int) -> None:
    for secret in secrets:
        if first <= secret.offset < settled:
            seen.secrets.append(
                Secret(secret.kind, secret.strength, base + secret.offset, secret.length, secret.fingerprint)
            )


def count_used(piece: bytes) -> int:
    """Return how many bytes of ``piece`` are in blocks of 4 KiB that are not all zero."""
    zero = _ZEROS[:_BLOCK]
    if len(piece) <= _BLOCK:
        return len(piece) if any(piece) else 0
    blocks = (piece[at : at + _BLOCK] for at in range(0, len(piece), _BLOCK))
    return sum(len(block) for block in blocks if block != zero[: len(block)])
