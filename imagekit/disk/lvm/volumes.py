"""LVM2: the volume groups on a disk's physical volumes, and each linear logical volume as a run of bytes.

The metadata is text and its mapping plain arithmetic, so both are done here, without device-mapper, root or a library.
Striped, mirrored, thin and cached volumes are named and not read; nor is LVM inside LVM.
"""

import bisect
from collections.abc import Mapping
from dataclasses import dataclass

from imagekit.disk.lvm.metadata import (
    SECTOR,
    GroupText,
    Label,
    LogicalText,
    PhysicalText,
    Segment,
    read_group,
    read_label,
)
from imagekit.disk.window import Readable, check_range
from imagekit.errors import ImageDamaged

_MOST_VOLUMES = 256


@dataclass(frozen=True, slots=True)
class LogicalVolume:
    """One logical volume; ``window`` is ``None`` for one that is not read, with the reason in ``problem``."""

    group: str
    name: str
    uuid: str
    window: "Mapped | None"
    problem: str = ""

    @property
    def device_names(self) -> tuple[str, str]:
        """Return the paths by which fstab(5) and the kernel's command line may name it (lvm(8), dmsetup(8))."""
        group, name = (part.replace("-", "--") for part in (self.group, self.name))
        return f"/dev/{self.group}/{self.name}", f"/dev/mapper/{group}-{name}"


@dataclass(frozen=True, slots=True)
class PhysicalVolume:
    """One physical volume: its UUID, its group (empty: none), and what is wrong with it."""

    uuid: str
    group: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Lvm:
    """What was found: ``physical`` in the order of the windows, logical volumes in that of the metadata."""

    physical: tuple[PhysicalVolume, ...]
    logical: tuple[LogicalVolume, ...]


class Mapped:
    """A :class:`Readable` made of pieces of others: (offset here, source, offset there, length), rising, no gaps."""

    def __init__(self, pieces: list[tuple[int, Readable, int, int]]) -> None:
        self._pieces = pieces
        self._starts = [piece[0] for piece in pieces]
        self.size = pieces[-1][0] + pieces[-1][3] if pieces else 0

    def read(self, offset: int, length: int) -> bytes:
        """Return exactly ``length`` bytes from ``offset``; raises :class:`ImageDamaged` when they are not inside."""
        check_range(offset, length, self.size, "this logical volume")
        parts = []
        index = bisect.bisect_right(self._starts, offset) - 1
        while length > 0:
            start, source, place, size = self._pieces[index]
            skip = offset - start
            part = source.read(place + skip, min(length, size - skip))
            parts.append(part)
            offset, length, index = offset + len(part), length - len(part), index + 1
        return parts[0] if len(parts) == 1 else b"".join(parts)


def open_lvm(windows: list[Readable]) -> Lvm:
    """Read the physical volumes in ``windows`` and what their groups hold.

    Damage is told in ``problem`` of the volume that has it, and raises nothing.
    """
    labels = [_try_label(window) for window in windows]
    sources = {label.uuid: window for label, window in zip(labels, windows, strict=True) if isinstance(label, Label)}
    if len(sources) < sum(isinstance(label, Label) for label in labels):
        return Lvm(tuple(PhysicalVolume("", "", "two physical volumes have the same UUID") for _ in labels), ())
    groups: dict[str, GroupText] = {}
    problems: dict[str, str] = {}
    for label in labels:
        if isinstance(label, Label) and label.text:
            try:
                group = read_group(label.text)
            except ImageDamaged as damage:
                problems[label.uuid] = damage.message
                continue
            # A volume that was away while the group changed has an older text.
            if group.uuid not in groups or groups[group.uuid].sequence < group.sequence:
                groups[group.uuid] = group
    owners = {each.uuid: group.name for group in groups.values() for each in group.physical}
    physical = tuple(
        PhysicalVolume(label.uuid, owners.get(label.uuid, ""), problems.get(label.uuid, ""))
        if isinstance(label, Label)
        else PhysicalVolume("", "", label)
        for label in labels
    )
    names = [group.name for group in groups.values()]
    logical = [
        _open_logical(group, each, sources, twice=names.count(group.name) > 1)
        for group in groups.values()
        for each in group.logical
        if each.visible
    ]
    return Lvm(physical, tuple(logical[:_MOST_VOLUMES]))


def _try_label(window: Readable) -> Label | str:
    try:
        return read_label(window)
    except ImageDamaged as damage:
        return damage.message


def _open_logical(
    group: GroupText, logical: LogicalText, sources: Mapping[str, Readable], *, twice: bool
) -> LogicalVolume:
    if twice:
        problem = f"two volume groups are called {group.name}"
        return LogicalVolume(group.name, logical.name, logical.uuid, None, problem)
    try:
        window = None if logical.problem else _map_segments(group, logical, sources)
    except ImageDamaged as damage:
        return LogicalVolume(group.name, logical.name, logical.uuid, None, damage.message)
    return LogicalVolume(group.name, logical.name, logical.uuid, window, logical.problem)


def _map_segments(group: GroupText, logical: LogicalText, sources: Mapping[str, Readable]) -> Mapped:
    """Return the volume's bytes; raises :class:`ImageDamaged` for segments with gaps or outside their volume."""
    known = {each.name: each for each in group.physical}
    size = group.extent_size * SECTOR
    pieces = []
    extent = 0
    for segment in sorted(logical.segments, key=lambda each: each.start):
        if segment.start != extent or segment.count == 0:
            raise ImageDamaged(f"the logical volume {logical.name} has a gap or an overlap at extent {extent}")
        physical = known.get(segment.physical)
        source = None if physical is None else sources.get(physical.uuid)
        if physical is None or source is None:
            raise ImageDamaged(f"the logical volume {logical.name} needs a physical volume that is not on this disk")
        place = _place(segment, physical, size, source)
        pieces.append((extent * size, source, place, segment.count * size))
        extent += segment.count
    if extent * size > sum(source.size for source in sources.values()):
        raise ImageDamaged(f"the logical volume {logical.name} is larger than what it lies on")
    return Mapped(pieces)


def _place(segment: Segment, physical: PhysicalText, extent_bytes: int, source: Readable) -> int:
    """Return where a segment begins in its physical volume, in bytes."""
    place = physical.start * SECTOR + segment.first * extent_bytes
    end = place + segment.count * extent_bytes
    if segment.first + segment.count > physical.count or end > source.size:
        raise ImageDamaged(f"a segment of {segment.count} extents lies outside the physical volume {physical.name}")
    return place
