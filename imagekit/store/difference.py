"""What two images differ in, from what is known about them: no disk is opened here.

Of a Nix closure each store path counts by its name; a name may be there in several versions at once, and a package's
outputs (``openssl-3.5.1-bin``) belong to its version. Of every other package manager each package counts.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from imagekit.disk.packages.nix_store import parse_store_path
from imagekit.image import ClosurePath, Package

# nixpkgs' names of outputs (doc/stdenv/multiple-output.chapter.md), and those of its kernels.
_OUTPUT = re.compile(
    r"-(?:bin|dev|devdoc|debug|dist|doc|info|lib|lib32|lib64|libgcc|man|modules|modules-shrunk|nc|out|py|static|"
    r"terminfo|tex|data|getent|dnsutils|host|xz)$"
)
_NIX_KERNEL = re.compile(r"linux(?:[-_](?:rpi\d*|rt|hardened|latest|libre|lqx|zen|xanmod))*")
_DEBIAN_KERNEL = re.compile(r"linux-image-(?:unsigned-)?(\d+\.[0-9A-Za-z.+~-]+)")
_NIXOS = re.compile(r"nixos-system-.+?-(\d{2}\.\d{2}[0-9A-Za-z.]*)")  # system.nixos.label ends the name
_REVISION = re.compile(r"\.([0-9a-f]{7,40})$")
_NUMBER = re.compile(r"(\d+)")


class Change(StrEnum):
    """What happened to a package."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Contents:
    """What is known of one image: ``label`` is how messages call it, a reference or a file's name.

    ``facts`` are single values by name (``kernel``, ``nixpkgs``), ``inputs`` what was read to build it; empty for a
    file, which does not say. ``problem`` is what is missing from the packages, empty when nothing is.
    """

    label: str
    size_bytes: int
    packages: tuple[Package, ...] = ()
    closure: tuple[ClosurePath, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    digest: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package that differs: its versions on either side, sorted; sizes in bytes, ``None`` when they are not known."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    size_before: int | None = None
    size_after: int | None = None

    @property
    def change(self) -> Change:
        """Say what happened to it."""
        if not self.before:
            return Change.ADDED
        return Change.CHANGED if self.after else Change.REMOVED

    @property
    def growth(self) -> int | None:
        """The bytes by which it grew; ``None`` when that is not known."""
        if self.size_before is None and self.size_after is None:
            return None
        return (self.size_after or 0) - (self.size_before or 0)


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value that differs; an empty text where a side has none."""

    name: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Difference:
    """Everything in which ``after`` differs from ``before``.

    ``rebuilt`` counts the packages of the same versions whose store paths differ, ``unversioned`` the names without a
    version (units, configuration files) of which that is true. Closure sizes are ``None`` unless both are known.
    """

    before: Contents
    after: Contents
    packages: tuple[PackageChange, ...]
    facts: tuple[ValueChange, ...]
    inputs: tuple[ValueChange, ...]
    rebuilt: int = 0
    unversioned: int = 0
    closure_bytes: tuple[int, int] | None = None

    @property
    def same(self) -> bool:
        """Say whether nothing of what is compared differs; ``rebuilt`` paths are a difference."""
        return (
            not (self.packages or self.facts or self.inputs or self.rebuilt or self.unversioned)
            and self.before.size_bytes == self.after.size_bytes
            and (not self.before.digest or not self.after.digest or self.before.digest == self.after.digest)
        )

    def count(self, change: Change) -> int:
        """Return how many packages were added, removed or changed."""
        return sum(each.change is change for each in self.packages)


@dataclass(slots=True)
class _Group:
    """The packages of one name: their versions, the store paths they were read from, their bytes."""

    versions: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)
    size_bytes: int = 0


def compare_contents(before: Contents, after: Contents) -> Difference:
    """Return what differs between two images; swapping the two swaps every change and nothing else."""
    old, new = _group(before), _group(after)
    sized = bool(before.closure), bool(after.closure)
    changes = []
    rebuilt = unversioned = 0
    for name in sorted(old.keys() | new.keys(), key=lambda each: (each.lower(), each)):
        left, right = old.get(name, _Group()), new.get(name, _Group())
        if left.versions == right.versions:
            differs = all(sized) and left.paths != right.paths
            rebuilt += differs and bool(left.versions)
            unversioned += differs and not left.versions
            continue
        changes.append(
            PackageChange(
                name,
                order_versions(left.versions),
                order_versions(right.versions),
                left.size_bytes if sized[0] and left.versions else None,
                right.size_bytes if sized[1] and right.versions else None,
            )
        )
    totals = (sum(each.size_bytes for each in side.closure) for side in (before, after))
    return Difference(
        before,
        after,
        tuple(changes),
        tuple(each for each in _compare_values(before.facts, after.facts) if _is_told(each)),
        _compare_values(before.inputs, after.inputs) if before.inputs and after.inputs else (),
        rebuilt,
        unversioned,
        (next(totals), next(totals)) if all(sized) else None,
    )


def order_versions(versions: Iterable[str]) -> tuple[str, ...]:
    """Return versions in the order in which people count: 3.9 comes before 3.10."""

    def key(version: str) -> list[tuple[int, int, str]]:
        parts = _NUMBER.split(version)
        return [(1, int(part[:18]), part) if part.isdecimal() else (0, 0, part) for part in parts]

    return tuple(sorted(versions, key=key))


def find_facts(packages: Iterable[Package], closure: Iterable[ClosurePath]) -> dict[str, str]:
    """Return what the packages say about the whole: ``kernel``, and of NixOS ``nixos`` and ``nixpkgs``.

    ``nixpkgs`` is the beginning of the revision, which a system made by a flake has in its label.
    """
    kernels, labels = set(), set()
    for package in packages:
        if match := _DEBIAN_KERNEL.fullmatch(package.name):
            kernels.add(match.group(1))
        elif _NIX_KERNEL.fullmatch(package.name):
            kernels.add(_OUTPUT.sub("", package.version))
    for each in closure:
        name = each.path.rpartition("/")[2][33:]
        if match := _NIXOS.fullmatch(name):
            labels.add(match.group(1))
        elif (path := parse_store_path(each.path)) and _NIX_KERNEL.fullmatch(path.name) and path.version:
            kernels.add(_OUTPUT.sub("", path.version))
    facts = {"kernel": ", ".join(order_versions(kernels)), "nixos": ", ".join(order_versions(labels))}
    if len(labels) == 1 and (revision := _REVISION.search(next(iter(labels)))):
        facts["nixpkgs"] = revision.group(1)
    return {name: value for name, value in facts.items() if value}


def _group(contents: Contents) -> dict[str, _Group]:
    """Return the packages by name; of a closure those, since they have paths and sizes, and else the list."""
    groups: defaultdict[str, _Group] = defaultdict(_Group)
    for each in contents.closure:
        path = parse_store_path(each.path)
        name, version = (each.path, "") if path is None else (path.name, _OUTPUT.sub("", path.version))
        group = groups[name]
        group.paths.add(each.path)
        group.size_bytes += each.size_bytes
        if version:
            group.versions.add(version)
    if not contents.closure:
        native = contents.facts.get("architecture", "")
        for package in contents.packages:
            version = package.version if package.architecture else _OUTPUT.sub("", package.version)
            # a foreign one is a package of its own, as with dpkg; those of every architecture are native anywhere
            foreign = native and package.architecture not in ("", "all", "noarch", native)
            groups[f"{package.name}:{package.architecture}" if foreign else package.name].versions.add(version)
    return dict(groups)


def _is_told(fact: ValueChange) -> bool:
    """Say whether both sides know a fact, and it is not one revision, written in full and abbreviated."""
    short, long = sorted((fact.before, fact.after), key=len)
    return bool(short) and not (fact.name == "nixpkgs" and long.startswith(short))


def _compare_values(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[ValueChange, ...]:
    names = dict.fromkeys([*before, *after])
    pairs = (ValueChange(name, before.get(name, ""), after.get(name, "")) for name in names)
    return tuple(sorted((each for each in pairs if each.before != each.after), key=lambda each: each.name))
