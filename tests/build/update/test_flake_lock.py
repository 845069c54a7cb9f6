"""Locks of flakes: read without trust, compared by input, moved by the real Nix on a copy."""

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.build.nix.tool import find_nix
from imagekit.build.update.change import SourceChange
from imagekit.build.update.flake_lock import (
    LockedInput,
    compare_locks,
    find_lock_directory,
    read_inputs,
    renew_flake_lock,
)
from imagekit.definition import Builder, ImageDefinition, Kind, NixBuild
from imagekit.errors import DefinitionInvalid, ToolFailed
from imagekit.host.here import ThisMachine
from tests.build.update.flakes import change_dependency, make_flake
from tests.nix_store import OwnStore, make_own_store

REVISION = "8eeec934ae0dbeca3d7868c059568a65c08b2fc3"


def _lock(revision: str = REVISION, modified: int = 1784011430, owner: str = "NixOS") -> bytes:
    """Return a lock with nixpkgs, an input of an input, and one that follows another."""
    nixpkgs = {
        "locked": {
            "lastModified": modified, "narHash": "sha256-x", "owner": owner, "repo": "nixpkgs", "rev": revision,
            "type": "github",
        },
        "original": {"owner": owner, "ref": "nixos-26.05", "repo": "nixpkgs", "type": "github"},
    }  # fmt: skip
    other = {"inputs": {"nixpkgs": ["nixpkgs"], "deep": "nixpkgs_2"}, "locked": {"narHash": "sha256-y", "type": "path"}}
    root = {"inputs": {"nixpkgs": "nixpkgs", "other": "other"}}
    nodes = {"root": root, "nixpkgs": nixpkgs, "nixpkgs_2": nixpkgs, "other": other}
    return json.dumps({"nodes": nodes, "root": "root", "version": 7}).encode()


def test_inputs_by_the_way_to_them() -> None:
    """Each input has a name that does not depend on how Nix numbers nodes; what follows another is no input."""
    read = read_inputs(_lock(), "flake.lock")
    assert list(read) == ["nixpkgs", "other", "other/deep"]
    assert read["nixpkgs"] == LockedInput("github:NixOS/nixpkgs", REVISION, 1784011430)
    assert read["nixpkgs"].describe() == "8eeec934ae0dbeca3d7 (2026-07-14)"
    assert read["other"].describe() == "sha256-y"
    assert read_inputs(None, "flake.lock") == {}


def test_comparison_by_input() -> None:
    """Only what is locked elsewhere differs; another place is told, a first lock has everything as new."""
    before, after = read_inputs(_lock(), ""), read_inputs(_lock("1" * 40, 1784100000), "")
    assert compare_locks(before, before) == ()
    assert compare_locks(before, after)[0] == SourceChange(
        "input nixpkgs", "8eeec934ae0dbeca3d7 (2026-07-14)", "1111111111111111111 (2026-07-15)"
    )
    assert [each.name for each in compare_locks(before, after)] == ["input nixpkgs", "input other/deep"]
    assert [each.before for each in compare_locks({}, after)] == ["", "", ""]
    moved = compare_locks(before, read_inputs(_lock(owner="someone"), ""))
    assert moved[0].note == "input nixpkgs comes from github:someone/nixpkgs now"


def test_directory_of_the_flake_itself() -> None:
    """An input given by a relative path is read as Nix 2.8 locks it and as 2.26 does, which gives it no hash."""
    locked: dict[str, object] = {"path": "./sub", "type": "path"}
    for more, told in (({}, "path:./sub"), ({"lastModified": 1, "narHash": "sha256-x"}, "sha256-x")):
        nodes = {"root": {"inputs": {"sub": "sub"}}, "sub": {"locked": locked | more}}
        data = json.dumps({"nodes": nodes, "root": "root", "version": 7}).encode()
        assert read_inputs(data, "flake.lock")["sub"].describe() == told


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{}", b'{"version": 7}', b'{"version": 99, "nodes": {}, "root": "root"}',
        b'{"version": 7, "nodes": {"root": {"inputs": {"a": "gone"}}}, "root": "root"}',
        b'{"version": 7, "nodes": {"root": {"inputs": {"a": "a"}}, "a": {"locked": {}}}, "root": "root"}',
        b'{"version": 7, "nodes": {"root": {"inputs": {"a": "root"}, "locked": {"narHash": "x"}}}, "root": "root"}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_lock(data: bytes) -> None:
    """A file that is none, contradicts itself or goes round in circles is refused in a sentence."""
    with pytest.raises(DefinitionInvalid, match=r"^flake\.lock is "):
        read_inputs(data, "flake.lock")


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["root", "a", "b", "sha256-x", "path"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["nodes", "root", "a", "b", "inputs", "locked", "version", "narHash", "lastModified"]),
            inner,
        )
    ),
)


