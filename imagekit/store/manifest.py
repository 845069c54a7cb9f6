"""A stored version as a value, and as the ``manifest.json`` beside its disk.

The manifest is written last into a version being made, so a version that has one is whole. It is read strictly: what is
unknown, missing or of another type is damage, and the file is named. A version on a cluster has no disk beside it; its
manifest has ``place`` where the others have ``digest``.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from imagekit.durable import read_whole
from imagekit.errors import DefinitionInvalid, ImagekitError, StoreError
from imagekit.image import (
    NAME_PATTERN,
    Architecture,
    ClusterPlace,
    Digest,
    Firmware,
    Package,
    Provenance,
    Reference,
    VersionId,
    parse_name,
)
from imagekit.report import Report
from imagekit.store.encoding import encode_json
from imagekit.store.layout import FORMAT, Layout

_MANIFEST_BYTES = 64 << 20
DEFAULT_CHANNELS = ("candidate", "stable")


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version: what it is, where it came from, and the evidence that it is fit.

    ``size_bytes`` is the disk's size, ``stored_bytes`` the space its file takes; ``created`` is UTC; ``channels`` are
    those that its definition declared, the first of which every new version enters.

    Its bytes are either in this store (``digest``) or a template on a cluster (``place``, nothing stored here).
    ``replaces`` are the versions whose template had the same VM id before this one; ``replaced_by`` is the version that
    has the VM id of this one now, whose template is gone then. Only :class:`imagekit.store.Store` fills in the latter.
    """

    name: str
    id: VersionId
    digest: Digest | None
    size_bytes: int
    stored_bytes: int
    created: datetime
    created_by: str
    architecture: Architecture
    firmware: Firmware
    channels: tuple[str, ...]
    provenance: Provenance
    report: Report
    place: ClusterPlace | None = None
    replaces: tuple[Reference, ...] = ()
    replaced_by: Reference | None = None

    def __post_init__(self) -> None:
        if (self.digest is None) == (self.place is None):
            raise ValueError("a version has either a digest or a place on a cluster")

    @property
    def packages(self) -> tuple[Package, ...]:
        """The packages in the image."""
        return self.provenance.packages

    @property
    def short_digest(self) -> str:
        """The first digits of the digest as shown in tables; ``-`` when the bytes are on a cluster."""
        return "-" if self.digest is None else self.digest.short

    @property
    def reference(self) -> Reference:
        """The reference that will always mean this version: ``NAME@VERSION``."""
        return Reference(self.name, self.id)


_Text = Annotated[str, msgspec.Meta(max_length=4096)]
_ChannelName = Annotated[str, msgspec.Meta(pattern=f"^(?:{NAME_PATTERN.pattern})$", max_length=63)]


