"""What a builder lacks is known before it builds: on this machine by looking, on others by what they answer."""

import dataclasses
import time
from pathlib import Path

import pytest

from imagekit.build.nix.preflight import KEY, LOCK, BuildNeed, examine_builder, examine_lock, require_ready
from imagekit.build.nix.tool import Flavour, Nix, find_nix
from imagekit.errors import DefinitionInvalid, HostFailed
from imagekit.host.ability import Ability
from imagekit.host.here import ThisMachine
from imagekit.host.local import Completed
from tests.build.nix.recorded_host import RecordedHost
from tests.build.nix.tiny_derivations import make_flake
from tests.nix_store import make_own_store

_GIB = 1 << 30
_NIX = Nix(
    "/usr/bin/nix", Flavour.NIX, (2, 18, 1), "nix (Nix) 2.18.1", "x86_64-linux", ("aarch64-linux",), trusted=True
)
_MEMORY = b"MemTotal:        8000000 kB\nMemFree: 5 kB\nSwapTotal:       1000000 kB\n"
_LOCK_26_05 = """\
{"nodes": {"nixpkgs": {"locked": {"lastModified": 1784011430,
  "narHash": "sha256-lDebytrYdd47IBLwvNOD+6AGeoqZ78CIKlp70hzW280=", "owner": "NixOS", "repo": "nixpkgs",
  "rev": "8eeec934ae0dbeca3d7868c059568a65c08b2fc3", "type": "github"},
  "original": {"owner": "NixOS", "ref": "nixos-26.05", "repo": "nixpkgs", "type": "github"}},
  "root": {"inputs": {"nixpkgs": "nixpkgs"}}}, "root": "root", "version": 7}
"""


def _make_host(**answers: bytes) -> RecordedHost:
    return RecordedHost(
        {
            "date +%s": str(int(time.time())).encode(),
            "meminfo": _MEMORY,
            "test -e /proc/sys/fs/binfmt_misc/qemu-aarch64": b"",
            **answers,
        },
        free={"/nix": 20 * _GIB, "/tmp": 10 * _GIB},
    )


def _need(workspace: Path, **changed: object) -> BuildNeed:
    return dataclasses.replace(BuildNeed("aarch64-linux", _GIB, workspace, ssh_keys=1), **changed)  # type: ignore[arg-type]


def _find(rows: tuple[Ability, ...], subject: str) -> Ability:
    (row,) = (each for each in rows if each.subject.startswith(subject))
    return row


def test_ready_builder(tmp_path: Path) -> None:
    """A builder that has everything gives rows that are all well, and nothing is raised."""
    rows = examine_builder(_make_host(), _NIX, _need(tmp_path))
    assert [each.subject for each in rows if not each.ok] == []
    assert _find(rows, "builds for").found == "by emulation (extra-platforms), several times slower"
    assert _find(rows, "memory").found == "8.6 GiB"
    require_ready(rows, "nas")


def test_this_machine_is_examined(tmp_path: Path) -> None:
    """The real Nix here is looked at in seconds; only what is missing is named, all of it at once."""
    store, flake = make_own_store(tmp_path), make_flake(tmp_path / "flake")
    host = ThisMachine()
    nix = find_nix(host, store.environment)
    started = time.monotonic()
    rows = examine_builder(host, nix, BuildNeed("x86_64-linux", 1 << 60, tmp_path, str(flake), 0))
    assert time.monotonic() - started < 10
    assert {each.subject.partition(" in ")[0] for each in rows if not each.ok} == {"space", KEY}
    assert _find(rows, LOCK).found == "in step with flake.nix"
    assert _find(rows, "builds for x86_64-linux").found == "natively"
    with pytest.raises(HostFailed, match=r"not ready to build \(space in .* free, .*; key to log in: .*no SSH key"):
        require_ready(rows, host.name)


@pytest.mark.parametrize(
    ("nix", "ok", "found"),
    [
        ({"system": "aarch64-linux"}, True, "natively"),
        ({"extra_platforms": (), "builders": "ssh://a aarch64-linux - 4"}, True, "on ssh://a, as its builders say"),
        ({"extra_platforms": ()}, False, "it is x86_64-linux, without emulation or a builder for it"),
        ({"system": "aarch64-linux", "max_jobs": "0"}, False, "max-jobs is 0 and no builder is listed"),
        (
            {"system": "aarch64-darwin", "extra_platforms": (), "builders": "ssh-ng://linux-builder aarch64-linux"},
            True,
            "on ssh-ng://linux-builder, as its builders say",
        ),
    ],
)  # fmt: skip
def test_ways_to_build_for_a_system(tmp_path: Path, nix: dict[str, object], ok: bool, found: str) -> None:
    """Its own system, emulation and machines of its own list serve; nothing else does."""
    changed = dataclasses.replace(_NIX, **nix)  # type: ignore[arg-type]
    row = _find(examine_builder(_make_host(), changed, _need(tmp_path)), "builds for aarch64-linux")
    assert (row.ok, row.found) == (ok, found)


def test_space_is_counted_by_place(tmp_path: Path) -> None:
    """Store and place of builds are counted apart, and together where they are one filesystem; here as well."""
    rows = examine_builder(_make_host(), _NIX, _need(tmp_path, image_bytes=8 * _GIB))
    assert (_find(rows, "space in /nix/store").ok, _find(rows, "space in /tmp").ok) == (True, False)
    assert f"space here in {tmp_path}" in [each.subject for each in rows]
    newer = dataclasses.replace(_NIX, version=(2, 30, 0))
    rows = examine_builder(_make_host(), newer, _need(tmp_path, image_bytes=8 * _GIB))
    assert _find(rows, "space in /nix/store").found == "20.0 GiB free, the build takes about 24.0 GiB"
    other = dataclasses.replace(_NIX, build_dir="/nix/tmp")
    assert not _find(examine_builder(_make_host(), other, _need(tmp_path, image_bytes=8 * _GIB)), "space in /nix").ok


