"""What an operator can say about an image, as frozen values with the defaults of ``imagekit build template``."""

from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path

from imagekit.image import Architecture, Firmware
from imagekit.report import Profile, Severity

MIB = 1 << 20
GIB = 1 << 30


class Kind(StrEnum):
    """What the image is for; it chooses the builder, the checks and the ways it may be delivered."""

    TEMPLATE = "template"


class Release(StrEnum):
    """Debian releases that the local builder knows, by code name."""

    BOOKWORM = "bookworm"
    TRIXIE = "trixie"

    @property
    def number(self) -> str:
        """Debian's version number, as os-release's ``VERSION_ID`` has it."""
        return {Release.BOOKWORM: "12", Release.TRIXIE: "13"}[self]

    @property
    def epoch(self) -> int:
        """Seconds since 1970 of the release day (10 June 2023, 9 August 2025): the clock of a reproducible build."""
        return {Release.BOOKWORM: 1686355200, Release.TRIXIE: 1754697600}[self]


class MachineType(StrEnum):
    """The emulated board, by Proxmox's names for ``machine``."""

    Q35 = "q35"
    I440FX = "i440fx"


class DriveBus(StrEnum):
    """Where Proxmox attaches the cloud-init drive."""

    SCSI = "scsi"
    SATA = "sata"
    IDE = "ide"


class Feature(StrEnum):
    """Optional parts of a template, by name."""

    DOCKER = "docker"
    NODE_EXPORTER = "node-exporter"
    PROMTAIL = "promtail"
    HARDENING = "hardening"


class RootLogin(StrEnum):
    """sshd's ``PermitRootLogin`` as far as a template may have it: never with a password."""

    NO = "no"
    KEYS = "prohibit-password"


@dataclass(frozen=True, slots=True)
class Base:
    """What the image is made of."""

    distribution: str = "debian"
    release: Release = Release.BOOKWORM


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file to put into the image: its text, or the file beside ``imagekit.toml`` whose bytes it gets."""

    path: str
    content: str | None = None
    source: Path | None = None
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"


@dataclass(frozen=True, slots=True)
class User:
    """An account that every clone has, with keys and without a password; most templates want none."""

    name: str
    groups: tuple[str, ...] = ()
    shell: str = "/bin/bash"
    ssh_keys: tuple[str, ...] = ()
    sudo: bool = False


@dataclass(frozen=True, slots=True)
class SshPolicy:
    """How clones may be entered: by key only; root not at all, or by key."""

    root_login: RootLogin = RootLogin.NO


@dataclass(frozen=True, slots=True)
class Promtail:
    """Settings of feature ``promtail``: where logs go, and the .deb to install, since Debian has no such package."""

    loki_url: str
    package: Path


@dataclass(frozen=True, slots=True)
class Allowance:
    """A finding of ``check`` that is meant to be there: where, why, and the last day on which it may be."""

    check: str
    path: str = ""
    reason: str = ""
    until: date | None = None


@dataclass(frozen=True, slots=True)
class SeverityOverride:
    """How bad this image's operator holds every finding of ``check`` to be."""

    check: str
    severity: Severity


@dataclass(frozen=True, slots=True)
class VerifyPolicy:
    """What verification lets pass in this image, and what it forbids beyond its own checks.

    In ``forbid_paths`` ``*`` and ``?`` stand for parts of a path; ``forbid_text`` is searched for where secrets are.
    """

    profile: Profile = Profile.TEMPLATE
    allow_users: tuple[str, ...] = ()
    allow: tuple[Allowance, ...] = ()
    severity: tuple[SeverityOverride, ...] = ()
    forbid_paths: tuple[str, ...] = ()
    forbid_text: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageDefinition:
    """One ``[images.NAME]``, complete: every value is either the operator's or the default written here.

    Sizes are in bytes; ``vm_id`` is the template's id on the cluster (100 to 999999999).
    """

    name: str
    kind: Kind = Kind.TEMPLATE
    base: Base = field(default_factory=Base)
    architecture: Architecture = Architecture.AMD64
    packages: tuple[str, ...] = ()
    features: tuple[Feature, ...] = ()
    files: tuple[FileEntry, ...] = ()
    users: tuple[User, ...] = ()
    ssh: SshPolicy = field(default_factory=SshPolicy)
    promtail: Promtail | None = None
    timezone: str = "Etc/UTC"
    size: int = 2 * GIB
    esp: int = 64 * MIB
    firmware: Firmware = Firmware.OVMF
    machine: MachineType = MachineType.Q35
    cloud_init_drive: DriveBus = DriveBus.SCSI
    vm_id: int = 9000
    boot_test: bool = True
    channels: tuple[str, ...] = ("candidate", "stable")
    verify: VerifyPolicy = field(default_factory=VerifyPolicy)
