"""What an ``[images.NAME]`` may hold, by kind: tables of keys and readers, and the nouns that they become."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from imagekit.definition.accounts import read_account, read_new_account, read_ssh_key
from imagekit.definition.files import (
    read_content,
    read_debian_archive,
    read_file_path,
    read_guest_path,
    read_mode,
    read_source,
)
from imagekit.definition.lint import (
    Contradiction,
    find_file_contradictions,
    find_image_contradictions,
    find_user_contradictions,
)
from imagekit.definition.lint_packer import (
    find_base_contradictions,
    find_builder_contradictions,
    find_firmware_contradictions,
)
from imagekit.definition.model import (
    GIB,
    MIB,
    Allowance,
    Base,
    Builder,
    Distribution,
    DriveBus,
    Feature,
    FileEntry,
    ImageDefinition,
    Kind,
    MachineType,
    Promtail,
    Release,
    RootLogin,
    SshPolicy,
    User,
    VerifyPolicy,
    make_sd_image,
)
from imagekit.definition.names import read_channel, read_package, read_timezone, read_url, read_vm_id
from imagekit.definition.packer_table import DISK, ISO, PACKER
from imagekit.definition.problems import Wrong, name_type
from imagekit.definition.site_table import NIX, SITE
from imagekit.definition.table import Table
from imagekit.definition.values import Reader, Scope, read_boolean, read_choice, read_count, read_each, read_size
from imagekit.definition.verification import (
    read_check_id,
    read_day,
    read_finding_path,
    read_forbidden_text,
    read_pattern,
    read_reason,
    read_severities,
)
from imagekit.image import Architecture, Firmware
from imagekit.report import Profile

SMALLEST_DISK = GIB
SMALLEST_ESP = 33 * MIB  # 65525 clusters of 512 bytes and their tables: what Microsoft's FAT specification calls FAT32
LARGEST_DISK = 16 << 40
LARGEST_ESP = 2 * GIB
MOST_CORES = 512
SMALLEST_MEMORY = 512 * MIB  # less, and the installers of Debian and Ubuntu end in the middle
LARGEST_MEMORY = 4 << 40


def _by_name(values: type[Any]) -> dict[str, Any]:
    return {member.value: member for member in values}


_RELEASES = {text: release for release in Release for text in (release.number, release.value)}


def _make_base(distribution: Distribution = Distribution.DEBIAN, release: Release | None = None) -> Base:
    """Return the base, with the distribution's own default where no release is given."""
    return Base(distribution, release or distribution.default_release)


BASE = Table(
    _make_base,
    {"distribution": read_choice(_by_name(Distribution)), "release": read_choice(_RELEASES)},
    find=find_base_contradictions,
)
SSH = Table(SshPolicy, {"root_login": read_choice(_by_name(RootLogin))})
PROMTAIL = Table(Promtail, {"loki_url": read_url, "package": read_debian_archive}, required=("loki_url", "package"))
FILE = Table(
    FileEntry,
    {
        "path": read_file_path,
        "content": read_content,
        "source": read_source,
        "mode": read_mode,
        "owner": read_account,
        "group": read_account,
    },
    required=("path",),
    find=find_file_contradictions,
)
USER = Table(
    User,
    {
        "name": read_new_account,
        "groups": read_each(read_account, unique=str),
        "shell": read_guest_path,
        "ssh_keys": read_each(read_ssh_key),
        "sudo": read_boolean,
    },
    required=("name",),
    find=find_user_contradictions,
)
ALLOWANCE = Table(
    Allowance,
    {"check": read_check_id, "path": read_finding_path, "reason": read_reason, "until": read_day},
    required=("check",),
)


def _read_allowance(value: object, scope: Scope) -> Allowance | None:
    """Return an allowance: a table, or a bare id, which verification answers with the question why."""
    if isinstance(value, str):
        return Allowance(read_check_id(value, scope))
    allowance: Allowance | None = ALLOWANCE.read(value, scope)
    return allowance


