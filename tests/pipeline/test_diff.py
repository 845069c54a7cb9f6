"""Differences of real cards and disks: what is on them is read, packed or not, against files and stored versions."""

import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.errors import StoreError, VerificationFailed
from imagekit.host import run
from imagekit.image import ClosurePath, Package
from imagekit.pipeline.diff import compare_images, read_contents
from imagekit.report import VerifiedImage
from imagekit.settings import Settings, read_settings
from imagekit.store import Store, open_store
from imagekit.store.difference import PackageChange
from tests.store.samples import at, make_place, make_template, make_verified
from tests.verify.clean_card import REGISTRATION, make_card, make_card_tree, store
from tests.verify.clean_tree import write

_OLD = {
    "linux-6.12.40": 900, "linux-6.12.40-modules": 100, "openssl-3.5.1": 50, "openssl-3.5.1-bin": 5,
    "python3-3.12.1": 70, "python3-3.13.1": 80, "bash-5.2": 9, "unit-sshd.service": 1,
    "nixos-system-pihole-26.05.20260711.8eeec93": 3,
}  # fmt: skip
_NEW = {
    "linux-6.12.43": 950, "linux-6.12.43-modules": 100, "openssl-3.5.1": 50, "openssl-3.5.1-bin": 5,
    "python3-3.13.1": 80, "bash-5.2": 9, "unit-sshd.service": 1, "unbound-1.23.0": 40,
    "nixos-system-pihole-26.05.20260801.0123abc": 3,
}  # fmt: skip


