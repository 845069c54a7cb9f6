"""What two images differ in, each a stored version or a file: what a manifest tells, or what the disk itself does."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.image import ClosurePath, Package, Reference
from imagekit.progress import Event, Progress, silent
from imagekit.settings import Settings
from imagekit.store import Store, Version, open_store
from imagekit.store.difference import Contents, Difference, compare_contents, find_facts

if TYPE_CHECKING:
    from imagekit.disk.tree import FileTree

_REVISION_INPUT = "nixpkgs.rev"  # as the Nix builder records it


def compare_images(before: str, after: str, settings: Settings, progress: Progress = silent) -> Difference:
    """Return what image ``after`` has, or lacks, that ``before`` does not; each is a reference or an image file.

    Nothing is booted, mounted or changed, and no Nix is needed. Raises :class:`imagekit.errors.DefinitionInvalid` for
    what can be neither, :class:`imagekit.errors.StoreError` for a version that is not stored, and
    :class:`imagekit.errors.VerificationFailed` for a file that cannot be read as a disk with an operating system.
    """
    store = open_store(settings.store)
    return compare_contents(*(read_contents(each, store, progress) for each in (before, after)))


def read_contents(text: str, store: Store, progress: Progress = silent) -> Contents:
    """Return what is known of an image: of a file when ``text`` has a slash or exists here, else of a version."""
    path = Path(text)
    if "/" in text or path.exists():
        return read_file_contents(path, progress)
    return read_version_contents(store.find(Reference.parse(text), default_channel=None), store, progress)


def read_version_contents(version: Version, store: Store, progress: Progress = silent) -> Contents:
    """Return what a version's manifest tells; its disk is read only when the manifest lists no packages."""
    provenance = version.provenance
    packages, closure, problem = version.packages, provenance.closure, ""
    if not packages and not closure:
        if version.place is None:
            found = read_file_contents(store.disk_path(version), progress)
            packages, closure, problem = found.packages, found.closure, found.problem
        else:
            problem = f"the packages of {version.reference} were not recorded, and its bytes are on the cluster"
    facts = {
        "architecture": str(version.architecture),
        "firmware": str(version.firmware),
        "builder": provenance.builder,
        **find_facts(packages, closure),
    }
    if _REVISION_INPUT in provenance.inputs:
        facts["nixpkgs"] = provenance.inputs[_REVISION_INPUT]
    return Contents(
        label=str(version.reference),
        size_bytes=version.size_bytes,
        packages=packages,
        closure=closure,
        facts=facts,
        inputs=provenance.inputs,
        digest="" if version.digest is None else str(version.digest),
        problem=problem,
    )


def read_file_contents(path: Path, progress: Progress = silent) -> Contents:
    """Return what the disk in a file tells: its size, its packages, and what those say about the whole."""
    from imagekit.disk.containers.open import open_disk
    from imagekit.disk.system import open_system_on

    progress(Event("reading", detail=path.name))
    with open_disk(path, progress=progress) as disk, open_system_on(disk) as tree:
        packages, closure, problem = _read_packages(tree)
        size = disk.size
    native = Counter(each.architecture for each in packages if each.architecture not in ("", "all", "noarch"))
    facts = {"architecture": native.most_common(1)[0][0]} if native else {}
    return Contents(
        label=str(path),
        size_bytes=size,
        packages=packages,
        closure=closure,
        facts={**facts, **find_facts(packages, closure)},
        problem=f"{path.name}: {problem}" if problem else "",
    )


def _read_packages(tree: "FileTree") -> tuple[tuple[Package, ...], tuple[ClosurePath, ...], str]:
    """Return packages, closure, and what is missing from them."""
    from imagekit.disk.packages.nix_store import read_store_paths
    from imagekit.disk.packages.read import PackageKind, read_packages

    found = read_packages(tree)
    match found.kind:
        case PackageKind.NIX:
            paths = read_store_paths(tree) or ()
            return found.packages, tuple(ClosurePath(each.path, each.size_bytes) for each in paths), found.problem
        case PackageKind.NONE:
            return (), (), "no package database was found in it"
        case _:
            return found.packages, (), found.problem
