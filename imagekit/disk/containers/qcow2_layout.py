"""The header of a qcow2 image and the words of its tables, as QEMU's docs/interop/qcow2.rst defines them.

Everything is big-endian. An image that says that (part of) its content is in another file is refused here, before
anything in it is believed: following the name would put files of this machine into a report (CVE-2024-32498).
"""

import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from imagekit.disk.containers.raw import NotADisk
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged, ImageNamesHostFile

MAX_DISK_BYTES = 64 << 40
_MAX_L1_BYTES = 32 << 20  # QEMU's own limit
_MAX_NAME_BYTES = 1023
_V2_BYTES, _V3_BYTES = 72, 104
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")
_FEATURES = struct.Struct(">Q16x4xI")

_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION, _EXTENDED_L2 = (1 << bit for bit in range(5))
_KNOWN_FEATURES = _DIRTY | _CORRUPT | _DATA_FILE | _COMPRESSION | _EXTENDED_L2
_FEATURE_NAMES, _DATA_FILE_NAME = 0x6803F857, 0x44415441
_MAX_EXTENSIONS_BYTES, _MAX_EXTENSIONS = 64 << 10, 64

OFFSET_MASK = 0x00FFFFFFFFFFFE00  # bits 9-55 of an entry of an L1 or L2 table
COMPRESSED = 1 << 62
READS_ZERO = 1


class Compression(Enum):
    """How compressed clusters are compressed; the values are those of the header."""

    DEFLATE = 0
    ZSTD = 1


@dataclass(frozen=True, slots=True)
class Header:
    """What is needed for reading; offsets and sizes in bytes, everything checked against the file.

    ``dirty`` says that reference counts may be wrong, which does not matter to a reader; ``snapshots`` is how many
    older states of the disk the image keeps besides the one that is read.
    """

    version: int
    size: int
    cluster_bits: int
    l1_offset: int
    l1_entries: int
    compression: Compression
    extended_l2: bool
    dirty: bool
    snapshots: int

    @property
    def l2_entry_bytes(self) -> int:
        """Return the size of one entry of an L2 table."""
        return 16 if self.extended_l2 else 8


def read_header(file: Readable, path: Path) -> Header:
    """Return the header of the qcow2 image in ``file``; ``path`` is for messages.

    Raises :class:`ImageNamesHostFile` for a backing or data file, :class:`NotADisk` for encryption, an unknown version
    or an unknown feature, and :class:`ImageDamaged` when the header contradicts itself or the file.
    """
    raw = file.read(0, min(file.size, 1024))
    if len(raw) < _V2_BYTES:
        raise ImageDamaged(f"{path.name} ends within the header of a qcow2 image")
    _, version, backing, backing_bytes, bits, size, crypt, l1_size, l1_offset, _, _, snapshots, _ = _HEADER.unpack_from(
        raw
    )
    if version not in (2, 3):
        raise NotADisk(f"{path} is a qcow2 image of version {version}, and versions 2 and 3 are read")
    features, length, compression_type = _read_features(raw, version, path)
    if not 9 <= bits <= 21:
        raise ImageDamaged(f"{path.name} declares clusters of 2^{bits} bytes")
    if backing:
        name = _read_name(file, backing, backing_bytes)
        raise ImageNamesHostFile(
            f"{path} has a backing file, {name}, and is only a part of a disk", hint=_flatten(path)
        )
    extensions = {}
    if features & _DATA_FILE or features & ~_KNOWN_FEATURES:
        extensions = _read_extensions(file, length, 1 << bits)
    if features & _DATA_FILE:
        name = _show(extensions[_DATA_FILE_NAME]) if _DATA_FILE_NAME in extensions else "without a name"
        raise ImageNamesHostFile(f"{path} keeps its content in another file, {name}", hint=_flatten(path))
    if unknown := features & ~_KNOWN_FEATURES:
        names = _name_features(unknown, extensions.get(_FEATURE_NAMES, b""))
        raise NotADisk(f"{path} uses features of qcow2 that are not known: {names}", hint=_flatten(path))
    if crypt:
        kind = {1: "AES", 2: "LUKS"}.get(crypt, f"method {crypt}")
        raise NotADisk(f"{path} is encrypted ({kind}), and its content cannot be seen", hint="decrypt it first")
    if features & _CORRUPT:
        raise ImageDamaged(f"{path.name} is marked as corrupt", hint=f"qemu-img check -r all {path.name}")
    if features & _EXTENDED_L2 and bits < 14:
        raise ImageDamaged(f"{path.name} divides clusters of {1 << bits} bytes, which are too small for that")
    header = Header(
        version=version,
        size=size,
        cluster_bits=bits,
        l1_offset=l1_offset,
        l1_entries=0,
        compression=_choose_compression(features, compression_type, path),
        extended_l2=bool(features & _EXTENDED_L2),
        dirty=bool(features & _DIRTY),
        snapshots=snapshots,
    )
    return _with_l1(header, l1_size, file, path)