@pytest.mark.parametrize(
    ("seconds", "ok", "required"), [(0, True, True), (-200, True, True), (400, False, False), (-200_000, False, True)]
)
def test_clocks_are_compared(tmp_path: Path, seconds: int, ok: bool, required: bool) -> None:
    """Five minutes are told, a day is refused."""
    host = _make_host()
    host.answers["date +%s"] = str(int(time.time()) + seconds).encode()
    row = _find(examine_builder(host, _NIX, _need(tmp_path)), "clock")
    assert (row.ok, row.required) == (ok, required)


def test_little_memory_and_none_told(tmp_path: Path) -> None:
    """Half of the memory is refused, a little less is told, and a machine that does not tell is not blamed."""
    host = _make_host(meminfo=b"MemTotal: 900000 kB\nSwapTotal: 0 kB\n")
    row = _find(examine_builder(host, _NIX, _need(tmp_path)), "memory")
    assert (row.ok, row.required) == (False, True)
    host = _make_host(meminfo=b"MemTotal: 1500000 kB\n")
    row = _find(examine_builder(host, _NIX, _need(tmp_path)), "memory")
    assert (row.ok, row.required) == (False, False)
    host.answers["meminfo"] = Completed(b"", "no such file", 1)
    assert _find(examine_builder(host, _NIX, _need(tmp_path)), "memory").found == "unknown"
    host.answers["hw.memsize"] = b"17179869184\n"
    assert _find(examine_builder(host, _NIX, _need(tmp_path)), "memory").found == "16.0 GiB"


def test_users_rights(tmp_path: Path) -> None:
    """Not being trusted is no fault, since the image comes as a file; not being allowed is one."""
    untrusted = dataclasses.replace(_NIX, trusted=False)
    assert _find(examine_builder(_make_host(), untrusted, _need(tmp_path)), "user").found == "allowed, not trusted"
    stranger = dataclasses.replace(untrusted, allowed=False)
    assert not _find(examine_builder(_make_host(), stranger, _need(tmp_path)), "user").ok


def test_old_nix_is_told(tmp_path: Path) -> None:
    """A Nix with flakes that is older than what was tried is told and not refused."""
    row = _find(examine_builder(_make_host(), dataclasses.replace(_NIX, version=(2, 4, 0)), _need(tmp_path)), "Nix")
    assert (row.ok, row.required) == (False, False)


def test_only_the_definition_is_to_blame() -> None:
    """A missing key and a lock out of step are errors of the definition, each a problem of one error."""
    rows = (
        Ability(KEY, False, "none", "add one"),
        Ability(LOCK, False, "does not fit", "update"),
        Ability("a", True, ""),
    )
    with pytest.raises(DefinitionInvalid) as caught:
        require_ready(rows, "nas")
    assert caught.value.problems == ("key to log in: none", "lock: does not fit")
    assert caught.value.hint == "add one\nupdate"
    require_ready((Ability("memory", False, "little", required=False),), "nas")


@pytest.mark.parametrize(
    ("flake", "lock", "ok", "found"),
    [
        ("inputs.nixpkgs.url = github:NixOS/nixpkgs/nixos-26.05; outputs = i: {};", _LOCK_26_05, True, "in step"),
        ("inputs.nixpkgs.url = github:NixOS/nixpkgs/nixos-26.11; outputs = i: {};", _LOCK_26_05, False, "does not fit"),
        (
            "inputs.nixpkgs.url=github:NixOS/nixpkgs/nixos-26.05; inputs.x.url = git+ssh://x.example/; outputs=i: {};",
            _LOCK_26_05,
            False,
            "does not fit",
        ),
        ("outputs = { self, nixpkgs, other }: {};", _LOCK_26_05, False, "does not fit"),
        ("outputs = { self }: {};", _LOCK_26_05, False, "does not fit"),
        ("outputs = { self }: {};", "", True, "in step"),
        ("outputs = { self }: {};", "{", False, "flake.lock cannot be read"),
        ("outputs = { self: {};", "", False, "the flake cannot be evaluated, flake.nix:1"),
    ],
)
def test_lock_and_flake_are_compared(tmp_path: Path, flake: str, lock: str, ok: bool, found: str) -> None:
    """The real Nix says whether the lock is in step, without a network and without writing to the flake."""
    store, directory = make_own_store(tmp_path), tmp_path / "flake"
    directory.mkdir()
    (directory / "flake.nix").write_text(f"{{ {flake} }}")
    if lock:
        (directory / "flake.lock").write_text(lock)
    before = sorted((each.name, each.read_text()) for each in directory.iterdir())
    host = ThisMachine()
    started = time.monotonic()
    row = examine_lock(host, find_nix(host, store.environment), str(directory))
    assert (row.subject, row.ok) == (LOCK, ok)
    assert found in row.found
    assert time.monotonic() - started < 20
    assert sorted((each.name, each.read_text()) for each in directory.iterdir()) == before


def test_daemon_that_is_down(tmp_path: Path) -> None:
    """A Nix whose daemon does not answer is a fault of the machine, not of the lock."""
    store, flake = make_own_store(tmp_path), make_flake(tmp_path / "flake")
    host = ThisMachine()
    nix = find_nix(host, store.environment | {"NIX_REMOTE": "daemon"})
    row = examine_lock(host, nix, str(flake))
    assert (row.ok, row.found) == (False, "the Nix daemon on this machine does not answer")
    with pytest.raises(HostFailed, match="does not answer"):
        require_ready([row], host.name)
