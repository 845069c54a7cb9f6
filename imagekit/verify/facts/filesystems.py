"""fstab(5) lines, and what the disk's partitions and filesystems are called."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imagekit.disk.probe import FilesystemKind
from imagekit.verify.facts.boot_entries import parse_device, read_arguments
from imagekit.verify.view import View, fact

if TYPE_CHECKING:
    from imagekit.disk.volume import Volume

_RAID_MAGIC = b"\xfc\x4e\x2b\xa9\x01\0\0\0"  # and the major version
_SMALLEST_MEMBER = 64 << 10


@dataclass(frozen=True, slots=True)
class MountLine:
    """One line of fstab(5)."""

    source: str
    target: str
    type: str
    options: tuple[str, ...]


@fact
def read_fstab(view: View) -> tuple[MountLine, ...]:
    """Return the lines of ``/etc/fstab`` that say something; empty when there is no such file."""
    lines = []
    for line in view.lines("/etc/fstab"):
        fields = line.split()
        if len(fields) >= 3 and not fields[0].startswith("#"):
            options = tuple(fields[3].split(",")) if len(fields) > 3 else ()
            lines.append(MountLine(fields[0], fields[1], fields[2], options))
    return tuple(lines)


@fact
def read_names(view: View) -> dict[str, frozenset[str]]:
    """Return the UUIDs, LABELs, PARTUUIDs and PARTLABELs on the disk; UUIDs in lower case.

    Raises :class:`imagekit.verify.view.CannotSee` for a directory.
    """
    volumes = view.volumes()
    partitions = [volume.partition for volume in volumes if volume.partition is not None]
    return {
        "UUID": frozenset(volume.uuid.lower() for volume in volumes if volume.uuid),
        "LABEL": frozenset(volume.label for volume in volumes if volume.label),
        "PARTUUID": frozenset(str(partition.guid).lower() for partition in partitions),
        "PARTLABEL": frozenset(partition.name for partition in partitions if partition.name),
    }


def is_on_disk(view: View, kind: str, value: str) -> bool:
    """Say whether the disk has what a ``KIND=value`` names; labels are compared exactly, UUIDs without case."""
    names = read_names(view)[kind]
    return (value.lower() if kind in ("UUID", "PARTUUID") else value) in names


def find_volume(view: View, target: str) -> "Volume | None":
    """Return the volume that fstab mounts at ``target``, the root's own for ``/``; ``None`` when there is none.

    Raises :class:`imagekit.verify.view.CannotSee` for a directory.
    """
    if target == "/":
        return view.root_volume()
    for line in read_fstab(view):
        if line.target.rstrip("/") == target:
            return next((volume for volume in view.volumes() if is_named(volume, line.source)), None)
    return None


def is_named(volume: "Volume", source: str) -> bool:
    """Say whether an fstab source, ``KIND=value`` or a path below ``/dev``, means this volume."""
    named = parse_device(source)
    if named is None:
        return source in volume.device_names
    kind, value = named
    match kind:
        case "UUID":
            return volume.uuid.lower() == value.lower()
        case "LABEL":
            return volume.label == value
        case "PARTUUID":
            return volume.partition is not None and volume.partition.guid.lower() == value.lower()
        case _:
            return volume.partition is not None and volume.partition.name == value


def may_provide(view: View, source: str) -> bool:
    """Say whether LVM provides a device, or may: under encryption, or with metadata that could not be read."""
    return any(
        source in volume.device_names
        or volume.kind is FilesystemKind.LUKS
        or (volume.kind is FilesystemKind.LVM and bool(volume.problem))
        for volume in view.volumes()
    )


@fact
def is_root_on_lvm(view: View) -> bool:
    """Say whether the root is a logical volume: seen on the disk, or named so by fstab or the kernel's command line."""
    if view.has_disk:
        return view.root_volume().is_logical
    sources = [line.source for line in read_fstab(view) if line.target == "/"]
    if any(argument.text.startswith("rd.lvm.lv=") for argument in read_arguments(view)):
        return True
    opened = {fields[0] for line in view.lines("/etc/crypttab") if len(fields := line.split()) > 1}
    return any(each.startswith("/dev/mapper/") and each.removeprefix("/dev/mapper/") not in opened for each in sources)


@dataclass(frozen=True, slots=True)
class RaidMember:
    """A part of a Linux software RAID: where it is, and its array's UUID as mdadm writes it."""

    device: str
    array: str


@fact
def read_raid_members(view: View) -> tuple[RaidMember, ...]:
    """Return the parts of software RAIDs on the disk; raises :class:`imagekit.verify.view.CannotSee` for a directory.

    Source: the kernel's md_p.h. Versions 1.1 and 1.2 keep the superblock at byte 0 and 4096, 1.0 near the end.
    """
    found = []
    for volume in view.volumes():
        window = volume.window
        if window is None or window.size < _SMALLEST_MEMBER:
            continue
        for place in (0, 4096, (window.size // 512 - 16) // 8 * 8 * 512):
            block = window.read(place, 32)
            if block[:8] == _RAID_MAGIC:
                digits = block[16:32].hex()
                found.append(RaidMember(volume.device, ":".join(digits[at : at + 8] for at in range(0, 32, 8))))
                break
    return tuple(found)
