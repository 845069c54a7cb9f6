"""What travels between us and the collector on a machine: requests, and answers that nobody trusts.

The machine may be hostile: an answer is bounded before and after it is unpacked, and every value has the type and
the range that it must have, or :class:`imagekit.errors.HostFailed` says that the answer makes no sense.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from imagekit.errors import HostFailed

MOST_PACKED = 64 << 20
MOST_UNPACKED = 192 << 20
_Natural = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Path = Annotated[str, msgspec.Meta(max_length=16384, pattern=r"^/")]


class Entry(msgspec.Struct, array_like=True, frozen=True):
    """One directory entry; ``kind`` is f(ile), d(irectory), l(ink) or o(ther), ``target`` a link's text."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=255, pattern=r"^[^/\x00]+$")]
    kind: Literal["f", "d", "l", "o"]
    mode: Annotated[int, msgspec.Meta(ge=0, le=0o7777)]
    uid: _Natural
    gid: _Natural
    size: _Natural
    mtime: Annotated[int, msgspec.Meta(ge=-(1 << 62), le=1 << 62)]
    target: Annotated[str, msgspec.Meta(max_length=4096)]


class Listing(msgspec.Struct, array_like=True, frozen=True):
    """A whole directory, or in ``problem`` why not."""

    path: _Path
    problem: str
    entries: list[Entry]


class Lookup(msgspec.Struct, array_like=True, frozen=True):
    """One path; neither a problem nor an entry means that there is nothing."""

    path: _Path
    problem: str
    entry: Entry | None


class Content(msgspec.Struct, array_like=True, frozen=True):
    """A file's beginning: ``length`` bytes of the block that follows; ``whole`` when the file ended there."""

    path: _Path
    problem: str
    length: _Natural
    whole: bool


class Answer(msgspec.Struct, frozen=True):
    """What the collector told; ``mounts`` are path and type, ``uid`` is whom it runs as."""

    uid: _Natural
    mounts: list[tuple[str, str]]
    listings: list[Listing]
    lookups: list[Lookup]
    contents: list[Content]


@dataclass(frozen=True, slots=True)
class Request:
    """What to collect: directories (path, depth, bytes of files to read along), paths to look at, files to read.

    The bounds are entries to describe, bytes to read in all, bytes to read along, and seconds.
    """

    listings: Iterable[tuple[str, int, int]] = ()
    paths: Iterable[str] = ()
    reads: Mapping[str, int] = field(default_factory=dict)
    entries: int = 150_000
    size: int = 32 << 20
    along: int = 2 << 20
    seconds: float = 15.0

    def encode(self) -> bytes:
        """Return the request as the collector reads it."""
        document = {
            "list": [[encode_path(path), depth, size] for path, depth, size in self.listings],
            "ask": [encode_path(path) for path in self.paths],
            "read": [[encode_path(path), limit] for path, limit in self.reads.items()],
            "entries": self.entries,
            "bytes": self.size,
            "along": self.along,
            "seconds": self.seconds,
        }
        return json.dumps(document).encode()


def encode_path(path: str) -> str:
    """Return a path (text with surrogateescape) as Latin-1 text of its bytes: JSON has no lone surrogates."""
    return path.encode("utf-8", "surrogateescape").decode("latin-1")


def decode_path(text: str) -> str:
    """Return what :func:`encode_path` was given; raises :class:`HostFailed` for what it cannot have made."""
    if text.isascii():
        return text
    try:
        return text.encode("latin-1").decode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise HostFailed("the machine named a file in a way that makes no sense") from None


def decode_answer(packed: bytes) -> tuple[Answer, memoryview]:
    """Return an answer and the bytes of its files; raises :class:`HostFailed` for anything out of bounds."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, MOST_UNPACKED)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise HostFailed("the machine's answer is cut or larger than it may be")
        head, _, _ = data.partition(b"\n")
        answer = msgspec.json.decode(head, type=Answer)
    except (zlib.error, msgspec.DecodeError, RecursionError, UnicodeError) as problem:
        raise HostFailed(f"the machine's answer makes no sense: {str(problem)[:200]}") from problem
    blobs = memoryview(data)[len(head) + 1 :]
    if sum(each.length for each in answer.contents) != len(blobs):
        raise HostFailed("the machine's answer contradicts itself about the length of files")
    return answer, blobs
