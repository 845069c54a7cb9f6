"""What a VMDK file says of itself, read before a library sees it: one sparse file and no names that matter.

Source: *Virtual Disk Format 5.0* (VMware), and ``block/vmdk.c`` of QEMU.
"""

import re
import struct

from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged, ImageNamesHostFile, VerificationFailed

SECTOR = 512
# Magic, version, flags, capacity, grain size, descriptor's offset and size; all counts in sectors.
_HEADER = struct.Struct("<4sIIQQQQ")
_MOST_SECTORS = (64 << 40) // SECTOR
_MOST_DESCRIPTOR = 128  # sectors
_KINDS = ("monolithicSparse", "streamOptimized")
_NO_PARENT = "ffffffff"
_LINE = re.compile(r'\s*([A-Za-z]\w*)\s*=\s*"?([^"\n]*)"?\s*')
_EXTENT = re.compile(r"\s*(?:RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)")


def check_vmdk(file: Readable, name: str) -> int:
    """Return the disk's size in bytes when all of it is in the one ``file``, called ``name`` in messages.

    Raises :class:`ImageNamesHostFile` for a disk of several files or with a parent, :class:`ImageDamaged` for numbers
    that cannot be right, and :class:`VerificationFailed` for a kind that is not read.
    """
    if file.size < SECTOR:
        raise ImageDamaged(f"{name} is too short for a VMDK disk")
    magic, version, _, capacity, grain, at, sectors = _HEADER.unpack_from(file.read(0, SECTOR))
    if magic != b"KDMV" or version not in (1, 2, 3):
        raise VerificationFailed(f"{name} is a VMDK disk of version {version}, which is not read", hint=_hint(name))
    if not 0 < capacity <= _MOST_SECTORS or not 8 <= grain <= 65536 or grain & (grain - 1):
        raise ImageDamaged(f"{name} claims a disk of {capacity} sectors in grains of {grain}")
    if not at or not sectors:
        raise ImageNamesHostFile(f"{name} is one of the files of a VMDK disk, not the whole", hint=_hint(name))
    if sectors > _MOST_DESCRIPTOR or (at + sectors) * SECTOR > file.size:
        raise ImageDamaged(f"{name} places its description at sector {at}, where it cannot be")
    text = file.read(at * SECTOR, sectors * SECTOR).partition(b"\0")[0].decode(errors="replace")
    fields = {match[1].lower(): match[2].strip() for line in text.splitlines() if (match := _LINE.fullmatch(line))}
    if fields.get("parentcid", _NO_PARENT).lower() != _NO_PARENT or "parentfilenamehint" in fields:
        raise ImageNamesHostFile(f"{name} is a difference to another VMDK disk", hint=_hint(name))
    extents = [(match[1], match[2]) for line in text.splitlines() if (match := _EXTENT.match(line))]
    if len(extents) != 1:
        raise ImageNamesHostFile(f"{name} is a VMDK disk of {len(extents)} files", hint=_hint(name))
    if fields.get("createtype") not in _KINDS or extents[0][1] != "SPARSE":
        raise ImageNamesHostFile(f"{name} is not a VMDK disk of one sparse file", hint=_hint(name))
    if len(extents[0][0]) > 20 or int(extents[0][0]) != capacity:
        raise ImageDamaged(f"{name} claims {capacity} sectors, and {extents[0][0][:20]} in its description")
    return int(capacity) * SECTOR


def _hint(name: str) -> str:
    return f"where its files can be trusted: qemu-img convert -O qcow2 {name} whole.qcow2"
