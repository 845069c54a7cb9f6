"""What a VHDX file says of itself, read before a library sees it: whether its log is empty, and its size.

Source: *[MS-VHDX]: Virtual Hard Disk v2 File Format*, 2.2 (headers, region table), 2.3 (log), 2.6 (metadata).
"""

import struct
import uuid
from collections.abc import Iterator

from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged, ImageNamesHostFile, VerificationFailed

_KIB = 1 << 10
_HEADERS = (64 * _KIB, 128 * _KIB)
_REGIONS = (192 * _KIB, 256 * _KIB)
_HEADER = struct.Struct("<4sIQ16s16s16s")  # signature, checksum, sequence, file, data and log GUIDs
_METADATA_REGION = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_FILE_PARAMETERS = uuid.UUID("caa16737-fa36-4d43-b3b6-33f0aa44e76b")
_DISK_SIZE = uuid.UUID("2fa54224-cd1b-4876-b211-5dbed83bf4b8")
_MOST_ENTRIES = 2047
_MOST_BYTES = 64 << 40
_HAS_PARENT = 2


def check_vhdx(file: Readable, name: str) -> int:
    """Return the disk's size in bytes when all of it is in ``file``, called ``name`` in messages.

    Raises :class:`ImageNamesHostFile` for one with a parent, :class:`VerificationFailed` when its log was not
    replayed, and :class:`ImageDamaged` for numbers that cannot be right.
    """
    if file.size < 1 << 20:
        raise ImageDamaged(f"{name} is too short for a VHDX disk")
    headers = [_HEADER.unpack_from(file.read(at, _HEADER.size)) for at in _HEADERS]
    valid = [header for header in headers if header[0] == b"head"]
    if not valid:
        raise ImageDamaged(f"{name} has no VHDX header")
    if max(valid, key=lambda header: int(header[2]))[5] != bytes(16):
        raise VerificationFailed(
            f"{name} was not closed in order: its log holds writes that are not in the disk yet",
            hint=f"qemu-img check -r all {name}",
        )
    metadata = next((offset for kind, offset in _list_regions(file, name) if kind == _METADATA_REGION), None)
    if metadata is None:
        raise ImageDamaged(f"{name} has no VHDX metadata")
    items = dict(_list_items(file, metadata, name))
    if _FILE_PARAMETERS not in items or _DISK_SIZE not in items:
        raise ImageDamaged(f"{name} lacks its parameters or its size")
    _, flags = struct.unpack("<II", file.read(items[_FILE_PARAMETERS], 8))
    if flags & _HAS_PARENT:
        raise ImageNamesHostFile(
            f"{name} is a difference to another VHDX disk",
            hint=f"where that one can be trusted: qemu-img convert -O qcow2 {name} whole.qcow2",
        )
    size = int.from_bytes(file.read(items[_DISK_SIZE], 8), "little")
    if not 0 < size <= _MOST_BYTES or size % 512:
        raise ImageDamaged(f"{name} claims a disk of {size} bytes")
    return size


def _list_regions(file: Readable, name: str) -> Iterator[tuple[uuid.UUID, int]]:
    """Yield kind and offset of the regions of the first table that has its signature."""
    for at in _REGIONS:
        signature, _, count = struct.unpack("<4sII", file.read(at, 12))
        if signature == b"regi" and count <= _MOST_ENTRIES:
            data = file.read(at + 16, 32 * count)
            for index in range(count):
                kind, offset = struct.unpack_from("<16sQ", data, 32 * index)
                yield uuid.UUID(bytes_le=kind), offset
            return
    raise ImageDamaged(f"{name} has no VHDX region table")


def _list_items(file: Readable, metadata: int, name: str) -> Iterator[tuple[uuid.UUID, int]]:
    """Yield kind and place in the file of the metadata's items."""
    signature, count = struct.unpack("<8s2xH", file.read(metadata, 12))
    if signature != b"metadata" or count > _MOST_ENTRIES:
        raise ImageDamaged(f"{name} has no VHDX metadata table")
    data = file.read(metadata + 32, 32 * count)
    for index in range(count):
        kind, offset = struct.unpack_from("<16sI", data, 32 * index)
        yield uuid.UUID(bytes_le=kind), metadata + offset
