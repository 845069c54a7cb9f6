"""What two images differ in: versions by name, several at once, and the same the other way round."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imagekit.image import ClosurePath, Package
from imagekit.store.difference import (
    Change,
    Contents,
    PackageChange,
    ValueChange,
    compare_contents,
    find_facts,
    order_versions,
)

_BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"


def store_path(name: str, size: int = 1000, salt: str = "") -> ClosurePath:
    """Return a store path with this name; another ``salt`` gives it another hash."""
    digest = hashlib.sha256(f"{name}{salt}".encode()).digest()
    return ClosurePath(f"/nix/store/{''.join(_BASE32[byte % 32] for byte in digest)}-{name}", size)


def nix(*paths: ClosurePath, **more: object) -> Contents:
    """Return an image with this closure."""
    return replace(Contents("image", 1 << 20, closure=paths), **more)  # type: ignore[arg-type]


def debian(*packages: tuple[str, str] | tuple[str, str, str]) -> Contents:
    """Return an image with these packages, each a name, a version, and an architecture other than amd64."""
    listed = tuple(Package(name, version, *(rest or ["amd64"])) for name, version, *rest in packages)
    return Contents("image", 1 << 20, packages=listed, facts={"architecture": "amd64"})


def test_added_removed_and_changed() -> None:
    """Each package that differs has its versions on either side; what is the same is left out."""
    found = compare_contents(
        debian(("bash", "5.2-1"), ("curl", "7.88.1-10"), ("dash", "0.5")),
        debian(("bash", "5.2-2"), ("dash", "0.5"), ("wget", "1.21")),
    )
    assert found.packages == (
        PackageChange("bash", ("5.2-1",), ("5.2-2",)),
        PackageChange("curl", ("7.88.1-10",), ()),
        PackageChange("wget", (), ("1.21",)),
    )
    assert [each.change for each in found.packages] == [Change.CHANGED, Change.REMOVED, Change.ADDED]
    assert [found.count(change) for change in Change] == [1, 1, 1]
    assert found.closure_bytes is None
    assert not found.same


def test_foreign_architectures_are_packages_of_their_own() -> None:
    """A package of a second architecture that comes is told, though its version is there already."""
    found = compare_contents(debian(("libc6", "2.36")), debian(("libc6", "2.36"), ("libc6", "2.36", "i386")))
    assert found.packages == (PackageChange("libc6:i386", (), ("2.36",)),)
    assert compare_contents(debian(("x", "1")), debian(("x", "1", "all"))).packages == ()


def test_closure_in_several_versions() -> None:
    """Several versions of one name are one line, in the order of counting; sizes are those of all its paths."""
    found = compare_contents(
        nix(store_path("python3-3.9.1", 10), store_path("python3-3.13.1", 20), store_path("openssl-3.5.1-bin", 5)),
        nix(store_path("python3-3.13.1", 20), store_path("openssl-3.5.2", 6), store_path("openssl-3.5.2-bin", 7)),
    )
    assert found.packages == (
        PackageChange("openssl", ("3.5.1",), ("3.5.2",), 5, 13),
        PackageChange("python3", ("3.9.1", "3.13.1"), ("3.13.1",), 30, 20),
    )
    assert [each.growth for each in found.packages] == [8, -10]
    assert found.closure_bytes == (35, 33)


def test_rebuilds_are_counted() -> None:
    """The same version under another hash is a rebuild; a name without a version is no package."""
    found = compare_contents(
        nix(store_path("bash-5.2"), store_path("unit-sshd.service"), store_path("same-1")),
        nix(store_path("bash-5.2", salt="x"), store_path("unit-sshd.service", salt="x"), store_path("same-1")),
    )
    assert (found.packages, found.rebuilt, found.unversioned) == ((), 1, 1)
    assert not found.same


def test_closure_against_a_list() -> None:
    """A side that has only a list of packages is compared by versions, with no sizes and no rebuilds."""
    found = compare_contents(
        Contents("a", 1, packages=(Package("bash", "5.2", ""), Package("openssl", "3.5.1-bin", ""))),
        Contents("b", 1, closure=(store_path("bash-5.2"), store_path("openssl-3.5.1"))),
    )
    assert (found.packages, found.rebuilt) == ((), 0)


def test_facts_and_inputs() -> None:
    """Values that both sides know and that differ are told; a revision and its beginning are the same."""
    before = replace(nix(), facts={"kernel": "6.12.40", "nixpkgs": "8eeec934ae0d", "firmware": "u-boot"})
    after = replace(nix(), facts={"kernel": "6.12.43", "nixpkgs": "8eeec93", "builder": "nix"})
    found = compare_contents(before, after)
    assert found.facts == (ValueChange("kernel", "6.12.40", "6.12.43"),)
    inputs = compare_contents(replace(before, inputs={"a": "1", "b": "2"}), replace(after, inputs={"a": "1", "c": "3"}))
    assert inputs.inputs == (ValueChange("b", "2", ""), ValueChange("c", "", "3"))
    assert compare_contents(replace(before, inputs={"a": "1"}), before).inputs == (), "a file does not say its inputs"


@pytest.mark.parametrize(
    ("packages", "closure", "facts"),
    [
        ([("linux-image-6.1.0-29-cloud-amd64", "6.1.123-1")], [], {"kernel": "6.1.0-29-cloud-amd64"}),
        ([("linux-image-cloud-amd64", "6.1.123-1"), ("linux-base", "4.9")], [], {}),
        ([], ["linux-6.12.40", "linux-6.12.40-modules", "linux-headers-6.10", "linux-firmware-20260101"], "6.12.40"),
        ([], ["linux-rpi-6.12.34-stable_20250702", "linux-pam-1.6.1"], "6.12.34-stable_20250702"),
        (
            [],
            ["nixos-system-pihole-26.05.20260711.8eeec93"],
            {"nixos": "26.05.20260711.8eeec93", "nixpkgs": "8eeec93"},
        ),
        ([], ["nixos-system-my-host-26.05pre-git"], {"nixos": ""}),
        ([], ["nixos-system-pihole-26.05"], {"nixos": "26.05"}),
    ],
)
def test_facts_of_packages(packages: list[tuple[str, str]], closure: list[str], facts: dict[str, str] | str) -> None:
    """Kernels of Debian and of nixpkgs are known by their names, and a NixOS system's label has the revision."""
    wanted = {"kernel": facts} if isinstance(facts, str) else {name: value for name, value in facts.items() if value}
    found = find_facts((Package(*each, "amd64") for each in packages), (store_path(name) for name in closure))
    assert found == wanted


