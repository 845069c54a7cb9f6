"""``imagekit diff``: the table, the document, nothing to tell, and what cannot be compared."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.image import ClosurePath, Package
from imagekit.report import VerifiedImage
from imagekit.settings import read_settings
from imagekit.store import Store, open_store
from tests.cli.conftest import Program
from tests.store.samples import at, make_verified
from tests.verify.clean_card import store as store_path


def _add(kept: Store, path: Path, seed: int, name: str, **provenance: object) -> None:
    verified = make_verified(path, seed, name=name)
    built = replace(verified.built, provenance=replace(verified.built.provenance, **provenance))  # type: ignore[arg-type]
    kept.add(VerifiedImage(built, verified.report), clock=at(seed))


@pytest.fixture
def two(tmp_path: Path) -> Store:
    """Return a store with two versions each of a Debian image and a NixOS image."""
    kept = open_store(read_settings({}).store)
    libc = Package("libc6", "2.36", "amd64")
    listed = (Package("bash", "5.2-1", "amd64"), Package("curl", "7.88", "amd64"), libc)
    newer = (Package("bash", "5.2-2", "amd64"), Package("evil\x1b[31m", "1", "amd64"), libc)
    for day, (packages, revision, unbound) in enumerate(((listed, "8eeec93", "1.22"), (newer, "0123abc", "1.23")), 1):
        inputs = {"sources": f"{'x' * 80}{day}"}
        _add(kept, tmp_path / f"d{day}.raw", day, "template", packages=packages, inputs=inputs)
        sizes = {f"unbound-{unbound}": 3 << 20, "bash-5.2": 1 << 20, f"linux-6.12.4{day}": day << 20}
        closure = tuple(ClosurePath(store_path(name), size) for name, size in sizes.items())
        inputs = {
            "nixpkgs.rev": revision,
            "nixpkgs.narHash": f"sha256-{revision}",
            "derivation": f"/nix/store/{revision}.drv",
            "container.unbound": f"docker.io/alpinelinux/unbound:{unbound}@sha256:{str(day) * 64}",
        }
        _add(kept, tmp_path / f"n{day}.raw", day + 2, "pihole", packages=(), closure=closure, inputs=inputs)
    return kept


def test_table_of_packages(program: Program, two: Store) -> None:
    """What differs in the whole comes first, then a line for each package; nothing of an image reaches the terminal."""
    said = program("diff", "template@20260701-1", "template")
    assert said.output.splitlines() == [
        "template@20260701-1 → template@20260702-1",
        "",
        f"input sources  {'x' * 71}… → {'x' * 71}…",
        "packages: 1 added, 1 removed, 1 changed",
        "CHANGE   PACKAGE       BEFORE  AFTER",
        "changed  bash          5.2-1   5.2-2",
        "removed  curl          7.88    -",
        "added    evil\\x1b[31m  -       1",
    ]


def test_table_of_a_closure(program: Program, two: Store) -> None:
    """A NixOS image's table has kernel and revision, the closure's size, and what each package grew by."""
    said = program("diff", "pihole@20260703-1", "pihole@20260704-1")
    assert said.errors == ""
    container = "docker.io/alpinelinux/unbound:1.2{}@sha256:{}"
    assert said.output.splitlines() == [
        "pihole@20260703-1 → pihole@20260704-1",
        "",
        "closure                  5.0 MiB → 6.0 MiB (+1.0 MiB)",
        "kernel                   6.12.41 → 6.12.42",
        "nixpkgs                  8eeec93 → 0123abc",
        f"input container.unbound  {container.format(2, '1' * 12)} → {container.format(3, '2' * 12)}",
        "packages: 2 changed",
        "CHANGE   PACKAGE  BEFORE   AFTER    SIZE",
        "changed  linux    6.12.41  6.12.42  +1.0 MiB",
        "changed  unbound  1.22     1.23     +0 B",
    ]


def test_document(program: Program, two: Store) -> None:
    """``--json`` has both sides, every change with its versions and bytes, and counts."""
    told = program("diff", "--json", "pihole@20260703-1", "pihole@20260704-1").json()
    assert told["before"]["label"] == "pihole@20260703-1"
    assert told["after"]["facts"]["kernel"] == "6.12.42"
    assert told["packages"][0] == {
        "name": "linux", "change": "changed", "before": ["6.12.41"], "after": ["6.12.42"],
        "before_bytes": 1 << 20, "after_bytes": 2 << 20,
    }  # fmt: skip
    assert told["counts"] == {"added": 0, "removed": 0, "changed": 2, "rebuilt": 0, "unversioned": 0}
    assert told["closure_bytes"] == {"before": 5 << 20, "after": 6 << 20}
    assert told["same"] is False


def test_nothing_differs(program: Program, two: Store) -> None:
    """An image and itself: nothing on standard output, one sentence beside it, and the document says so."""
    said = program("diff", "pihole", "pihole")
    assert (said.output, said.errors) == ("", "nothing differs\n")
    told = program("diff", "pihole", "pihole", "--json").json()
    assert told["same"] is True
    assert told["packages"] == []


def test_file_against_a_version(program: Program, two: Store, clean_disk: Path) -> None:
    """A file is a side as well."""
    assert "packages: " in program("diff", "template", str(clean_disk)).output


def test_what_cannot_be_compared(program: Program, two: Store, tmp_path: Path) -> None:
    """A version that is not stored, and a file that is no disk, end with their own exit codes."""
    assert "no image 'temple' is stored" in program("diff", "temple", "template", status=6).errors
    (tmp_path / "text.img").write_text("no disk at all")
    assert program("diff", "template", str(tmp_path / "text.img"), status=5).output == ""
