"""What an operator can say about an image, as frozen values with the defaults of ``imagekit build template``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from pathlib import Path
from types import MappingProxyType
from typing import Any

from imagekit.image import Architecture, Firmware
from imagekit.report import Profile, Severity

MIB = 1 << 20
GIB = 1 << 30


class Kind(StrEnum):
    """What the image is for; it chooses the builder, the checks and the ways it may be delivered."""

    TEMPLATE = "template"
    SD_IMAGE = "sd-image"


class Builder(StrEnum):
    """What turns the definition into a disk: this machine's own packages, Packer, or a flake of Nix."""

    LOCAL = "local"
    PACKER = "packer"
    NIX = "nix"


class PackerSource(StrEnum):
    """Packer's sources that imagekit has templates for, by their plugin's names."""

    QEMU = "qemu"
    PROXMOX_ISO = "proxmox-iso"
    PROXMOX_CLONE = "proxmox-clone"

    @property
    def on_cluster(self) -> bool:
        """Say whether the build and its result are on a Proxmox cluster."""
        return self is not PackerSource.QEMU


class Distribution(StrEnum):
    """Distributions that an image can be made of; the local builder makes Debian only."""

    DEBIAN = "debian"
    UBUNTU = "ubuntu"
    ALPINE = "alpine"

    @property
    def default_release(self) -> "Release":
        """The release that an image gets whose definition names only the distribution."""
        match self:
            case Distribution.UBUNTU:
                return Release.NOBLE
            case Distribution.ALPINE:
                return Release.ALPINE_3_22
            case _:
                return Release.BOOKWORM


class Release(StrEnum):
    """Releases by code name, Alpine's by number since it has no other name."""

    BOOKWORM = "bookworm"
    TRIXIE = "trixie"
    NOBLE = "noble"
    ALPINE_3_22 = "3.22"

    @property
    def number(self) -> str:
        """The distribution's version number, as os-release's ``VERSION_ID`` begins."""
        numbers = {Release.BOOKWORM: "12", Release.TRIXIE: "13", Release.NOBLE: "24.04"}
        return numbers.get(self, self.value)

    @property
    def distribution(self) -> Distribution:
        """Whose release it is."""
        match self:
            case Release.NOBLE:
                return Distribution.UBUNTU
            case Release.ALPINE_3_22:
                return Distribution.ALPINE
            case _:
                return Distribution.DEBIAN

    @property
    def epoch(self) -> int:
        """Seconds since 1970 of a Debian release's day (10 June 2023, 9 August 2025): a reproducible build's clock."""
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

    distribution: Distribution = Distribution.DEBIAN
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
class Medium:
    """A disk or an installation medium that somebody else made: one of ``path``, ``url`` and ``volume``.

    ``volume`` is a storage's volume on the cluster (``local:iso/debian.iso``). ``sha256`` is 64 hexadecimal digits;
    only a volume may go without, because Proxmox's API tells no digest of one.
    """

    sha256: str = ""
    path: Path | None = None
    url: str | None = None
    volume: str | None = None


@dataclass(frozen=True, slots=True)
class PackerBuild:
    """``[images.NAME.packer]``: where Packer starts from and what it runs, or a template directory of the user's own.

    ``source`` ``None`` is chosen by what the rest and the cluster's settings say. ``clone`` is the VM id or the name of
    a template. ``only`` and ``variables`` (the key ``vars``) belong to ``template``; a variable's value is what JSON
    can say, in mappings and tuples that cannot be changed: :meth:`copy_variables` gives what :mod:`json` writes.
    """

    source: PackerSource | None = None
    disk: Medium | None = None
    iso: Medium | None = None
    clone: int | str | None = None
    playbook: Path | None = None
    scripts: tuple[Path, ...] = ()
    template: Path | None = None
    only: str = ""
    variables: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}), hash=False)

    def copy_variables(self) -> dict[str, object]:
        """Return the variables as plain dictionaries, lists and values, which may be changed."""
        return {name: _thaw(value) for name, value in self.variables.items()}


@dataclass(frozen=True, slots=True)
class NixBuild:
    """``[images.NAME.nix]``: which outputs of which flake are the image and the system on it.

    ``flake`` is a directory with a ``flake.nix``, ``None`` for imagekit's own; ``attribute`` is a package of the
    image's system, ``configuration`` one of ``nixosConfigurations``.
    """

    flake: Path | None = None
    attribute: str = "pihole-image"
    configuration: str = "pihole"


@dataclass(frozen=True, slots=True)
class Site:
    """``[images.NAME.site]``: what is true of one house only, which the flake reads as ``nix/site.json``.

    ``dns`` are resolvers that the machine asks before its own one answers. ``interface`` is the name of the port that
    has ``address``, empty for any wired one. ``admin`` is the one account that people enter, with ``ssh_keys``.
    """

    host_name: str = "pihole"
    address: IPv4Interface = field(default_factory=lambda: IPv4Interface("192.168.0.53/24"))
    gateway: IPv4Address = field(default_factory=lambda: IPv4Address("192.168.0.1"))
    dns: tuple[IPv4Address | IPv6Address, ...] = field(
        default_factory=lambda: (IPv4Address("9.9.9.9"), IPv4Address("1.1.1.1"))
    )
    ssh_keys: tuple[str, ...] = ()
    interface: str = ""
    admin: str = "admin"


def _thaw(value: object) -> object:
    match value:
        case Mapping():
            return {key: _thaw(inner) for key, inner in value.items()}
        case tuple() | list():
            return [_thaw(inner) for inner in value]
        case _:
            return value


@dataclass(frozen=True, slots=True)
class ImageDefinition:
    """One ``[images.NAME]``, complete: every value is either the operator's or the default of its kind.

    The defaults written here are those of a template; :func:`make_sd_image` has those of an SD image, to which only
    ``builder``, ``nix``, ``site``, ``architecture``, ``timezone``, ``verify`` and ``channels`` mean something.

    Sizes are in bytes; ``vm_id`` is the template's id on the cluster (100 to 999999999); ``cores`` and ``memory`` are
    what the template has there.
    """

    name: str
    kind: Kind = Kind.TEMPLATE
    builder: Builder = Builder.LOCAL
    packer: PackerBuild = field(default_factory=PackerBuild)
    nix: NixBuild = field(default_factory=NixBuild)
    site: Site | None = None
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
    cores: int = 2
    memory: int = 2 * GIB
    boot_test: bool = True
    channels: tuple[str, ...] = ("candidate", "stable")
    verify: VerifyPolicy = field(default_factory=VerifyPolicy)


def make_sd_image(name: str, **given: Any) -> ImageDefinition:  # noqa: ANN401 - each key has its field's type
    """Return an SD image with what was ``given``, and else the defaults of its kind.

    Only imagekit's own flake is known to read site values, so only with that one they have defaults.
    """
    nix = given.get("nix", NixBuild())
    defaults: dict[str, Any] = {
        "kind": Kind.SD_IMAGE,
        "builder": Builder.NIX,
        "site": Site() if nix.flake is None else None,
        "architecture": Architecture.ARM64,
        "firmware": Firmware.U_BOOT,
        "timezone": "Europe/Berlin",
        "boot_test": False,
        "verify": VerifyPolicy(profile=Profile.SD_IMAGE),
    }
    return ImageDefinition(name, **{**defaults, **given})