class _Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The shape of a place."""

    cluster: str
    node: str
    vm_id: int
    mark: str


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """The file's shape. Its keys are what a reader may rely on within one format number.

    A key with a default is written only where it says something: a version with a disk looks as it always did.
    """

    format: int
    name: _Text
    version: _Text
    digest: Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")] | None = None
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    created_by: _Text
    architecture: Architecture
    firmware: Firmware
    channels: Annotated[tuple[_ChannelName, ...], msgspec.Meta(min_length=1, max_length=64)]
    provenance: Provenance
    report: Report
    place: _Place | None = None
    replaces: tuple[_Text, ...] = ()


class _Format(msgspec.Struct, frozen=True):
    """The one key that is read before the rest may be believed."""

    format: int


class _Glance(msgspec.Struct, frozen=True):
    """The keys that tell which template has which VM id; the rest, mostly packages, is passed over."""

    place: _Place | None = None
    replaces: tuple[str, ...] = ()


def read_declared(provenance: Provenance) -> tuple[str, tuple[str, ...]]:
    """Return the image's name and its channels as its definition declares them; the default channels if it is silent.

    Raises :class:`StoreError` when the definition kept in the provenance names no image, and
    :class:`imagekit.errors.DefinitionInvalid` when a name cannot be one.
    """
    name = provenance.definition.get("name")
    if not isinstance(name, str):
        raise StoreError("the built image does not say its name", hint="its builder must record the definition's name")
    declared = provenance.definition.get("channels") or DEFAULT_CHANNELS
    if not isinstance(declared, list | tuple) or not all(isinstance(channel, str) for channel in declared):
        raise StoreError(f"the channels of {name!r} are not a list of names", hint='write channels = ["candidate", …]')
    return parse_name(name), tuple(dict.fromkeys(parse_name(channel, what="channel") for channel in declared))


def encode_manifest(version: Version) -> bytes:
    """Return ``version`` as the bytes of its ``manifest.json``; what is found out on reading is not part of it."""
    place = version.place
    manifest = _Manifest(
        format=FORMAT,
        name=version.name,
        version=str(version.id),
        digest=None if version.digest is None else str(version.digest),
        size_bytes=version.size_bytes,
        created=version.created,
        created_by=version.created_by,
        architecture=version.architecture,
        firmware=version.firmware,
        channels=version.channels,
        provenance=version.provenance,
        report=version.report,
        place=None if place is None else _Place(place.cluster, place.node, place.vm_id, place.mark),
        replaces=tuple(str(reference) for reference in version.replaces),
    )
    return msgspec.json.format(encode_json(manifest), indent=1) + b"\n"


def read_version(layout: Layout, name: str, version: VersionId) -> Version:
    """Read one stored version; raises :class:`StoreError` naming the file when it is damaged or of another format."""
    path = layout.manifest_file(name, version)
    data = read_whole(path, _MANIFEST_BYTES)
    try:
        number = msgspec.json.decode(data, type=_Format).format
        if number != FORMAT:
            raise StoreError(
                f"{path} has format {number}; this imagekit reads format {FORMAT}",
                hint="use the imagekit that wrote it",
            )
        manifest = msgspec.json.decode(data, type=_Manifest)
    except (
        msgspec.MsgspecError,
        ValueError,
        RecursionError,
    ) as problem:  # ValueError: not UTF-8, or too large a number
        raise _explain_damage(path, str(problem)) from None
    if (manifest.name, manifest.version) != (name, str(version)):
        raise _explain_damage(path, f"it describes {manifest.name}@{manifest.version}")
    if (manifest.digest is None) == (manifest.place is None):
        raise _explain_damage(path, "it has to tell either the digest of a disk or a place on a cluster")
    try:
        place = None if manifest.place is None else _read_place(manifest.place)
        replaces = tuple(Reference.parse(text) for text in manifest.replaces)
    except (ValueError, DefinitionInvalid) as problem:
        raise _explain_damage(path, str(problem)) from None
    return Version(
        name=name,
        id=version,
        digest=None if manifest.digest is None else Digest.parse(manifest.digest),
        size_bytes=manifest.size_bytes,
        stored_bytes=_measure_disk(layout.disk_file(name, version), manifest.size_bytes) if place is None else 0,
        created=manifest.created,
        created_by=manifest.created_by,
        architecture=manifest.architecture,
        firmware=manifest.firmware,
        channels=manifest.channels,
        provenance=manifest.provenance,
        report=manifest.report,
        place=place,
        replaces=replaces,
    )


def glance_at_version(
    layout: Layout, name: str, version: VersionId
) -> tuple[ClusterPlace | None, tuple[Reference, ...]]:
    """Return where a version's template is and what it replaces; nothing when its manifest cannot be read.

    It is asked of every version about another one: damage is told of the version that is wanted itself.
    """
    try:
        glance = msgspec.json.decode(read_whole(layout.manifest_file(name, version), _MANIFEST_BYTES), type=_Glance)
        place = None if glance.place is None else _read_place(glance.place)
        return place, tuple(Reference.parse(text) for text in glance.replaces)
    except (OSError, ImagekitError, msgspec.MsgspecError, ValueError, RecursionError):
        return None, ()


def _read_place(place: _Place) -> ClusterPlace:
    return ClusterPlace(place.cluster, place.node, place.vm_id, place.mark)


def _measure_disk(disk: Path, size_bytes: int) -> int:
    """Return the space that a version's disk takes; raises :class:`StoreError` when it is not as long as it was."""
    try:
        status = os.stat(disk)  # noqa: PTH116 - st_blocks is what is asked for
    except FileNotFoundError:
        raise _explain_damage(disk, "the disk is missing") from None
    if status.st_size != size_bytes:
        raise _explain_damage(disk, f"it has {status.st_size} bytes instead of {size_bytes}")
    return status.st_blocks * 512  # stat(2): always in units of 512, whatever the block size


def _explain_damage(path: Path, reason: str) -> StoreError:
    """Return the error for a file that cannot be what imagekit wrote."""
    return StoreError(
        f"{path} is damaged: {reason}",
        hint=f"move {path.parent} out of the store, or restore it from a backup; other versions are not touched",
    )
