"""Contradictions: values that are right one by one and cannot be meant together."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from imagekit.definition.model import DriveBus, Feature, FileEntry, ImageDefinition, Kind, MachineType, User
from imagekit.definition.size import format_size
from imagekit.definition.toml_lines import format_key


@dataclass(frozen=True, slots=True)
class Contradiction:
    """``at`` is the key to tell it at, with dots where it is in a table further in, empty for the table as a whole.

    It is certain only if what the keys in ``unless_broken`` say could be read.
    """

    at: str
    sentence: str
    unless_broken: tuple[str, ...]


def find_image_contradictions(image: ImageDefinition) -> Iterator[Contradiction]:
    """Yield what an ``[images.NAME]`` says against itself, whatever builds it."""
    if 2 * image.esp > image.size:
        why = f"{format_size(image.esp)} is more than half of the disk's {format_size(image.size)}"
        yield Contradiction("esp", why, ("esp", "size"))
    if image.cloud_init_drive is DriveBus.IDE and image.machine is MachineType.Q35:
        why = 'a guest on machine q35 never sees an ide cloud-init drive; use "scsi" or "sata"'
        yield Contradiction("cloud_init_drive", why, ("cloud_init_drive", "machine"))
    if Feature.PROMTAIL in image.features and image.promtail is None:
        table = format_key(("images", image.name, "promtail"))
        why = f"promtail needs a table [{table}] with loki_url and package"
        yield Contradiction("features", why, ("promtail",))
    if Feature.PROMTAIL not in image.features and image.promtail is not None:
        why = 'has no effect; add "promtail" to features or remove this table'
        yield Contradiction("promtail", why, ("features",))


def find_file_contradictions(file: FileEntry) -> Iterator[Contradiction]:
    """Yield what a ``[[images.NAME.files]]`` says against itself."""
    if file.content is None and file.source is None:
        yield Contradiction("", "needs content or source: nothing says what is in the file", ("content", "source"))
    if file.content is not None and file.source is not None:
        yield Contradiction("source", "content is given as well; keep one of the two", ())


def find_user_contradictions(user: User) -> Iterator[Contradiction]:
    """Yield what a ``[[images.NAME.users]]`` says against itself."""
    if not user.ssh_keys:
        why = "needs ssh_keys: templates carry no passwords, so nobody could log in without a key"
        yield Contradiction("", why, ("ssh_keys",))


def find_shared_ids(images: Mapping[str, ImageDefinition]) -> Iterator[tuple[str, str]]:
    """Yield the name of each image whose ``vm_id`` an earlier one has, and why that is wrong."""
    owners: dict[int, str] = {}
    for name, image in images.items():
        if image.kind is not Kind.TEMPLATE:
            continue
        owner = owners.setdefault(image.vm_id, name)
        if owner != name:
            other = format_key(("images", owner))
            yield name, f"{image.vm_id} is the vm_id of {other} as well; publishing one would replace the other"