def test_order_of_versions() -> None:
    """Versions are in the order in which people count, whatever they are made of."""
    assert order_versions({"3.10", "3.9", "3.9-rc1"}) == ("3.9", "3.9-rc1", "3.10")
    assert order_versions({"1:2", "2024-01-02", "1:10"}) == ("1:2", "1:10", "2024-01-02")


_names = st.sampled_from(["bash", "openssl", "python3", "linux", "unit-a.service", "X11", "x11"])
_versions = st.sampled_from(["", "1", "1.2", "1.10-bin", "1.10", "2024-01-02", "3.5.1-dev"])
_paths = st.builds(
    lambda name, version, size, salt: store_path(f"{name}-{version}" if version else name, size, salt),
    _names, _versions, st.integers(0, 1 << 40), st.sampled_from(["", "x"]),
)  # fmt: skip
_closures = st.lists(_paths, max_size=12, unique_by=lambda each: each.path).map(tuple)
_packages = st.lists(
    st.builds(Package, _names, st.sampled_from(["1", "1.2", "2:3~rc1"]), st.sampled_from(["amd64", "all", "i386"])),
    max_size=12,
).map(tuple)
_contents = st.builds(
    Contents,
    st.just("image"),
    st.integers(0, 1 << 40),
    packages=_packages,
    closure=_closures,
    facts=st.dictionaries(st.sampled_from(["kernel", "nixpkgs", "architecture"]), st.sampled_from(["a", "ab", "b"])),
    inputs=st.dictionaries(st.sampled_from(["p", "q"]), st.sampled_from(["1", "2"])),
)


@given(_contents)
def test_nothing_differs_from_itself(image: Contents) -> None:
    """An image and itself are the same."""
    found = compare_contents(image, image)
    assert found.same
    assert (found.packages, found.facts, found.inputs) == ((), (), ())


@given(_contents, _contents)
def test_difference_is_turned_round_with_its_sides(before: Contents, after: Contents) -> None:
    """Swapping the sides swaps every change, and changes nothing else."""
    there, back = compare_contents(before, after), compare_contents(after, before)
    assert back.packages == tuple(
        PackageChange(each.name, each.after, each.before, each.size_after, each.size_before) for each in there.packages
    )
    for one, other in ((there.facts, back.facts), (there.inputs, back.inputs)):
        assert other == tuple(ValueChange(each.name, each.after, each.before) for each in one)
    assert (there.rebuilt, there.unversioned, there.same) == (back.rebuilt, back.unversioned, back.same)
    assert there.closure_bytes == (None if back.closure_bytes is None else back.closure_bytes[::-1])