def _read_features(raw: bytes, version: int, path: Path) -> tuple[int, int, int]:
    """Return the incompatible features, the header's length and the type of compression."""
    if version == 2:
        return 0, _V2_BYTES, 0
    if len(raw) < _V3_BYTES:
        raise ImageDamaged(f"{path.name} ends within the header of a qcow2 image")
    features, length = _FEATURES.unpack_from(raw, _V2_BYTES)
    if length < _V3_BYTES or length % 8:
        raise ImageDamaged(f"{path.name} declares a header of {length} bytes")
    return features, length, raw[_V3_BYTES] if min(length, len(raw)) > _V3_BYTES else 0


def _choose_compression(features: int, number: int, path: Path) -> Compression:
    if bool(features & _COMPRESSION) != bool(number):
        raise ImageDamaged(f"{path.name} contradicts itself about how it is compressed")
    try:
        return Compression(number)
    except ValueError:
        raise NotADisk(f"{path} is compressed by method {number}, which is not known", hint=_flatten(path)) from None


def _with_l1(header: Header, l1_size: int, file: Readable, path: Path) -> Header:
    """Return the header with the entries of L1 that the disk needs, once its size and place are found possible."""
    from dataclasses import replace

    if header.size == 0:
        raise NotADisk(f"{path} holds a disk of no bytes")
    if header.size > MAX_DISK_BYTES:
        raise ImageDamaged(f"{path.name} declares a disk of {header.size} bytes, more than the 64 TiB that are read")
    cluster = 1 << header.cluster_bits
    covered = cluster // header.l2_entry_bytes * cluster
    needed = -(-header.size // covered)
    if l1_size < needed:
        raise ImageDamaged(f"{path.name} has an L1 table of {l1_size} entries, and its disk needs {needed}")
    if needed * 8 > _MAX_L1_BYTES:
        raise ImageDamaged(f"{path.name} has an L1 table of {needed * 8} bytes, more than the 32 MiB that are read")
    if header.l1_offset % cluster or not cluster <= header.l1_offset <= file.size - needed * 8:
        raise ImageDamaged(f"{path.name} has its L1 table at byte {header.l1_offset}, where it cannot be")
    return replace(header, l1_entries=needed)


def _read_extensions(file: Readable, begin: int, cluster: int) -> dict[int, bytes]:
    """Return the header extensions by type, those that can be read: they only serve messages here."""
    area = file.read(0, min(file.size, cluster, _MAX_EXTENSIONS_BYTES))
    found: dict[int, bytes] = {}
    at = begin
    while at + 8 <= len(area) and len(found) < _MAX_EXTENSIONS:
        kind, length = struct.unpack_from(">II", area, at)
        if kind == 0 or at + 8 + length > len(area) or kind in found:
            break
        found[kind] = area[at + 8 : at + 8 + length]
        at += 8 + (length + 7 & ~7)
    return found


def _name_features(bits: int, table: bytes) -> str:
    """Return the numbers of ``bits``, with the names that the image's own table gives to incompatible features."""
    names = {
        table[at + 1]: _show(table[at + 2 : at + 48].rstrip(b"\0"))
        for at in range(0, len(table) - 47, 48)
        if table[at] == 0
    }
    numbers = [number for number in range(64) if bits >> number & 1]
    return ", ".join(f"bit {number} ({names[number]})" if number in names else f"bit {number}" for number in numbers)


def _read_name(file: Readable, offset: int, length: int) -> str:
    if length > _MAX_NAME_BYTES or offset + length > file.size:
        return "whose name cannot be read"
    return _show(file.read(offset, length))


def _show(name: bytes) -> str:
    """Return bytes from the image as quoted text that cannot drive a terminal."""
    return ascii(name[:_MAX_NAME_BYTES].decode("utf-8", "backslashreplace"))


def _flatten(path: Path) -> str:
    from shlex import quote

    name = quote(path.name)
    return f"where all its files can be trusted, make it whole: qemu-img convert -O qcow2 {name} whole.qcow2"
