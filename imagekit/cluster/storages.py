"""A node's storages: what they hold, in which formats, and how much more."""

from dataclasses import dataclass
from typing import Final

from imagekit.cluster.answer import Fields, read_fields, read_flag, read_number, read_rows, read_text, read_words
from imagekit.cluster.api import Cluster, join_path
from imagekit.image import DiskFormat

# Storage types whose volumes are files and so may be qcow2 (pvesm(1), "Storage Types"); all others hold raw volumes.
# PVE 9 itself says what a storage supports, and knows qcow2 on LVM.
_FILE_TYPES: Final = ("dir", "nfs", "cifs", "glusterfs")
# Types that take a disk's whole size when it is made. (ZFS does unless it is set to "thin provision".)
_THICK_TYPES: Final = ("lvm", "zfspool", "zfs", "iscsi")


@dataclass(frozen=True, slots=True)
class Storage:
    """One storage as a node sees it; ``free`` is in bytes and ``None`` when the node does not say."""

    name: str
    kind: str
    contents: tuple[str, ...]
    formats: tuple[str, ...]
    enabled: bool
    active: bool
    shared: bool
    free: int | None

    @property
    def thick(self) -> bool:
        """Say whether a disk takes its whole size at once."""
        return self.kind in _THICK_TYPES


@dataclass(frozen=True, slots=True)
class Volume:
    """A file on a storage: ``identity`` is its volume id (``local:iso/debian.iso``), ``size`` its bytes."""

    identity: str
    size: int

    @property
    def name(self) -> str:
        """What stands after the storage's name: ``iso/debian.iso``."""
        return self.identity.partition(":")[2]


def list_storages(cluster: Cluster, node: str) -> dict[str, Storage]:
    """Return the storages of ``node`` by name: those only that the token may see, which may be none."""
    path = join_path("nodes", node, "storage")
    rows = read_rows(cluster.get(path, {"format": True}), f"GET {path}")
    found = (_read_storage(row) for row in rows)
    return {storage.name: storage for storage in found}


def list_volumes(cluster: Cluster, node: str, storage: str, content: str) -> tuple[Volume, ...]:
    """Return what of one content type (``iso``) is on a storage."""
    path = join_path("nodes", node, "storage", storage, "content")
    rows = read_rows(cluster.get(path, {"content": content}), f"GET {path}")
    return tuple(Volume(read_text(row, "volid"), read_number(row, "size") or 0) for row in rows)


def _read_storage(row: Fields) -> Storage:
    kind = read_text(row, "type")
    return Storage(
        name=read_text(row, "storage"),
        kind=kind,
        contents=read_words(row, "content"),
        formats=_read_formats(row, kind),
        enabled=read_number(row, "enabled") != 0,
        active=read_flag(row, "active"),
        shared=read_flag(row, "shared"),
        free=read_number(row, "avail"),
    )


def _read_formats(row: Fields, kind: str) -> tuple[str, ...]:
    """Return the formats by PVE 9's own list, by PVE 8's pair of a table and a default, or by the type."""
    match row.get("formats"), row.get("format"):
        case {"supported": list() as supported}, _:
            return tuple(str(name) for name in supported)
        case _, [dict() as table, *_]:
            fields = read_fields(table, "the formats of a storage")
            return tuple(name for name in fields if read_flag(fields, name))
        case _:
            return tuple(DiskFormat) if kind in _FILE_TYPES else (DiskFormat.RAW,)
