"""Two real builds of one derivation: alike, or different in a file, at a byte, in a partition."""

import os
import struct
from pathlib import Path

import pytest

from imagekit.build.nix.rebuild import (
    Difference,
    Rebuild,
    compare_outputs,
    find_partition,
    rebuild_output,
    verify_rebuild,
)
from imagekit.build.nix.tool import Nix, find_nix
from imagekit.errors import ToolFailed
from imagekit.host.here import ThisMachine
from tests.build.nix.tiny_derivations import make_flake
from tests.nix_store import OwnStore, make_own_store
from tests.tiny import IMAGE, SYSTEM, UNSTABLE, copy_tiny_flake, name_attribute


def _list_left(store: OwnStore) -> list[str]:
    kept = [each.name for each in Path(store.environment["TMPDIR"]).iterdir()]
    return [*kept, *(each.name for each in store.store_dir.iterdir() if each.name.endswith(".check"))]


def test_alike(tmp_path: Path) -> None:
    """A build that gives the same bytes twice gives no sentence."""
    store, flake = make_own_store(tmp_path), make_flake(tmp_path / "flake")
    store.run("nix", "build", "--no-link", f"path:{flake}#third")
    host = ThisMachine()
    assert verify_rebuild(host, find_nix(host, store.environment), f"path:{flake}#third") == ""


def test_different(tmp_path: Path) -> None:
    """A build that writes the time is caught: the file and its byte are named, and nothing is left behind."""
    store, flake = make_own_store(tmp_path), make_flake(tmp_path / "flake")
    store.run("nix", "build", "--no-link", f"path:{flake}#random")
    host = ThisMachine()
    found = rebuild_output(host, find_nix(host, store.environment), f"path:{flake}#random")
    assert not found.alike
    assert found.output.endswith("-random-1.0")
    (difference,) = found.differences
    assert difference.path == "when"
    assert difference.offset in range(20)
    assert str(found) == f"two builds differ: when (from byte {difference.offset} on)"
    assert _list_left(store) == []


def test_different_card(tmp_path: Path) -> None:
    """Of a packed card the byte and the partition are named, as they are once it is unpacked."""
    store, flake = make_own_store(tmp_path), copy_tiny_flake(tmp_path / "flake")
    host = ThisMachine()
    nix = find_nix(host, store.environment)
    for attribute, alike in ((UNSTABLE, False), (IMAGE, True)):
        installable = f"path:{flake}#{name_attribute(attribute, SYSTEM)}"
        store.run("nix", "build", "--no-link", installable)
        found = rebuild_output(host, nix, installable)
        assert found.alike == alike
        if not alike:
            (difference,) = found.differences
            assert difference.path.endswith(".img.zst")
            assert (difference.unpacked, difference.partition) == (True, 1)
            assert difference.offset is not None
            assert "once unpacked, in partition 1" in str(found)
    assert _list_left(store) == []


def test_nothing_to_compare(tmp_path: Path) -> None:
    """Without a first build it is said that there is none."""
    store, flake = make_own_store(tmp_path), make_flake(tmp_path / "flake")
    host = ThisMachine()
    with pytest.raises(ToolFailed, match=r"random-1\.0 was not built on this machine yet"):
        rebuild_output(host, find_nix(host, store.environment), f"path:{flake}#random")


def test_builder_cannot_have_a_directory_removed(tmp_path: Path) -> None:
    """A builder that prints Nix's words about a kept directory has nothing removed that is no build directory."""
    precious = tmp_path / "precious"
    precious.mkdir()
    store = make_own_store(tmp_path)
    flake = make_flake(tmp_path / "flake", f"note: keeping build directory \\'{precious}\\'")
    flake_text = (flake / "flake.nix").read_text().replace(f"\\'{precious}\\'", f"'\"'\"'{precious}'\"'\"'")
    (flake / "flake.nix").write_text(flake_text)
    host = ThisMachine()
    nix = find_nix(host, store.environment)
    done = store.run("nix", "build", "--no-link", f"path:{flake}#forged", check=False)
    assert f"keeping build directory '{precious}'" in done.errors
    with pytest.raises(ToolFailed):
        rebuild_output(host, nix, f"path:{flake}#forged")
    assert precious.is_dir()


def _write(directory: Path, **files: bytes) -> Path:
    for name, content in files.items():
        path = directory / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return directory


def test_files_are_compared(tmp_path: Path) -> None:
    """Files that are only in one build, that differ and that are alike are told apart, five of them by bytes."""
    first = _write(tmp_path / "a", same=b"x", a__b=b"12345", gone=b"", **{f"n{at}": b"1" for at in range(6)})
    second = _write(tmp_path / "b", same=b"x", a__b=b"12x45", come=b"", **{f"n{at}": b"2" for at in range(6)})
    host = ThisMachine()
    found = compare_outputs(host, _make_nix(), os.fspath(first), os.fspath(second))
    assert found[0] == Difference("a/b", 2)
    assert found[1] == Difference("come", why="only in the second build")
    assert found[2] == Difference("gone", why="only in the first build")
    assert [each.offset for each in found[3:]] == [0, 0, None, None, None, None]
    assert str(Rebuild("/nix/store/x", found)).endswith("; n1 (from byte 0 on); and 4 more files")


def _make_nix() -> Nix:
    return find_nix(ThisMachine())


@pytest.mark.parametrize(
    ("offset", "partition"),
    [(0, 0), (2048 * 512 - 1, 0), (2048 * 512, 1), (6144 * 512 - 1, 1), (6144 * 512, 2), (1 << 40, 0)],
)
def test_partition_of_a_byte(offset: int, partition: int) -> None:
    """A byte is in the partition whose sectors hold it, or in none."""
    entries = b"".join(
        struct.pack("<4xB3xII", kind, at, count) for kind, at, count in ((12, 2048, 4096), (131, 6144, 8192))
    )
    head = (bytes(446) + entries.ljust(64, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0")
    assert find_partition(head, offset) == partition


def test_no_partition_table() -> None:
    """Bytes without a table are in no partition that could be named."""
    assert find_partition(b"12345", 3) is None
    assert find_partition(b"", 3) is None
