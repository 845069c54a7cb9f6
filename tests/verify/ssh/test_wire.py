"""Answers of a machine that lies: every one is an answer or a HostFailed, in bounded memory; and the script it gets."""

import ast
import contextlib
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.disk.tree import FileType
from imagekit.errors import HostFailed, ImageDamaged
from imagekit.host import run
from imagekit.verify import CannotSee
from imagekit.verify.ssh.rounds import FIRST
from imagekit.verify.ssh.script import make_script
from imagekit.verify.ssh.snapshot import Snapshot, SnapshotTree
from imagekit.verify.ssh.wire import MOST_UNPACKED, decode_answer, decode_path, encode_path

_ENTRY = ["name", "f", 0o644, 0, 0, 3, 0, ""]


def _pack(head: object, blob: bytes = b"") -> bytes:
    return zlib.compress(json.dumps(head).encode() + b"\n" + blob)


def _head(**changes: Any) -> dict[str, Any]:
    return {"uid": 0, "mounts": [], "listings": [], "lookups": [], "contents": [], **changes}


def test_honest_answer_is_read() -> None:
    """Listings, lookups, files and links of an answer are what the tree then shows."""
    link = ["link", "l", 0o777, 0, 0, 5, 0, "/name"]
    head = _head(listings=[["/", "", [_ENTRY, link]]], contents=[["/name", "", 3, True]])
    snapshot = Snapshot()
    snapshot.absorb(*decode_answer(_pack(head, b"abc")))
    tree = SnapshotTree(snapshot)
    assert tree.read("/link") == b"abc"
    assert tree.readlink("/link") == "/name"
    assert tree.names("/") == ("link", "name")
    node = tree.stat("/name")
    assert node is not None
    assert (node.type, node.mode, node.size) == (FileType.FILE, 0o644, 3)
    assert snapshot.misses == 0


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"no zlib",
        _pack(_head())[:-3],
        zlib.compress(b""),
        zlib.compress(b"{}\n"),
        zlib.compress(b"[" * 100_000),
        zlib.compress(b'{"uid":0,"mounts":' + b"[" * 100_000),
        _pack(_head(uid=-1)),
        _pack(_head(uid="0")),
        _pack(_head(uid=1 << 80)),
        _pack(_head(mounts=[["/"]])),
        _pack(_head(mounts=[["/", 3]])),
        _pack(_head(listings=[["relative", "", []]])),
        _pack(_head(listings=[["/" + "x" * 20_000, "", []]])),
        _pack(_head(listings=[["/", "", [["a/b", *_ENTRY[1:]]]]])),
        _pack(_head(listings=[["/", "", [["", *_ENTRY[1:]]]]])),
        _pack(_head(listings=[["/", "", [["a\0", *_ENTRY[1:]]]]])),
        _pack(_head(listings=[["/", "", [["n", "x", *_ENTRY[2:]]]]])),
        _pack(_head(listings=[["/", "", [["n", "f", 0o10000, *_ENTRY[3:]]]]])),
        _pack(_head(listings=[["/", "", [["n", "f", 0, 0, 0, -1, 0, ""]]]])),
        _pack(_head(listings=[["/", "", [["n", "f", 0, 0, 0, 1 << 63, 0, ""]]]])),
        _pack(_head(listings=[["/", "", [["n", "f", 0, 0, 0, 1.5, 0, ""]]]])),
        _pack(_head(listings=[["/", "", [["n", "l", 0, 0, 0, 1, 0, "x" * 5000]]]])),
        _pack(_head(lookups=[["/a", "", ["n"]]])),
        _pack(_head(contents=[["/a", "", 4, True]]), b"abc"),
        _pack(_head(contents=[["/a", "", 2, True]]), b"abc"),
        _pack(_head(contents=[["/a", "", -1, True]]), b""),
    ],
)  # fmt: skip
def test_nonsense_is_refused(packed: bytes) -> None:
    """What is cut, of the wrong type, out of range or contradicts itself is refused."""
    with pytest.raises(HostFailed, match="answer"):
        decode_answer(packed)


