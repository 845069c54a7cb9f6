"""Where an image's bytes come from: a raw disk, a qcow2 image, or a packed file that is unpacked on the way."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, Self

from imagekit.disk.containers.magic import START_BYTES, Container, identify, identify_start
from imagekit.disk.containers.open import Disk, open_disk
from imagekit.disk.containers.raw import NotADisk, RawDisk, open_file
from imagekit.disk.containers.stream import read_stream
from imagekit.errors import Refused
from imagekit.image import Digest

_PACKED = (Container.ZSTD, Container.XZ, Container.GZIP, Container.BZIP2)


class Source(Protocol):
    """An image, read once from its beginning to its end. Use as a context manager: the file is closed at the end.

    ``name`` is how sentences call it, ``expected`` the digest that its bytes must have, where one is known.
    """

    name: str
    path: Path
    expected: Digest | None

    @property
    def size_bytes(self) -> int | None:
        """Return the disk's size; ``None`` while a packed file has not told it by ending."""

    def read_into(self, target: memoryview) -> int:
        """Fill ``target`` with what comes next and return how much that was: less only at the end, then 0.

        Raises :class:`imagekit.errors.ImageDamaged` when the file is cut short or corrupt.
        """

    def __enter__(self) -> Self:
        """Return itself."""

    def __exit__(self, *_: object) -> None:
        """Close the file."""


class DiskSource:
    """A disk of known size: raw, or in a container that can be read anywhere."""

    def __init__(self, disk: Disk, name: str, expected: Digest | None = None) -> None:
        self.name = name
        self.path = disk.path
        self.expected = expected
        self._disk = disk
        self._position = 0

    @property
    def size_bytes(self) -> int | None:
        return self._disk.size

    def read_into(self, target: memoryview) -> int:
        count = min(len(target), self._disk.size - self._position)
        if isinstance(self._disk, RawDisk):
            self._disk.read_into(self._position, target[:count])
        else:
            target[:count] = self._disk.read(self._position, count)
        self._position += count
        return count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.close()


class PackedSource:
    """A raw disk packed by zstd, xz, gzip or bzip2; nothing is unpacked to a file."""

    def __init__(self, file: RawDisk, name: str) -> None:
        self.name = name
        self.path = file.path
        self.expected: Digest | None = None
        self._file = file
        self._pieces = self._expect_disk()
        self._rest = memoryview(b"")

    @property
    def size_bytes(self) -> int | None:
        return None

    def read_into(self, target: memoryview) -> int:
        filled = 0
        while filled < len(target):
            if not self._rest:
                self._rest = memoryview(next(self._pieces, b""))
                if not self._rest:
                    break
            count = min(len(self._rest), len(target) - filled)
            target[filled : filled + count] = self._rest[:count]
            self._rest, filled = self._rest[count:], filled + count
        return filled

    def require_disk(self) -> None:
        """Raise :class:`NotADisk` when what is packed is no raw disk; looks at its beginning, which is kept."""
        self._rest = memoryview(next(self._pieces, b""))
        if not self._rest:
            raise NotADisk(f"{self.path} unpacks to nothing")

    def _expect_disk(self) -> Iterator[bytes]:
        for number, piece in enumerate(read_stream(self._file)):
            inner = None if number else identify_start(piece[:START_BYTES])
            if inner is not None:
                raise NotADisk(
                    f"{self.path} is packed and holds a {inner.value} file, not a raw disk",
                    hint="unpack it first; a qcow2 image is read as it is then"
                    if inner is Container.QCOW2
                    else "unpack it, and name the disk image that is inside",
                )
            yield piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def open_source(path: Path, *, name: str = "", expected: Digest | None = None) -> Source:
    """Open the image in the file ``path`` by what it is, never by its name.

    Raises :class:`NotADisk` when it is missing, empty, or of a kind that is not read, as
    :func:`imagekit.disk.containers.open.open_disk` does.
    """
    with contextlib.ExitStack() as undo:
        file = undo.enter_context(open_file(path))
        kind = identify(file)
        if kind in _PACKED:
            packed = PackedSource(file, name or str(path))
            packed.require_disk()
            undo.pop_all()
            return packed
    return DiskSource(open_disk(path), name or str(path), expected)


def require_image_path(path: Path) -> None:
    """Raise :class:`Refused` when ``path`` is a device: reading one card to write another is not offered yet."""
    if path.is_block_device():
        raise Refused(f"{path} is a device, not an image", hint=f"imagekit flash IMAGE {os.fspath(path)}")
