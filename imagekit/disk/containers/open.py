"""A disk image file opened by what it is, not by its name: raw, or a container that holds a disk."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self, assert_never

from imagekit.disk.containers.magic import Container, identify, suggest_conversion
from imagekit.disk.containers.raw import NotADisk, RawDisk, open_file
from imagekit.disk.window import Window
from imagekit.errors import ImageNamesHostFile
from imagekit.progress import Progress, silent


class Disk(Protocol):
    """A disk's bytes, for reading only. Use as a context manager: everything is closed at the end of the block."""

    path: Path

    @property
    def size(self) -> int:
        """Return the disk's size in bytes: the virtual one, for a container."""

    @property
    def format(self) -> str:
        """Return what the file is: ``raw``, ``qcow2``, ``vmdk``, ``vhdx``, ``zstd``, ``xz``, ``gzip``, ``bzip2``.

        A packed file is what it is packed by, whatever image was inside.
        """

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """Close the file."""

    def close(self) -> None:
        """Close the file; a second call does nothing."""

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; raises :class:`ImageDamaged` when they are not inside."""

    def window(self, offset: int, length: int) -> Window:
        """Return the part of ``length`` bytes at ``offset``; raises :class:`ImageDamaged` when it is not inside."""

    def data_ranges(self) -> Iterator[tuple[int, int]]:
        """Yield offset and length of what may hold anything but zeros, rising; the rest reads as zeros."""


def open_disk(path: Path, *, directory: Path | None = None, progress: Progress = silent) -> Disk:
    """Open the disk image in the file ``path``, whatever it is kept in.

    The kind is told once, by the first bytes of the file, never by its name; what a disk holds is not asked again. A
    packed disk is unpacked into a temporary file in ``directory``, or where TMPDIR says; a packed qcow2 image is read
    too, and its ``format`` is that of the packing. Raises :class:`NotADisk` when the file is missing,
    empty, or of a kind that is not read, :class:`ImageNamesHostFile` when its content is in other files,
    :class:`imagekit.errors.ImageDamaged` when it is damaged, and :class:`imagekit.errors.VerificationFailed` when
    there is no room to unpack it.
    """
    with contextlib.ExitStack() as undo:
        file = undo.enter_context(open_file(path))
        container = identify(file)
        match container:
            case None:
                undo.pop_all()
                return file
            case Container.QCOW2:
                from imagekit.disk.containers.qcow2 import open_qcow2

                disk = open_qcow2(file)
                undo.pop_all()
                return disk
            case Container.ZSTD | Container.XZ | Container.GZIP | Container.BZIP2:
                return _open_packed(file, directory, progress)
            case Container.VMDK:
                from imagekit.disk.containers.libyal import open_vmdk

                return open_vmdk(path)
            case Container.VHDX:
                from imagekit.disk.containers.libyal import open_vhdx

                return open_vhdx(path)
            case Container.VMDK_TEXT:
                raise ImageNamesHostFile(
                    f"{path} is only the description of a VMDK disk, whose content is in other files",
                    hint=f"where they can be trusted: qemu-img convert -O qcow2 {path.name} whole.qcow2",
                )
            case (
                Container.VMDK_COW
                | Container.VHD
                | Container.VDI
                | Container.QED
                | Container.PARALLELS
                | Container.ANDROID_SPARSE
                | Container.LZ4
                | Container.LZIP
                | Container.ZIP
                | Container.SEVEN_ZIP
                | Container.TAR
            ):
                raise NotADisk(
                    f"{path} is a {container.value} file, which is not read",
                    hint=suggest_conversion(container, path.name),
                )
            case _ as never:
                assert_never(never)


def _open_packed(file: RawDisk, directory: Path | None, progress: Progress) -> Disk:
    """Return the disk that was packed; ``file`` is read to its end and not needed any more."""
    from imagekit.disk.containers.unpack import unpack_stream

    with contextlib.ExitStack() as undo:
        disk = undo.enter_context(unpack_stream(file, directory=directory, progress=progress))
        opened: Disk = disk
        if identify(disk) is Container.QCOW2:
            from imagekit.disk.containers.qcow2 import open_qcow2

            opened = open_qcow2(disk, format=disk.format)
        undo.pop_all()
    return opened
