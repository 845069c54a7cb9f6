"""From what Packer left to what the pipeline takes: the disk, its packages, its digest."""

from pathlib import Path

from imagekit.build.packer.machine_readable import Artifact
from imagekit.definition.model import ImageDefinition
from imagekit.disk.digest import compute_digest
from imagekit.disk.packages.read import read_packages
from imagekit.disk.system import open_system
from imagekit.errors import ToolFailed
from imagekit.host import run
from imagekit.image import DiskImage, Package
from imagekit.progress import Event, Progress

_DISKS = (".raw", ".img", ".qcow2", "")
_VARIABLES = "efivars"


def find_disk(artifacts: tuple[Artifact, ...]) -> Path:
    """Return the one disk among the files of a build's artifacts.

    Raises :class:`ToolFailed` when there is none, or more than one: a template is one disk.
    """
    files = [Path(file) for artifact in artifacts for file in artifact.files]
    disks = [file for file in files if file.suffix in _DISKS and _VARIABLES not in file.name and file.is_file()]
    if len(disks) == 1:
        return disks[0]
    named = ", ".join(file.name for file in disks or files) or "no file"
    raise ToolFailed(
        f"Packer left {len(disks)} disks, and an image is one ({named})",
        hint="a template for imagekit has one source with one disk; packer.only chooses among several",
    )


def take_disk(found: Path, disk: Path, progress: Progress) -> None:
    """Make the file ``found``, raw or qcow2, the raw ``disk``; what was found is gone afterwards."""
    with found.open("rb") as file:
        container = "qcow2" if file.read(4) == b"QFI\xfb" else "raw"
    if container == "qcow2" or found.stat().st_dev != disk.parent.stat().st_dev:
        progress(Event("converting the disk"))
        # The formats are said, never guessed; an image that names another file as its backing is refused by qemu-img
        # only if told so, and verification refuses it before.
        run(["qemu-img", "convert", "-f", container, "-O", "raw", str(found), str(disk)])
        found.unlink()
    else:
        found.replace(disk)


def read_disk_packages(disk: Path) -> tuple[Package, ...]:
    """Return what the disk's own package database names; raises :class:`VerificationFailed` when there is no system."""
    with open_system(disk) as tree:
        return read_packages(tree).packages


def describe_disk(definition: ImageDefinition, disk: Path, progress: Progress) -> DiskImage:
    """Return ``disk`` with its digest; architecture and firmware are those that the definition asked for."""
    size = disk.stat().st_size
    progress(Event("computing the digest", 0, size, "B"))
    digest = compute_digest(disk, lambda done: progress(Event("computing the digest", done, size, "B")))
    return DiskImage(disk, size, digest, definition.architecture, definition.firmware)
