"""From what Packer left to what the pipeline takes: the disk, its packages, its digest."""

import contextlib
import os
import re
from pathlib import Path

from imagekit.build.packer.machine_readable import Artifact
from imagekit.definition.model import ImageDefinition
from imagekit.disk.containers.magic import Container, identify
from imagekit.disk.containers.qcow2_layout import read_header
from imagekit.disk.containers.raw import NotADisk, open_file
from imagekit.disk.digest import compute_digest
from imagekit.disk.packages.read import read_packages
from imagekit.disk.system import open_system
from imagekit.errors import ToolFailed
from imagekit.host import run
from imagekit.image import DiskImage, Package
from imagekit.progress import Event, Progress

_DISKS = re.compile(r"(?:\.(?:raw|img|qcow2|[0-9]+))?", re.IGNORECASE)  # "debian-12.5" has no ending but its version
_VARIABLES = "efivars"
_QEMU = "transcend.qemu"  # packer-plugin-qemu, builder/qemu/artifact.go


def find_disk(artifacts: tuple[Artifact, ...], directory: Path) -> Path:
    """Return the one disk among the files of a build's artifacts, whose names are seen from ``directory``.

    Raises :class:`ToolFailed` when there is none, or more than one: a template is one disk.
    """
    # Each post-processor tells again what it was given and keeps.
    files = list(dict.fromkeys(directory / file for artifact in artifacts for file in artifact.files))
    disks = [file for file in files if _DISKS.fullmatch(file.suffix) and _VARIABLES not in file.name and file.is_file()]
    if len(disks) == 1:
        return disks[0]
    named = ", ".join(file.name for file in disks or files) or "no file"
    raise ToolFailed(
        f"Packer left {len(disks)} disks, and an image is one ({named})",
        hint="a template for imagekit has one source with one disk; packer.only chooses among several",
    )


def take_disk(found: Path, disk: Path, progress: Progress) -> None:
    """Make the file ``found``, raw or qcow2, the raw ``disk``; what was found is gone afterwards.

    Raises :class:`NotADisk` for what is neither or a link, :class:`ImageNamesHostFile` for one that has its content
    from another file, :class:`ImageDamaged`, and :class:`ToolFailed`.
    """
    if found.is_symlink():  # what it leads to is not this build's, and would be moved away
        raise NotADisk(f"{found} is a link, not a disk that this build made")
    with open_file(found) as file:
        container = identify(file)
        # qemu-img would follow the names of other files, this machine's own among them.
        if container is Container.QCOW2:
            read_header(file, found)
        elif container is not None:
            raise NotADisk(f"{found} is a disk kept as {container.value}", hint='write format = "raw" in the template')
    if container is None and found.stat().st_dev == disk.parent.stat().st_dev:
        found.replace(disk)
        return
    progress(Event("converting the disk"))
    kind = "raw" if container is None else "qcow2"  # said, never guessed
    run(["qemu-img", "convert", "-f", kind, "-O", "raw", os.fspath(found), os.fspath(disk)])
    found.unlink()


def discard_rest(artifacts: tuple[Artifact, ...], directory: Path) -> None:
    """Remove what the ``qemu`` source left beside the disk, and its directory: it refuses one that is there."""
    for artifact in artifacts:
        if artifact.builder == _QEMU:
            files = [directory / file for file in artifact.files]
            for file in files:
                file.unlink(missing_ok=True)
            for place in {file.parent for file in files}:
                with contextlib.suppress(OSError):  # somebody put something else there
                    place.rmdir()


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
