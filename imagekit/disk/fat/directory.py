"""FAT directory entries: short names, long names, dates (Microsoft's FAT overview 1.03, sections 6 and 7)."""

import calendar
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from imagekit.errors import ImageDamaged

READ_ONLY = 0x01
LABEL = 0x08
DIRECTORY = 0x10
_LONG_NAME = 0x0F
_MAX_PARTS = 20
# Name, attributes, case flags, high half of the cluster, time, date, low half of the cluster, size.
_ENTRY = struct.Struct("<11sBB7xHHHHI")


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: ``mtime`` in seconds, taking the stored time, which has no zone, as UTC."""

    name: str
    attributes: int
    cluster: int
    size: int
    mtime: int


def read_entries(content: bytes) -> Iterator[Entry]:
    """Yield the used entries of a directory without ``.`` and ``..``; the volume label is among them.

    A long name that does not belong to its short name is ignored, as every driver does. Raises :class:`ImageDamaged`
    for a name that cannot be one.
    """
    parts: list[bytes] = []
    expected, checksum = 0, -1
    for position in range(0, len(content) - 31, 32):
        first = content[position]
        if first == 0:
            return
        if first == 0xE5:
            expected = 0
            parts.clear()
            continue
        short, attributes, case, high, time, date, low, size = _ENTRY.unpack_from(content, position)
        if attributes & 0x3F == _LONG_NAME:
            order = first & 0x3F
            if first & 0x40 and 1 <= order <= _MAX_PARTS:
                parts, expected, checksum = [], order, content[position + 13]
            if expected == 0 or order != expected or content[position + 13] != checksum:
                expected = 0
                parts.clear()
                continue
            record = content[position : position + 32]
            parts.append(record[1:11] + record[14:26] + record[28:32])
            # The part numbered 1 comes last; 0 parts are then missing, and the short entry must follow.
            expected -= 1
            continue
        complete = bool(parts) and expected == 0 and checksum == compute_checksum(short)
        if attributes & LABEL:
            name = short.decode("cp437").rstrip(" ")
        else:
            name = _decode_long(parts) if complete else _decode_short(short, case)
        parts, expected = [], 0
        if short[:1] == b"." and short.rstrip() in (b".", b".."):
            continue
        if not attributes & LABEL and (not name or "/" in name or any(ord(letter) < 32 for letter in name)):
            raise ImageDamaged(f"a FAT directory has the name {name!r}, which cannot be one")
        yield Entry(name, attributes, low | high << 16, size, _decode_time(date, time))


def compute_checksum(short: bytes) -> int:
    """Return the checksum of an 11-byte short name that each part of its long name carries."""
    total = 0
    for byte in short:
        total = ((total >> 1) + ((total & 1) << 7) + byte) & 0xFF
    return total


def _decode_long(parts: list[bytes]) -> str:
    """Join the parts, which are stored last first, up to the terminating NUL."""
    units = b"".join(reversed(parts))
    for position in range(0, len(units), 2):
        if units[position : position + 2] == b"\0\0":
            units = units[:position]
            break
    return units.decode("utf-16-le", errors="replace")


def _decode_short(short: bytes, case: int) -> str:
    """Join base and extension; two flags that Windows NT introduced say which of them is in lower case."""
    if short[0] == 0x05:  # stands for 0xE5, which would mean "deleted"
        short = b"\xe5" + short[1:]
    base, extension = short[:8].decode("cp437").rstrip(" "), short[8:].decode("cp437").rstrip(" ")
    base = base.lower() if case & 0x08 else base
    extension = extension.lower() if case & 0x10 else extension
    return f"{base}.{extension}" if extension else base


def _decode_time(date: int, time: int) -> int:
    """Return seconds since 1970, or 0 for a date that does not exist."""
    year, month, day = 1980 + (date >> 9), date >> 5 & 15, date & 31
    if not (1 <= month <= 12 and 1 <= day <= calendar.monthrange(year, month)[1]):
        return 0
    return calendar.timegm((year, month, day, time >> 11, time >> 5 & 63, (time & 31) * 2))
