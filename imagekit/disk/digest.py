"""The digest of a raw disk: SHA-256 of its content, so that a sparse and a full copy of one disk have one name."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from imagekit.disk.containers.raw import RawDisk, open_raw
from imagekit.errors import ImageDamaged
from imagekit.image import Digest

_PIECE = 4 << 20
_ZEROS = memoryview(bytes(_PIECE))


def compute_digest(path: Path, progress: Callable[[int], None] | None = None) -> Digest:
    """Return the SHA-256 of the raw disk ``path``; holes count as zeros and are not read.

    ``progress`` is called after each piece with the number of bytes hashed so far. Raises
    :class:`NotADisk` when it is no raw disk, :class:`ImageDamaged` when it shrinks meanwhile.
    """
    with open_raw(path) as disk:
        return hash_disk(disk, progress)


def hash_disk(disk: RawDisk, progress: Callable[[int], None] | None = None) -> Digest:
    """Return the SHA-256 of an open disk; as :func:`compute_digest`."""
    sha256 = hashlib.sha256()
    done = 0

    def add_zeros(end: int) -> None:
        nonlocal done
        while done < end:
            step = min(_PIECE, end - done)
            sha256.update(_ZEROS[:step])
            done += step
            if progress is not None:
                progress(done)

    for offset, length in disk.data_ranges():
        if offset < done:
            raise ImageDamaged(f"{disk.path.name} changed while it was read")
        add_zeros(offset)
        while done < offset + length:
            step = min(_PIECE, offset + length - done)
            sha256.update(disk.read(done, step))
            done += step
            if progress is not None:
                progress(done)
    add_zeros(disk.size)
    return Digest(sha256.hexdigest())
