"""From the tables of ``imagekit.toml`` to the nouns, by tables of keys and readers; every mistake is taken down."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from imagekit.definition.accounts import read_account, read_new_account, read_ssh_key
from imagekit.definition.cluster_table import CLUSTER, ClusterTable, explain_taken, parse_cluster
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
from imagekit.definition.lint_packer import (
    find_base_contradictions,
    find_builder_contradictions,
    find_firmware_contradictions,
    find_packer_contradictions,
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
    PackerSource,
    Promtail,
    Release,
    RootLogin,
    SshPolicy,
    User,
    VerifyPolicy,
)
from imagekit.definition.names import read_channel, read_package, read_timezone, read_url, read_vm_id
from imagekit.definition.packer_table import DISK, ISO, PACKER
from imagekit.definition.problems import Problems, Wrong, name_type, quote
from imagekit.definition.table import Table
from imagekit.definition.toml_file import TomlFile
from imagekit.definition.toml_lines import format_key
from imagekit.definition.values import Scope, read_boolean, read_choice, read_count, read_each, read_size
from imagekit.definition.verification import (
    read_check_id,
    read_day,
    read_finding_path,
    read_forbidden_text,
    read_pattern,
    read_reason,
    read_severities,
)
from imagekit.errors import DefinitionInvalid
from imagekit.image import NAME_PATTERN, Architecture, Firmware
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


def find_contradictions(image: ImageDefinition) -> Iterator[Contradiction]:
    """Yield everything that an ``[images.NAME]`` says against itself, beyond what its tables say."""
    yield from find_builder_contradictions(image)
    yield from find_firmware_contradictions(image)
    yield from find_image_contradictions(image)


IMAGE = Table(
    ImageDefinition,
    {
        "kind": read_choice(_by_name(Kind)),
        "builder": read_choice(_by_name(Builder)),
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
        "firmware": read_choice(_by_name(Firmware)),
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
)
TABLES = {
    "": IMAGE,
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
"""Every table that an ``[images.NAME]`` has, by its key there; the empty one is the image's own."""


def parse_project(file: TomlFile, path: Path) -> tuple[dict[str, ImageDefinition], ClusterTable | None]:
    """Return the images that ``file`` defines, by name, and its cluster; ``path`` is its own, for relative paths.

    Raises :class:`DefinitionInvalid` with every mistake.
    """
    problems = Problems(file)
    root = Scope((), path.parent, problems)
    for key in file.values:
        if key not in ("images", "cluster"):
            problems.add_unknown_key((key,), ["images", "cluster"])
    images = _parse_images(file, root)
    cluster = None
    if "cluster" in file.values:
        cluster = parse_cluster(CLUSTER, file.values["cluster"], file, path.parent, problems)
    if cluster is not None and cluster.build_ids is not None and not problems.touches(("cluster", "build_ids")):
        for image in images.values():
            if image.vm_id in cluster.build_ids:
                problems.add(("cluster", "build_ids"), explain_taken(cluster.build_ids, image.vm_id))
                break
    problems.raise_any(path)
    return images, cluster


def _parse_images(file: TomlFile, root: Scope) -> dict[str, ImageDefinition]:
    """Return the images; what is wrong with them is taken down."""
    problems = root.problems
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
    return images


def change_builder(image: ImageDefinition, builder: Builder, source: PackerSource | None = None) -> ImageDefinition:
    """Return ``image`` as ``builder`` is to build it, with Packer's ``source`` where one was chosen.

    For a choice that was not made in the file: the same contradictions are looked for, and raise
    :class:`DefinitionInvalid` with all of them.
    """
    packer = image.packer if source is None or image.packer.template else replace(image.packer, source=source)
    changed = replace(image, builder=builder, packer=packer)
    found = [(f"packer.{one.at}".rstrip("."), one.sentence) for one in find_packer_contradictions(packer)]
    found += [(one.at, one.sentence) for one in find_contradictions(changed)]
    if found:
        how = f"with builder {builder}" + (f" and source {source}" if source else "")
        problems = [f"{format_key(('images', image.name))}.{at}: {sentence}" for at, sentence in found]
        raise DefinitionInvalid(f"image {image.name} cannot be built {how}", problems=problems)
    return changed