def _make_card(place: Path, closure: dict[str, int]) -> Path:
    """Make a card in ``place`` whose registered closure has these names and sizes."""
    tree = make_card_tree(place / "tree")
    lines = [line for name, size in closure.items() for line in (store(name), "sha256:0", str(size), "", "0")]
    write(tree, REGISTRATION, "".join(f"{line}\n" for line in lines))
    make_card(tree, place / "card.img", place)
    return place / "card.img"


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return two cards with different closures; do not change them."""
    places = [tmp_path_factory.mktemp(name) for name in ("old", "new")]
    return _make_card(places[0], _OLD), _make_card(places[1], _NEW)


@pytest.fixture
def settings() -> Settings:
    """Return the settings, whose store is empty."""
    return read_settings({})


@pytest.fixture
def kept(settings: Settings) -> Store:
    """Return the store of the settings."""
    return open_store(settings.store)


def _add(kept: Store, path: Path, seed: int, **provenance: object) -> str:
    """Store a disk with this provenance as a version of ``pihole``; return its reference."""
    verified = make_verified(path, seed, name="pihole")
    built = replace(verified.built, provenance=replace(verified.built.provenance, **provenance))  # type: ignore[arg-type]
    return str(kept.add(VerifiedImage(built, verified.report), clock=at(seed)).version.reference)


def test_two_cards(cards: tuple[Path, Path], settings: Settings) -> None:
    """Closures of two cards that never ran are compared by names, versions and sizes, with kernel and revision."""
    found = compare_images(str(cards[0]), str(cards[1]), settings)
    assert found.packages == (
        PackageChange("linux", ("6.12.40",), ("6.12.43",), 1000, 1050),
        PackageChange("nixos-system-pihole", ("26.05.20260711.8eeec93",), ("26.05.20260801.0123abc",), 3, 3),
        PackageChange("python3", ("3.12.1", "3.13.1"), ("3.13.1",), 150, 80),
        PackageChange("unbound", (), ("1.23.0",), None, 40),
    )
    assert {each.name: (each.before, each.after) for each in found.facts} == {
        "kernel": ("6.12.40", "6.12.43"),
        "nixos": ("26.05.20260711.8eeec93", "26.05.20260801.0123abc"),
        "nixpkgs": ("8eeec93", "0123abc"),
    }
    assert found.closure_bytes == (sum(_OLD.values()), sum(_NEW.values()))
    assert compare_images(str(cards[0]), str(cards[0]), settings).same


@pytest.mark.parametrize("packed", ["zst", "qcow2"])
def test_packing_makes_no_difference(cards: tuple[Path, Path], settings: Settings, tmp_path: Path, packed: str) -> None:
    """The same card as zst or qcow2 is the same image."""
    target = tmp_path / f"card.{packed}"
    if packed == "zst":
        run(["zstd", "-q", "-o", str(target), str(cards[0])])
    else:
        run(["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", str(cards[0]), str(target)])
    assert compare_images(str(cards[0]), str(target), settings).same


def test_debian_disk_against_a_version(clean_disk: Path, settings: Settings, kept: Store, tmp_path: Path) -> None:
    """A file's dpkg database is compared with what a version's manifest lists."""
    listed = read_contents(str(clean_disk), kept).packages
    assert listed
    reference = _add(kept, tmp_path / "disk.raw", 1, packages=(*listed, Package("extra", "1.0", "all")))
    found = compare_images(reference, str(clean_disk), settings)
    assert found.packages == (PackageChange("extra", ("1.0",), ()),)


def test_two_versions(settings: Settings, kept: Store, tmp_path: Path) -> None:
    """Of stored versions the manifests are enough: closures, inputs, the revision as the build recorded it."""
    references = []
    for seed, (closure, revision) in enumerate(((_OLD, "8eeec93" + "0" * 33), (_NEW, "1" * 40)), start=1):
        paths = tuple(ClosurePath(store(name), size) for name, size in closure.items())
        inputs = {"nixpkgs.rev": revision, "container unbound": f"sha256:{seed}"}
        references.append(_add(kept, tmp_path / f"{seed}.raw", seed, closure=paths, packages=(), inputs=inputs))
    found = compare_images(references[0], references[1], settings)
    assert [each.name for each in found.packages] == ["linux", "nixos-system-pihole", "python3", "unbound"]
    assert [each.name for each in found.inputs] == ["container unbound", "nixpkgs.rev"]
    assert ("nixpkgs", "1" * 40) in [(each.name, each.after) for each in found.facts]
    assert found.before.label == references[0]


def test_version_that_lists_no_packages(cards: tuple[Path, Path], settings: Settings, kept: Store) -> None:
    """A version whose manifest lists nothing, such as an adopted one, is read from its disk."""
    place = settings.store.parent / "copy.img"
    place.parent.mkdir(parents=True, exist_ok=True)
    reference = _add(kept, place, 1, packages=())
    disk = kept.disk_path(kept.list_versions("pihole")[0])
    disk.chmod(0o644)
    shutil.copyfile(cards[0], place)
    with place.open("rb") as card, disk.open("r+b") as file:  # the store checks only the length
        file.truncate(0)
        shutil.copyfileobj(card, file)
    manifest = disk.parent / "manifest.json"
    manifest.chmod(0o644)
    manifest.write_text(manifest.read_text().replace(str(2 << 20), str(disk.stat().st_size)))
    assert compare_images(reference, str(cards[0]), settings).packages == ()


def test_template_on_a_cluster(cards: tuple[Path, Path], settings: Settings, kept: Store) -> None:
    """A version whose bytes are elsewhere is compared by its manifest; one without a list says what is missing."""
    listed = kept.record(make_template(make_place(1, 9100)), clock=at(1)).version
    verified = make_template(make_place(2, 9101))
    bare = replace(verified, built=replace(verified.built, provenance=replace(verified.built.provenance, packages=())))
    unlisted = kept.record(bare, clock=at(2)).version
    assert read_contents(str(listed.reference), kept).packages
    assert "its bytes are on the cluster" in read_contents(str(unlisted.reference), kept).problem


def test_large_disks_take_no_time(cards: tuple[Path, Path], settings: Settings, tmp_path: Path) -> None:
    """Two disks of 2 GiB are compared in less than two seconds: only what is needed of them is read."""
    copies = []
    for number, card in enumerate(cards):
        copies.append(shutil.copy(card, tmp_path / f"{number}.img"))
        with Path(copies[-1]).open("r+b") as file:
            file.truncate(2 << 30)
    began = time.perf_counter()
    assert compare_images(str(copies[0]), str(copies[1]), settings).packages
    assert time.perf_counter() - began < 2


def test_what_is_no_image(settings: Settings, tmp_path: Path) -> None:
    """A file that is no disk and a version that is not stored end in a sentence each."""
    text = tmp_path / "notes.txt"
    text.write_text("no disk")
    with pytest.raises(VerificationFailed):
        compare_images(str(text), str(text), settings)
    with pytest.raises(StoreError, match="no image 'pihole' is stored"):
        compare_images("pihole", "pihole", settings)
