"""From the tables of ``imagekit.toml`` to the nouns, by tables of keys and readers; every mistake is taken down."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
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
    find_shared_ids,
    find_user_contradictions,
)
from imagekit.definition.model import (
    GIB,
    MIB,
    Allowance,
    Base,
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
)
from imagekit.definition.names import read_channel, read_package, read_timezone, read_url, read_vm_id
from imagekit.definition.problems import Problems, Wrong, name_type, quote
from imagekit.definition.toml_file import TomlFile
from imagekit.definition.values import Reader, Scope, read_boolean, read_choice, read_each, read_size
from imagekit.definition.verification import (
    read_check_id,
    read_day,
    read_finding_path,
    read_forbidden_text,
    read_pattern,
    read_reason,
    read_severities,
)
from imagekit.image import NAME_PATTERN, Architecture, Firmware
from imagekit.report import Profile

SMALLEST_DISK = GIB
SMALLEST_ESP = 33 * MIB  # 65525 clusters of 512 bytes and their tables: what Microsoft's FAT specification calls FAT32
LARGEST_DISK = 16 << 40
LARGEST_ESP = 2 * GIB


def _nothing(_made: Any) -> Iterator[Contradiction]:  # noqa: ANN401 - stands where each noun has its own function
    yield from ()


@dataclass(frozen=True, slots=True)
class Table:
    """What a TOML table may hold and the noun that it becomes; ``find`` yields that noun's contradictions."""

    make: Callable[..., Any]
    keys: Mapping[str, Reader]
    required: tuple[str, ...] = ()
    find: Callable[[Any], Iterator[Contradiction]] = _nothing

    def read(self, value: object, scope: Scope, **fixed: object) -> Any:  # noqa: ANN401 - the noun of this table
        """Return the noun, or ``None`` when a required key has no usable value; raises :class:`Wrong`."""
        if not isinstance(value, dict):
            raise Wrong(f"expected a table, found {name_type(value)}")
        got: dict[str, Any] = {}
        for key, element in value.items():
            place = scope.enter(key)
            if key not in self.keys:
                scope.problems.add_unknown_key(place.path, self.keys)
                continue
            try:
                got[key] = self.keys[key](element, place)
            except Wrong as problem:
                scope.problems.add(place.path, str(problem))
        for key in self.required:
            if key not in value:
                scope.problems.add(scope.path, f"{key} is missing")
        missing = {key: "" for key in self.required if key not in got}  # empty, to look for contradictions all the same
        made = self.make(**fixed, **got, **missing)
        for found in self.find(made):
            self._note(found, scope)
        return None if missing else made

    def _note(self, found: Contradiction, scope: Scope) -> None:
        """Take a contradiction down, unless it could come from the default of a value that was given but is wrong."""
        if not any(scope.problems.touches(scope.enter(key).path) for key in found.unless_broken):
            scope.problems.add(scope.enter(found.at).path if found.at else scope.path, found.sentence)


def _by_name(values: type[Any]) -> dict[str, Any]:
    return {member.value: member for member in values}


_RELEASES = {text: release for release in Release for text in (release.number, release.value)}

BASE = Table(
    Base,
    {"distribution": read_choice({"debian": "debian"}), "release": read_choice(_RELEASES)},
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


VERIFY = Table(
    VerifyPolicy,
    {
        "profile": read_choice(_by_name(Profile)),
        "allow_users": read_each(read_account, unique=str),
        "allow": read_each(_read_allowance, unique=lambda each: (each.check, each.path)),
        "severity": read_severities,
        "forbid_paths": read_each(read_pattern, unique=str),
        "forbid_text": read_each(read_forbidden_text, unique=str),
    },
)
IMAGE = Table(
    ImageDefinition,
    {
        "kind": read_choice(_by_name(Kind)),
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
        "firmware": read_choice(_by_name(Firmware)),
        "machine": read_choice(_by_name(MachineType)),
        "cloud_init_drive": read_choice(_by_name(DriveBus)),
        "vm_id": read_vm_id,
        "boot_test": read_boolean,
        "channels": read_each(read_channel, unique=str),
        "verify": VERIFY.read,
    },
    find=find_image_contradictions,
)
TABLES = {"": IMAGE, "base": BASE, "ssh": SSH, "promtail": PROMTAIL, "verify": VERIFY, "files": FILE, "users": USER}
"""Every table that an ``[images.NAME]`` has, by its key there; the empty one is the image's own."""


def parse_images(file: TomlFile, path: Path) -> dict[str, ImageDefinition]:
    """Return the images that ``file`` defines, by name; ``path`` is where it was read from, for relative paths.

    Raises :class:`DefinitionInvalid` with every mistake.
    """
    problems = Problems(file)
    root = Scope((), path.parent, problems)
    for key in file.values:
        if key != "images":
            problems.add_unknown_key((key,), ["images"])
    found = file.values.get("images", {})
    images: dict[str, ImageDefinition] = {}
    if isinstance(found, dict):
        for name, value in found.items():
            scope = root.enter("images").enter(name)
            if not NAME_PATTERN.fullmatch(name):
                sentence = f"{quote(name)} cannot name an image; use 1 to 63 of a-z, 0-9 and '-', not at either end"
                problems.add(scope.path, sentence)
            try:
                images[name] = IMAGE.read(value, scope, name=name)
            except Wrong as problem:
                problems.add(scope.path, str(problem))
    else:
        problems.add(("images",), f"expected a table, found {name_type(found)}")
    for name, sentence in find_shared_ids(images):
        if not problems.touches(("images", name, "vm_id")):
            problems.add(("images", name, "vm_id"), sentence)
    problems.raise_any(path)
    return images
