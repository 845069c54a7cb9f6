"""A stored version as a value, and as the ``manifest.json`` beside its disk.

The manifest is written last into a version being made, so a version that has one is whole. It is read strictly: what is
unknown, missing or of another type is damage, and the file is named.
"""

import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec

from imagekit.errors import StoreError
from imagekit.image import (
    NAME_PATTERN,
    Architecture,
    Digest,
    Firmware,
    Package,
    Provenance,
    Reference,
    VersionId,
    parse_name,
)
from imagekit.report import Report
from imagekit.store.durable import read_whole
from imagekit.store.encoding import encode_json
from imagekit.store.layout import FORMAT, Layout

_MANIFEST_BYTES = 64 << 20
DEFAULT_CHANNELS = ("candidate", "stable")


@dataclass(frozen=True, slots=True)
class Version:
    """One immutable version: what it is, where it came from, and the evidence that it is fit.

    ``size_bytes`` is the disk's size, ``stored_bytes`` the space its file takes; ``created`` is UTC; ``channels`` are
    those that its definition declared, the first of which every new version enters.
    """

    name: str
    id: VersionId
    digest: Digest
    size_bytes: int
    stored_bytes: int
    created: datetime
    created_by: str
    architecture: Architecture
    firmware: Firmware
    channels: tuple[str, ...]
    provenance: Provenance
    report: Report

    @property
    def packages(self) -> tuple[Package, ...]:
        """The packages in the image."""
        return self.provenance.packages

    @property
    def reference(self) -> Reference:
        """The reference that will always mean this version: ``NAME@VERSION``."""
        return Reference(self.name, self.id)


_Text = Annotated[str, msgspec.Meta(max_length=4096)]
_ChannelName = Annotated[str, msgspec.Meta(pattern=f"^(?:{NAME_PATTERN.pattern})$", max_length=63)]


class _Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file's shape. Its keys are what a reader may rely on within one format number."""

    format: int
    name: _Text
    version: _Text
    digest: Annotated[str, msgspec.Meta(pattern="^sha256:[0-9a-f]{64}$")]
    size_bytes: Annotated[int, msgspec.Meta(ge=0)]
    created: Annotated[datetime, msgspec.Meta(tz=True)]
    created_by: _Text
    architecture: Architecture
    firmware: Firmware
    channels: Annotated[tuple[_ChannelName, ...], msgspec.Meta(min_length=1, max_length=64)]
    provenance: Provenance
    report: Report


class _Format(msgspec.Struct, frozen=True):
    """The one key that is read before the rest may be believed."""

    format: int


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
    """Return ``version`` as the bytes of its ``manifest.json``; ``stored_bytes`` is not part of it."""
    manifest = _Manifest(
        format=FORMAT,
        name=version.name,
        version=str(version.id),
        digest=str(version.digest),
        size_bytes=version.size_bytes,
        created=version.created,
        created_by=version.created_by,
        architecture=version.architecture,
        firmware=version.firmware,
        channels=version.channels,
        provenance=version.provenance,
        report=version.report,
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
    try:
        status = os.stat(layout.disk_file(name, version))  # noqa: PTH116 - st_blocks is what is asked for
    except FileNotFoundError:
        raise _explain_damage(layout.disk_file(name, version), "the disk is missing") from None
    if status.st_size != manifest.size_bytes:
        raise _explain_damage(
            layout.disk_file(name, version), f"it has {status.st_size} bytes instead of {manifest.size_bytes}"
        )
    return Version(
        name=name,
        id=version,
        digest=Digest.parse(manifest.digest),
        size_bytes=manifest.size_bytes,
        stored_bytes=status.st_blocks * 512,  # stat(2): always in units of 512, whatever the block size
        created=manifest.created,
        created_by=manifest.created_by,
        architecture=manifest.architecture,
        firmware=manifest.firmware,
        channels=manifest.channels,
        provenance=manifest.provenance,
        report=manifest.report,
    )


def _explain_damage(path: Path, reason: str) -> StoreError:
    """Return the error for a file that cannot be what imagekit wrote."""
    return StoreError(
        f"{path} is damaged: {reason}",
        hint=f"move {path.parent} out of the store, or restore it from a backup; other versions are not touched",
    )
