"""LVM2's text metadata: what a physical volume's label points to, checked and turned into segments.

Source: ``lib/format_text/layout.h`` and ``import_vsn1.c`` of LVM2, lvm(8), vgcfgbackup(8); pvck(8) shows the same
fields with ``--dump headers`` and ``--dump metadata``. Sizes in the text are counts of 512-byte sectors or of extents.
"""

import itertools
import re
import struct
import zlib
from dataclasses import dataclass

from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged

SECTOR = 512
_LABEL = struct.Struct("<8sQII8s")  # magic, own sector, checksum, offset of the contents, type
_AREA_HEADER = struct.Struct("<I16sIQQ")  # checksum, magic, version, start, size
_LOCATION = struct.Struct("<QQII")  # offset in the area, size, checksum, flags
_AREA_MAGIC = b" LVM2 x[5A%r0N*>"
_IGNORED = 1
_MOST_METADATA = 4 << 20
_MOST_VALUES = 200_000
_DEEPEST = 16
_CHECKSUM_START = 0xF597A6CF
_TOKEN = re.compile(r'\s+|#[^\n]*|"((?:[^"\\]|\\.)*)"|(-?[0-9]+(?:\.[0-9]+)?)|([A-Za-z0-9_.+-]+)|([{}=\[\],])')
# lvm(8): what a name may consist of; it ends in device names and reports.
_NAME = re.compile(r"[A-Za-z0-9_.+][A-Za-z0-9_.+-]{0,127}")

