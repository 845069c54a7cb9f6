"""What changes between two closures: packages by name and version, as ``nix store diff-closures`` tells it."""

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass

from imagekit.disk.packages.nix_store import parse_store_path


@dataclass(frozen=True, slots=True)
class PackageChange:
    """A package with its versions before and after, sorted; no versions: it was not there, or is there no more."""

    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {', '.join(self.before) or 'none'} → {', '.join(self.after) or 'none'}"


def compare_closures(before: Iterable[str], after: Iterable[str]) -> tuple[PackageChange, ...]:
    """Return the packages whose versions differ, by name; what has no version (configuration, units) is not told."""
    old, new = _collect(before), _collect(after)
    return tuple(
        PackageChange(name, tuple(sorted(old.get(name, ()))), tuple(sorted(new.get(name, ()))))
        for name in sorted({*old, *new})
        if old.get(name) != new.get(name)
    )


def _collect(paths: Iterable[str]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for path in paths:
        # A store may be elsewhere than in /nix; the names in it are made the same way.
        each = parse_store_path(f"/nix/store/{posixpath.basename(path)}")
        if each is not None and each.version:
            found.setdefault(each.name, set()).add(each.version)
    return found
