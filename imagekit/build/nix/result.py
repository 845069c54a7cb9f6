"""From a path in some machine's Nix store to the raw disk here: fetched, compared on both ends, unpacked, described."""

import hashlib
import shutil
from pathlib import Path

from imagekit.build.nix.closure import list_packages
from imagekit.definition import ImageDefinition
from imagekit.disk.containers.magic import Container, identify
from imagekit.disk.containers.raw import NotADisk, open_file
from imagekit.disk.containers.unpack import unpack_file
from imagekit.disk.digest import compute_digest
from imagekit.disk.packages.nix_store import read_store_paths
from imagekit.disk.system import open_system
from imagekit.errors import HostFailed, VerificationFailed
from imagekit.host.host import Host
from imagekit.image import ClosurePath, DiskImage, Package
from imagekit.progress import Event, Progress

_PACKED = (Container.ZSTD, Container.XZ, Container.GZIP, Container.BZIP2)


def fetch_image(host: Host, path: str, size: int, destination: Path, progress: Progress) -> tuple[Path, str]:
    """Return where the image ``path`` of ``host`` is here, and its SHA-256, which both machines computed alike.

    It has ``size`` bytes. A file at ``destination`` is taken for the beginning of the same one, and continued. Raises
    :class:`HostFailed` when the host is lost or the bytes differ, which leaves nothing to be continued.
    """
    stage = f"fetching the image from {host.name}"
    progress(Event(stage, 0, size, "B"))
    expected = host.digest_file(path)
    found = host.fetch_file(path, destination, size=size, on_bytes=lambda done: progress(Event(stage, done, size, "B")))
    with found.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != expected:
        destination.unlink(missing_ok=True)
        raise HostFailed(
            f"the image arrived damaged: {host.name} has sha256 {expected}, here it is {digest}",
            hint="run the build again: it is still built there and only fetched anew",
        )
    return found, digest


def unpack_image(found: Path, disk: Path, progress: Progress) -> None:
    """Make ``disk`` of the image file ``found``, packed or raw; a store's own file is left as it is.

    Raises :class:`NotADisk` for a file of another kind, :class:`ImageDamaged` for one that is cut short or corrupt.
    """
    with open_file(found) as file:
        kind = identify(file)
    if kind in _PACKED:
        unpack_file(found, disk, progress=progress)
    elif kind is None:
        progress(Event("copying the image"))
        shutil.copyfile(found, disk)
    else:
        raise NotADisk(f"{found.name} is a {kind.value} file, not an SD image", hint="build a raw image, packed or not")


def describe_disk(definition: ImageDefinition, disk: Path, progress: Progress) -> DiskImage:
    """Return ``disk`` with its digest; architecture and firmware are the definition's."""
    size = disk.stat().st_size
    progress(Event("computing the digest", 0, size, "B"))
    digest = compute_digest(disk, lambda done: progress(Event("computing the digest", done, size, "B")))
    return DiskImage(disk, size, digest, definition.architecture, definition.firmware)


def read_closure(disk: Path) -> tuple[tuple[Package, ...], tuple[ClosurePath, ...]]:
    """Return what is registered in the disk's own Nix store: its packages, which have versions, and all its paths.

    The disk is asked, not the machine that built it: what counts is what is on the card. Raises
    :class:`VerificationFailed` when the disk has no such store, :class:`ImageDamaged` when it contradicts itself.
    """
    with open_system(disk) as tree:
        found = read_store_paths(tree)
    if found is None:
        raise VerificationFailed(
            "the image has no registered Nix store, so nothing says what is on it",
            hint="an SD image of nixpkgs (sd-image.nix) has /nix-path-registration",
        )
    closure = tuple(ClosurePath(each.path, each.size_bytes) for each in found)
    return list_packages(closure), closure