@given(_json, _json, _json)
def test_any_document_is_read_or_refused(root: object, a: object, b: object) -> None:
    """Whatever a lock's nodes are, the answer is inputs or one sentence, at once."""
    data = json.dumps({"version": 7, "root": "root", "nodes": {"root": root, "a": a, "b": b}}).encode()
    with contextlib.suppress(DefinitionInvalid):
        for each in read_inputs(data, "flake.lock").values():
            assert each.describe()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> OwnStore:
    """Return a Nix store of these tests' own."""
    return make_own_store(tmp_path_factory.mktemp("store"))


def _definition(flake: Path | None) -> ImageDefinition:
    return ImageDefinition("pihole", kind=Kind.SD_IMAGE, builder=Builder.NIX, nix=NixBuild(flake=flake))


def test_real_lock_moves(store: OwnStore, tmp_path: Path) -> None:
    """When an input's content changed Nix locks the new one; the flake itself is only read, and twice is once."""
    flake = make_flake(tmp_path / "flake", tmp_path / "dependency", store)
    before = (flake / "flake.lock").read_bytes()
    host, nix = ThisMachine(), find_nix(ThisMachine(), store.environment)
    assert renew_flake_lock(_definition(flake), None, host, nix) is None
    change_dependency(tmp_path / "dependency", 2)
    renewal = renew_flake_lock(_definition(flake), None, host, nix)
    assert renewal is not None
    assert (flake / "flake.lock").read_bytes() == before == renewal.before
    assert renewal.path == flake / "flake.lock"
    assert [each.name for each in renewal.changes] == ["input dependency"]
    assert renewal.changes[0].before != renewal.changes[0].after
    assert renewal.changes[0].after.startswith("sha256-")
    (flake / "flake.lock").write_bytes(renewal.after)
    assert renew_flake_lock(_definition(flake), None, host, nix) is None
    assert store.run("nix", "eval", f"path:{flake}#value").output == b"2\n"


def test_flake_without_a_lock_gets_one(store: OwnStore, tmp_path: Path) -> None:
    """A first lock is one where all inputs are new."""
    flake = make_flake(tmp_path / "flake", tmp_path / "dependency", store)
    (flake / "flake.lock").unlink()
    renewal = renew_flake_lock(_definition(flake), None, ThisMachine(), find_nix(ThisMachine(), store.environment))
    assert renewal is not None
    assert renewal.before is None
    assert [each.before for each in renewal.changes] == [""]


def test_relative_input_stays_relative(store: OwnStore, tmp_path: Path) -> None:
    """An input inside the flake is locked by its own path, not by that of the copy that Nix worked on."""
    change_dependency(tmp_path / "flake" / "sub", 1)
    flake = tmp_path / "flake"
    text = '{ inputs.sub.url = "path:./sub"; outputs = { self, sub }: { value = sub.value; }; }\n'
    (flake / "flake.nix").write_text(text)
    renewal = renew_flake_lock(_definition(flake), None, ThisMachine(), find_nix(ThisMachine(), store.environment))
    assert renewal is not None
    assert json.loads(renewal.after)["nodes"]["sub"]["locked"]["path"] == "./sub"


def test_input_that_cannot_be_reached(store: OwnStore, tmp_path: Path) -> None:
    """Without the input Nix says why, and the lock stays."""
    flake = make_flake(tmp_path / "flake", tmp_path / "dependency", store)
    (tmp_path / "dependency" / "flake.nix").unlink()
    (tmp_path / "dependency").rmdir()
    before = (flake / "flake.lock").read_bytes()
    with pytest.raises(ToolFailed, match="cannot look for newer inputs of the flake in") as caught:
        renew_flake_lock(_definition(flake), None, ThisMachine(), find_nix(ThisMachine(), store.environment))
    assert "dependency" in caught.value.detail
    assert (flake / "flake.lock").read_bytes() == before


def test_own_flakes_locks_lie_beside_the_project(tmp_path: Path) -> None:
    """Locks of imagekit's own flake belong to the project; without one there is no place for them."""
    found = find_lock_directory(_definition(None), tmp_path / "imagekit.toml")
    assert found == tmp_path / "imagekit.lock"
    with pytest.raises(DefinitionInvalid, match=r"no imagekit\.toml"):
        find_lock_directory(_definition(None), None)