_POLICY = {
    "allow_users": read_each(read_account, unique=str),
    "allow": read_each(_read_allowance, unique=lambda each: (each.check, each.path)),
    "severity": read_severities,
    "forbid_paths": read_each(read_pattern, unique=str),
    "forbid_text": read_each(read_forbidden_text, unique=str),
}
VERIFY = Table(VerifyPolicy, {"profile": read_choice(_by_name(Profile)), **_POLICY})
VERIFY_CARD = Table(
    functools.partial(VerifyPolicy, profile=Profile.SD_IMAGE),
    _POLICY,
    refused={"profile": 'an image of kind "sd-image" is always judged as one'},
)


def find_contradictions(image: ImageDefinition) -> Iterator[Contradiction]:
    """Yield everything that an ``[images.NAME]`` says against itself, beyond what its tables say."""
    yield from find_builder_contradictions(image)
    yield from find_firmware_contradictions(image)
    yield from find_image_contradictions(image)


TEMPLATE = Table(
    ImageDefinition,
    {
        "kind": read_choice(_by_name(Kind)),
        "builder": read_choice({builder.value: builder for builder in (Builder.LOCAL, Builder.PACKER)}),
        "packer": PACKER.read,
        "base": BASE.read,
        "architecture": read_choice(_by_name(Architecture)),
        "packages": read_each(read_package, unique=str),
        "features": read_each(read_choice(_by_name(Feature)), unique=str),
        "files": read_each(FILE.read, unique=lambda file: file.path, at="path"),
        "users": read_each(USER.read, unique=lambda user: user.name, at="name"),
        "ssh": SSH.read,
        "promtail": PROMTAIL.read,
        "timezone": read_timezone,
        "size": read_size(SMALLEST_DISK, LARGEST_DISK),
        "esp": read_size(SMALLEST_ESP, LARGEST_ESP, zero="no ESP"),
        "firmware": read_choice({firmware.value: firmware for firmware in (Firmware.OVMF, Firmware.SEABIOS)}),
        "machine": read_choice(_by_name(MachineType)),
        "cloud_init_drive": read_choice(_by_name(DriveBus)),
        "vm_id": read_vm_id,
        "cores": read_count(1, MOST_CORES),
        "memory": read_size(SMALLEST_MEMORY, LARGEST_MEMORY),
        "boot_test": read_boolean,
        "channels": read_each(read_channel, unique=str),
        "verify": VERIFY.read,
    },
    find=find_contradictions,
    refused={
        "nix": 'belongs to an image that a flake makes; set kind = "sd-image"',
        "site": 'belongs to an image that a flake makes; set kind = "sd-image"',
    },
)
_CARD_KEYS: Mapping[str, Reader] = {
    "kind": read_choice(_by_name(Kind)),
    "builder": read_choice({Builder.NIX.value: Builder.NIX}),
    "nix": NIX.read,
    "site": SITE.read,
    "architecture": read_choice(_by_name(Architecture)),
    "timezone": read_timezone,
    "channels": read_each(read_channel, unique=str),
    "verify": VERIFY_CARD.read,
}
CARD = Table(
    make_sd_image,
    _CARD_KEYS,
    refused={
        key: 'belongs to templates; what is on a card is said by its flake, and by the table "site"'
        for key in TEMPLATE.keys
        if key not in _CARD_KEYS
    },
)
TABLES = {
    "": TEMPLATE,
    "base": BASE,
    "ssh": SSH,
    "promtail": PROMTAIL,
    "verify": VERIFY,
    "packer": PACKER,
    "packer.disk": DISK,
    "packer.iso": ISO,
    "files": FILE,
    "users": USER,
}
"""Every table that a template's ``[images.NAME]`` has, by its key there; the empty one is the image's own."""
CARD_TABLES = {"": CARD, "nix": NIX, "site": SITE, "verify": VERIFY_CARD}
"""The same of an SD image."""


def read_image(value: object, scope: Scope, name: str) -> ImageDefinition:
    """Return the image in ``[images.NAME]``, read as its kind wants; raises :class:`Wrong` for what is no table."""
    if not isinstance(value, dict):
        raise Wrong(f"expected a table, found {name_type(value)}")
    table = CARD if value.get("kind") == Kind.SD_IMAGE else TEMPLATE
    image: ImageDefinition = table.read(value, scope, name=name)
    return image


def find_tables(kind: Kind) -> Mapping[str, Table]:
    """Return the tables of an image of this kind."""
    return CARD_TABLES if kind is Kind.SD_IMAGE else TABLES