Section = dict[str, object]


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of extents of a logical volume that lies on ``physical`` (a name in the group) from ``first`` on."""

    start: int
    count: int
    physical: str
    first: int


@dataclass(frozen=True, slots=True)
class LogicalText:
    """A logical volume as the metadata has it; ``problem`` says why its bytes are not read."""

    name: str
    uuid: str
    visible: bool
    segments: tuple[Segment, ...]
    problem: str


@dataclass(frozen=True, slots=True)
class PhysicalText:
    """A physical volume as the group knows it: where its extents begin, in sectors, and how many there are."""

    name: str
    uuid: str
    start: int
    count: int


@dataclass(frozen=True, slots=True)
class GroupText:
    """A volume group; ``extent_size`` is in sectors, ``sequence`` rises with every change."""

    name: str
    uuid: str
    sequence: int
    extent_size: int
    physical: tuple[PhysicalText, ...]
    logical: tuple[LogicalText, ...]


@dataclass(frozen=True, slots=True)
class Label:
    """What a physical volume says of itself; ``text`` is empty when it keeps no copy of the metadata."""

    uuid: str
    text: str


def read_label(window: Readable) -> Label:
    """Read the label of the physical volume in ``window``; raises :class:`ImageDamaged` when it cannot be right."""
    for sector in range(4):
        if (sector + 1) * SECTOR <= window.size:
            data = window.read(sector * SECTOR, SECTOR)
            if data.startswith(b"LABELONE"):
                return _read_label(window, data, sector)
    raise ImageDamaged("there is no LVM label in the first four sectors")


def _read_label(window: Readable, data: bytes, sector: int) -> Label:
    _, own, checksum, offset, type_ = _LABEL.unpack_from(data)
    if type_ != b"LVM2 001" or own != sector or not _LABEL.size <= offset <= SECTOR - 40:
        raise ImageDamaged(f"the LVM label in sector {sector} is of an unknown kind")
    if compute_checksum(data[20:]) != checksum:
        raise ImageDamaged(f"the LVM label in sector {sector} has a wrong checksum")
    identity = data[offset : offset + 32].decode("ascii", "replace")
    lists: list[list[tuple[int, int]]] = [[], []]  # data areas, then metadata areas, each ended by zeros
    place, which = offset + 40, 0
    while which < 2:
        if place + 16 > SECTOR:
            raise ImageDamaged("the LVM label's lists of areas have no end")
        area = struct.unpack_from("<QQ", data, place)
        place += 16
        if area == (0, 0):
            which += 1
        else:
            lists[which].append(area)
    texts = [text for begin, size in lists[1] if (text := _read_area(window, begin, size))]
    return Label(format_uuid(identity), texts[0] if texts else "")


def _read_area(window: Readable, begin: int, size: int) -> str:
    """Return the current text of a metadata area, a ring whose first sector is its header; empty when it has none."""
    if size < 2 * SECTOR or begin + size > window.size:
        raise ImageDamaged(f"the LVM metadata area at {begin} does not fit the volume")
    header = window.read(begin, SECTOR)
    checksum, magic, version, start, own_size = _AREA_HEADER.unpack_from(header)
    if magic != _AREA_MAGIC or version != 1 or start != begin or own_size != size:
        raise ImageDamaged(f"the LVM metadata area at {begin} has a wrong header")
    if compute_checksum(header[4:]) != checksum:
        raise ImageDamaged(f"the LVM metadata area at {begin} has a wrong checksum")
    offset, length, text_checksum, flags = _LOCATION.unpack_from(header, _AREA_HEADER.size)
    if not length or flags & _IGNORED:
        return ""
    if not SECTOR <= offset < size or length > min(size - SECTOR, _MOST_METADATA):
        raise ImageDamaged(f"the LVM metadata is said to be {length} bytes at {offset} of its area")
    first = min(length, size - offset)
    text = window.read(begin + offset, first) + window.read(begin + SECTOR, length - first)
    if compute_checksum(text) != text_checksum:
        raise ImageDamaged("the LVM metadata has a wrong checksum")
    return text.rstrip(b"\0").decode(errors="surrogateescape")


def compute_checksum(data: bytes) -> int:
    """Return LVM's checksum: the CRC-32 of zlib with another beginning and no inversion (``lib/misc/crc.c``)."""
    return zlib.crc32(data, _CHECKSUM_START ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def format_uuid(stored: str) -> str:
    """Return a UUID of LVM with its dashes, as pvs(8) shows it."""
    plain = stored.replace("-", "")
    if len(plain) != 32 or not (plain.isascii() and plain.isalnum()):
        raise ImageDamaged("an LVM volume has an identifier that cannot be one")
    cuts = (0, 6, 10, 14, 18, 22, 26, 32)
    return "-".join(plain[begin:end] for begin, end in itertools.pairwise(cuts))


# -- text ----------------------------------------------------------------------------------------------------------


def parse_text(text: str) -> Section:
    """Return the sections and values of metadata text; raises :class:`ImageDamaged` for what is none."""
    tokens = _list_tokens(text)
    stack: list[Section] = [{}]
    position = 0
    while position < len(tokens):
        token = tokens[position]
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        if token == ("mark", "}") and len(stack) > 1:
            stack.pop()
            position += 1
        elif token[0] in ("word", "number") and following == ("mark", "{") and len(stack) < _DEEPEST:
            section: Section = {}
            _put(stack[-1], str(token[1]), section)
            stack.append(section)
            position += 2
        elif token[0] in ("word", "number") and following == ("mark", "="):
            value, position = _parse_value(tokens, position + 2)
            _put(stack[-1], str(token[1]), value)
        else:
            raise ImageDamaged(f"the LVM metadata has {str(token[1])[:20]!r} where it cannot be")
    if len(stack) > 1:
        raise ImageDamaged("the LVM metadata has a section without an end")
    return stack[0]


def _list_tokens(text: str) -> list[tuple[str, object]]:
    tokens: list[tuple[str, object]] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or len(tokens) > _MOST_VALUES:
            raise ImageDamaged(f"the LVM metadata cannot be understood at character {position}")
        position = match.end()
        quoted, number, word, mark = match.groups()
        if quoted is not None:
            tokens.append(("text", re.sub(r"\\(.)", r"\1", quoted)))
        elif number is not None:
            # A name may begin with a digit; then the rest of it follows at once.
            tail = re.compile(r"[A-Za-z0-9_.+-]+").match(text, position)
            if tail is not None:
                position = tail.end()
                tokens.append(("word", number + tail.group()))
            else:
                tokens.append(("number", int(float(number)) if "." in number or len(number) < 20 else -1))
        elif word is not None:
            tokens.append(("word", word))
        elif mark is not None:
            tokens.append(("mark", mark))
    return tokens


def _parse_value(tokens: list[tuple[str, object]], position: int) -> tuple[object, int]:
    """Return the value at ``position`` and where it ends: a text, a number, or a list of them."""
    if position < len(tokens) and tokens[position][0] in ("text", "number"):
        return tokens[position][1], position + 1
    if position < len(tokens) and tokens[position] == ("mark", "["):
        values: list[object] = []
        for index in range(position + 1, len(tokens)):
            kind, value = tokens[index]
            if (kind, value) == ("mark", "]"):
                return values, index + 1
            if kind in ("text", "number"):
                values.append(value)
            elif (kind, value) != ("mark", ","):
                break
    raise ImageDamaged("the LVM metadata has a key without a value")


def _put(section: Section, key: str, value: object) -> None:
    if key in section:
        raise ImageDamaged(f"the LVM metadata has {key[:40]!r} twice")
    section[key] = value


# -- meaning -------------------------------------------------------------------------------------------------------


def read_group(text: str) -> GroupText:
    """Return the volume group that metadata text describes; raises :class:`ImageDamaged` when it cannot be right."""
    groups = [(name, value) for name, value in parse_text(text).items() if isinstance(value, dict)]
    if len(groups) != 1:
        raise ImageDamaged(f"the LVM metadata describes {len(groups)} volume groups")
    name, group = groups[0]
    return GroupText(
        _check_name(name),
        format_uuid(_text(group, "id")),
        _count(group, "seqno"),
        max(1, _count(group, "extent_size")),
        tuple(
            PhysicalText(key, format_uuid(_text(each, "id")), _count(each, "pe_start"), _count(each, "pe_count"))
            for key, each in _sections(group, "physical_volumes")
        ),
        tuple(_read_logical(key, each) for key, each in _sections(group, "logical_volumes")),
    )


def _read_logical(name: str, section: Section) -> LogicalText:
    segments: list[Segment] = []
    problem = ""
    for number in range(1, _count(section, "segment_count") + 1):
        segment = section.get(f"segment{number}")
        if not isinstance(segment, dict):
            raise ImageDamaged(f"the logical volume {name[:40]} lacks its segment {number}")
        kind, stripes = _text(segment, "type"), segment.get("stripes")
        match stripes:
            case [str(physical), int(first)] if kind in ("striped", "linear") and first >= 0:
                start, count = _count(segment, "start_extent"), _count(segment, "extent_count")
                segments.append(Segment(start, count, physical, first))
            case _:
                striped = kind == "striped" and isinstance(stripes, list) and len(stripes) > 2
                shown = "striped over several volumes" if striped else f"of the type {kind[:20]!r}"
                problem = f"it is {shown}; linear logical volumes are read"
                break
    status = section.get("status")
    visible = isinstance(status, list) and "VISIBLE" in status
    return LogicalText(
        _check_name(name), format_uuid(_text(section, "id")), visible, () if problem else tuple(segments), problem
    )


def _sections(group: Section, key: str) -> list[tuple[str, Section]]:
    found = group.get(key, {})
    return [(name, each) for name, each in found.items() if isinstance(each, dict)] if isinstance(found, dict) else []


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name) or name in (".", ".."):
        raise ImageDamaged(f"{name[:40]!r} is no name for an LVM volume")
    return name


def _text(section: Section, key: str) -> str:
    value = section.get(key)
    if not isinstance(value, str):
        raise ImageDamaged(f"the LVM metadata lacks the text {key}")
    return value


def _count(section: Section, key: str) -> int:
    value = section.get(key)
    if not isinstance(value, int) or not 0 <= value < 1 << 48:
        raise ImageDamaged(f"the LVM metadata lacks the number {key}, or it cannot be right")
    return value
