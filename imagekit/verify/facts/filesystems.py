"""fstab(5) lines, and what the disk's partitions and filesystems are called."""

from dataclasses import dataclass

from imagekit.verify.view import View, fact


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
