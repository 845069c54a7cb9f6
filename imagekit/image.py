"""The nouns that travel between the rooms: what an image is called, what it is, where its bytes are.

Text becomes one of these types once, at the edge, through a ``parse`` method; everything behind the edge holds a value
that is already right. Names and channels use ``[a-z0-9-]`` because Proxmox tags, DNS names and OCI tags must all carry
them.
"""

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from imagekit.errors import DefinitionInvalid

NAME_PATTERN = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_VERSION_PATTERN = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})-([1-9][0-9]{0,5})")
_DIGEST_PATTERN = re.compile(r"sha256:([0-9a-f]{12,64})")
_CLUSTER_PATTERN = re.compile(r"(?:[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\]):[1-9][0-9]{0,4}")
_NODE_PATTERN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_MARK_PATTERN = re.compile(r"[0-9A-Za-z:._=,-]{0,128}")


class Architecture(StrEnum):
    """Processor architectures by Debian's names."""

    AMD64 = "amd64"
    ARM64 = "arm64"


class Firmware(StrEnum):
    """What starts the machine: by Proxmox's names for ``bios``, and U-Boot for a card."""

    OVMF = "ovmf"
    SEABIOS = "seabios"
    U_BOOT = "u-boot"


class DiskFormat(StrEnum):
    """Formats of a machine's disk, by QEMU's and Proxmox's names; always said, never guessed from a guest's bytes."""

    RAW = "raw"
    QCOW2 = "qcow2"