def test_bomb_is_not_unpacked() -> None:
    """A small answer that would unpack to more than the limit is refused when the limit is reached."""
    packer = zlib.compressobj(9)
    piece = bytes(1 << 20)
    packed = b"".join(packer.compress(piece) for _ in range((MOST_UNPACKED >> 20) + 2)) + packer.flush()
    assert len(packed) < 1 << 20
    with pytest.raises(HostFailed, match="larger than it may be"):
        decode_answer(packed)


def test_name_beyond_bytes_is_refused() -> None:
    """A path that no bytes can have made is refused."""
    with pytest.raises(HostFailed, match="makes no sense"):
        decode_path("/\u20ac")


@given(st.binary(max_size=40))
def test_paths_are_carried_unchanged(raw: bytes) -> None:
    """Any bytes come back as the same text."""
    path = raw.decode("utf-8", "surrogateescape")
    assert decode_path(encode_path(path)) == path
    assert json.loads(json.dumps(encode_path(path))) == encode_path(path)


_NAMES = st.sampled_from(["a", "b", "..", ".", "etc", "\xff"])
_ENTRIES = st.tuples(
    _NAMES, st.sampled_from("fdlo"), st.integers(0, 0o7777), st.just(0), st.just(0),
    st.integers(0, 1 << 62), st.just(0), st.sampled_from(["", "a", "/b", "..", "a/../b", "/", "\xff"]),
)  # fmt: skip
_PATHS = st.lists(_NAMES, max_size=4).map(lambda names: "/" + "/".join(names))


@given(
    st.lists(st.tuples(_PATHS, st.sampled_from(["", "denied", "mount nfs", "EIO"]), st.lists(_ENTRIES, max_size=5))),
    st.lists(st.tuples(_PATHS, st.just(""), st.none() | _ENTRIES)),
    st.lists(_PATHS),
)
def test_strange_trees_end(listings: Any, lookups: Any, asked: list[str]) -> None:
    """Whatever a machine claims to have, looking at it ends in an answer, in damage, or in something not seen."""
    snapshot = Snapshot()
    head = _head(listings=listings, lookups=lookups, contents=[["/a", "", 1, False]])
    snapshot.absorb(*decode_answer(_pack(head, b"x")))
    tree = SnapshotTree(snapshot)
    for path in (*asked, "/a", "/etc/a"):
        with contextlib.suppress(CannotSee, ImageDamaged):
            tree.read(path)
            tree.readlink(path)
            for count, _ in enumerate(tree.walk(path, 1000)):
                assert count < 1000
    assert len((snapshot.take_wanted() or FIRST).encode()) < 1 << 20


def test_script_is_one_for_old_pythons() -> None:
    """What is sent has no syntax younger than Python 3.6, no annotation, and stays small."""
    script = make_script("0123456789abcdef")
    tree = ast.parse(script, feature_version=(3, 6))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.AnnAssign)]
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.arg) and node.annotation]
    assert b"__future__" not in script
    assert len(script) < 16_000


def test_script_answers_by_itself(tmp_path: Path) -> None:
    """The script alone, run by a Python without anything of ours, answers requests until its input ends."""
    request = FIRST.encode()
    script = make_script("mark")
    argv = ["/usr/bin/env", "-i", "python3", "-I", "-B", "-"]
    with_requests = b"import io, sys\nclass Input:\n    buffer = io.BytesIO(%r)\nsys.stdin = Input\n" % (
        b"%d\n%s" % (len(request), request) * 2
    )
    output = run(argv, stdin=with_requests + script, directory=tmp_path).output
    _, first, second = output.split(b"\nmark ")
    for part in (first, second):
        header, _, body = part.partition(b"\n")
        length, said = header.split()
        assert said == b"ok"
        answer, _ = decode_answer(body[: int(length)])
        assert "/etc" in {listing.path for listing in answer.listings}
    assert list(tmp_path.iterdir()) == []