def parse_name(text: str, *, what: str = "image name") -> str:
    """Return ``text`` when it can name an image or channel; raises :class:`DefinitionInvalid` otherwise."""
    if not NAME_PATTERN.fullmatch(text):
        raise DefinitionInvalid(
            f"{what} {text!r} cannot be used",
            hint="use 1 to 63 of a-z, 0-9 and '-', beginning and ending with a letter or digit",
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class VersionId:
    """A version's name: the UTC day it was stored and its serial on that day, written ``20261121-1``."""

    day: date
    serial: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``YYYYMMDD-N``; raises :class:`ValueError` when it is not one."""
        match = _VERSION_PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"not a version: {text!r}")
        year, month, day, serial = (int(part) for part in match.groups())
        return cls(date(year, month, day), serial)

    def __str__(self) -> str:
        return f"{self.day.isoformat().replace('-', '')}-{self.serial}"


@dataclass(frozen=True, slots=True)
class Digest:
    """SHA-256 of a raw disk: ``hex`` has 64 digits, or 12 and more where a person abbreviated it."""

    hex: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``sha256:HEX``; raises :class:`ValueError` when it is not one."""
        match = _DIGEST_PATTERN.fullmatch(text)
        if match is None:
            raise ValueError(f"not a digest: {text!r}")
        return cls(match.group(1))

    def matches(self, full: "Digest") -> bool:
        """Say whether ``full`` is this digest or begins with it."""
        return full.hex.startswith(self.hex)

    @property
    def short(self) -> str:
        """The first twelve digits, as shown in tables."""
        return self.hex[:12]

    def __str__(self) -> str:
        return f"sha256:{self.hex}"


@dataclass(frozen=True, slots=True)
class Reference:
    """A stored version as an operator writes it: ``NAME``, ``NAME@VERSION``, ``NAME@CHANNEL`` or ``NAME@sha256:…``.

    ``selector`` is ``None`` for a bare name: its newest version for reading commands, ``stable`` for delivering ones.
    A selector that is neither a version nor a digest is a channel's name.
    """

    name: str
    selector: VersionId | Digest | str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a reference; raises :class:`DefinitionInvalid` naming the part that cannot be one."""
        name, at, rest = text.partition("@")
        parse_name(name)
        if not at:
            return cls(name)
        for kind in (VersionId, Digest):
            try:
                return cls(name, kind.parse(rest))
            except ValueError:
                continue
        if _VERSION_PATTERN.fullmatch(rest):
            raise DefinitionInvalid(
                f"{text!r} has a date that the calendar does not", hint="versions begin with a UTC day, YYYYMMDD"
            )
        if rest.startswith("sha256:"):
            raise DefinitionInvalid(
                f"{text!r} has no usable digest", hint="write sha256: and 12 to 64 lower-case hexadecimal digits"
            )
        return cls(name, parse_name(rest, what="channel"))

    def __str__(self) -> str:
        return self.name if self.selector is None else f"{self.name}@{self.selector}"


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package as the image's own package database names it."""

    name: str
    version: str
    architecture: str


@dataclass(frozen=True, slots=True)
class ClosurePath:
    """One store path of a Nix closure; ``size_bytes`` is that of its serialisation, Nix's ``narSize``."""

    path: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DiskImage:
    """A raw disk in a file: what a builder hands on. ``size_bytes`` is the disk's size, not the file's space."""

    path: Path
    size_bytes: int
    digest: Digest
    architecture: Architecture
    firmware: Firmware


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """A template on a Proxmox cluster: HOST:PORT of the API that has it, the node it was made on, its VM id.

    ``mark`` is what the template has of its own, best the UUID in its ``smbios1``, which Proxmox VE gives each VM when
    it is made: an id of the build range is used again, and the mark tells the two templates apart. It may be empty.
    Raises :class:`ValueError` for what cannot be one, so that no URL with a password in it becomes part of a manifest.
    """

    cluster: str
    node: str
    vm_id: int
    mark: str = ""

    def __post_init__(self) -> None:
        if not _CLUSTER_PATTERN.fullmatch(self.cluster):
            raise ValueError("a cluster is written HOST:PORT, in lower case")  # without what was written: see above
        if not _NODE_PATTERN.fullmatch(self.node):
            raise ValueError(f"not the name of a node: {self.node!r}")
        if not 100 <= self.vm_id <= 999_999_999:  # pve-guest-common, the type of a "vmid"
            raise ValueError(f"not a VM id: {self.vm_id}")
        if not _MARK_PATTERN.fullmatch(self.mark):
            raise ValueError(f"not a mark of a template: {self.mark!r}")

    @classmethod
    def parse(cls, url: str, node: str, vm_id: int, mark: str = "") -> Self:
        """Return the place behind an API's ``https://HOST:PORT``; path and login are dropped, 8006 is the usual port.

        Raises :class:`ValueError` when ``url`` names no host.
        """
        parts = urlsplit(url)
        host = parts.hostname or ""  # in lower case, and without the brackets of an IPv6 address
        return cls(f"{f'[{host}]' if ':' in host else host}:{parts.port or 8006}", node, vm_id, mark)

    def __str__(self) -> str:
        return f"VM {self.vm_id} on {self.node}"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a disk came from: enough to say later what went in and whether it could be made again.

    ``tools`` maps a program to its version; ``inputs`` maps what was read (sources, definition) to its digest or text.
    ``reproducible`` is ``False`` with the reason in ``reproducible_note`` when this machine's tools cannot do it.
    ``closure`` has the store paths on a disk that Nix made.
    """

    builder: str
    definition: dict[str, object]
    packages: tuple[Package, ...]
    tools: dict[str, str]
    inputs: dict[str, str]
    git_commit: str | None
    git_dirty: bool
    reproducible: bool
    reproducible_note: str
    closure: tuple[ClosurePath, ...] = ()


@dataclass(frozen=True, slots=True)
class BuiltImage:
    """What a builder returns: the disk and its history."""

    disk: DiskImage
    provenance: Provenance


@dataclass(frozen=True, slots=True)
class BuiltTemplate:
    """What a builder returns that works on the cluster: where its template is; ``size_bytes`` is its disk's size."""

    place: ClusterPlace
    architecture: Architecture
    firmware: Firmware
    size_bytes: int
    provenance: Provenance


def format_bytes(count: int) -> str:
    """Return a size in bytes as people read it, in binary units: ``1.4 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
