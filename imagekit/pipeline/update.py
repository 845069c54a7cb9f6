"""Newer versions of everything a project has locked: looked up source by source, then written file by file.

A source that cannot be looked up stays as it is and is a problem of its own; the others are renewed all the same.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.errors import ImagekitError
from imagekit.host.here import ThisMachine
from imagekit.host.host import Host
from imagekit.progress import Event, Progress, silent

if TYPE_CHECKING:
    from imagekit.build.nix.tool import Nix
    from imagekit.build.update.change import Renewal
    from imagekit.definition import ImageDefinition, Medium, Project

_PROJECT_BYTES = 1 << 20  # what a definition may have


@dataclass(slots=True)
class Update:
    """What was found: ``renewals`` to write, ``problems`` of sources that stay as they are, ``notes`` for a person.

    ``sources`` counts what was looked at, whether or not it differs.
    """

    renewals: list["Renewal"] = field(default_factory=list)
    problems: list[ImagekitError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    sources: int = 0

    @contextlib.contextmanager
    def source(self) -> Iterator[None]:
        """Look at one source in the block; when it cannot be, that is a problem, and the next one's turn."""
        self.sources += 1
        try:
            yield
        except ImagekitError as problem:
            if problem.message not in [each.message for each in self.problems]:  # two containers, one dead registry
                self.problems.append(problem)


def find_updates(
    names: tuple[str, ...], project: "Project", progress: Progress = silent, host: Host | None = None
) -> Update:
    """Look for newer sources of these images, of all when none is named; nothing is changed.

    Nix and its tools run on ``host``, this machine by default. Raises :class:`imagekit.errors.DefinitionInvalid` for an
    image that is not defined.
    """
    from imagekit.definition import Builder

    images = [project.find_image(name) for name in names or tuple(project.images)]
    host = host or ThisMachine()
    found = Update()
    seen: set[Path | None] = set()
    for image in (each for each in images if each.builder is Builder.NIX):
        if image.nix.flake not in seen:  # images of one flake share its locks
            seen.add(image.nix.flake)
            _find_flake_updates(image, project.path, host, found, progress)
    _find_media_updates([each for each in images if each.builder is Builder.PACKER], project.path, found, progress)
    return found


def write_updates(found: Update, progress: Progress = silent) -> tuple["Renewal", ...]:
    """Write each file and return those that are written; one that cannot be is a problem more of ``found``."""
    from imagekit.build.update.writing import write_renewal

    written = []
    for renewal in found.renewals:
        progress(Event("writing", detail=str(renewal.path)))
        try:
            write_renewal(renewal)
        except ImagekitError as problem:
            found.problems.append(problem)
        else:
            written.append(renewal)
    return tuple(written)


def _find_flake_updates(
    image: "ImageDefinition", project: Path | None, host: Host, found: Update, progress: Progress
) -> None:
    """Look for newer inputs of an image's flake, and for newer containers in it."""
    from imagekit.build.nix.stage import find_flake
    from imagekit.build.update.flake_lock import find_lock_directory, renew_flake_lock

    try:
        find_flake(image)
        find_lock_directory(image, project)
    except ImagekitError as problem:  # neither lock could be kept; said once
        found.problems.append(problem)
        return
    with found.source():
        progress(Event("looking for newer inputs", detail=f"of the flake of {image.name}"))
        if renewal := renew_flake_lock(image, project, host, _find_nix(host)):
            found.renewals.append(renewal)
    with found.source():
        _find_container_updates(image, project, host, found, progress)


def _find_nix(host: Host) -> "Nix":
    from imagekit.build.nix.environment import read_nix_environment
    from imagekit.build.nix.tool import find_nix

    return find_nix(host, read_nix_environment() if isinstance(host, ThisMachine) else {})


def _find_container_updates(
    image: "ImageDefinition", project: Path | None, host: Host, found: Update, progress: Progress
) -> None:
    from imagekit.build.nix.stage import find_flake
    from imagekit.build.update import containers
    from imagekit.build.update.change import Renewal
    from imagekit.build.update.flake_lock import find_lock_directory
    from imagekit.build.update.writing import read_present

    bundled = find_flake(image) / containers.PLACE
    own = image.nix.flake is None
    path = find_lock_directory(image, project) / bundled.name if own else bundled
    present = read_present(path, containers.LARGEST)
    data = read_present(bundled, containers.LARGEST) if own and present is None else present
    if data is None:
        found.sources -= 1
        return  # a flake without containers
    before = containers.parse_containers(data, str(path))
    after: dict[str, containers.Container] = {}
    if own and present is not None:  # a newer imagekit may have a container that the project's lock knows nothing of
        known = containers.parse_containers(read_present(bundled, containers.LARGEST) or b"{}", str(bundled))
        after = {key: each for key, each in known.items() if key not in before}
    for key, each in (before | after).items():
        with found.source():
            progress(Event("asking for newer containers", detail=each.name))
            renewed = containers.renew_container(each, host)
            if renewed != each:
                after[key] = renewed
    changes = tuple(containers.describe_change(key, before.get(key), each) for key, each in after.items())
    found.sources -= 1  # the file itself is no source
    if changes:
        found.renewals.append(Renewal(path, present, containers.encode_containers(data, after), changes))


def _find_media_updates(
    images: list["ImageDefinition"], project: Path | None, found: Update, progress: Progress
) -> None:
    """Look for new checksums of the media that have an address."""
    from imagekit.build.update.change import Renewal, SourceChange

    checksums, changes = {}, []
    for image, kind, medium in _list_media(images):
        with found.source():
            from imagekit.build.update.media import find_medium_digest

            stage = f"looking up the checksum of {image}'s {kind}"
            progress(Event(stage))
            digest = find_medium_digest(medium, _count_bytes(progress, stage))
            if digest is None:
                found.notes.append(f"nobody tells a checksum of {medium.url}: it stays as it is")
            elif digest != medium.sha256:
                checksums[image, kind] = digest
                changes.append(SourceChange(f"{kind} of {image}", medium.sha256[:19], digest[:19]))
    if not checksums or project is None:
        return
    with found.source():
        found.sources -= 1
        from imagekit.build.update.project_file import set_checksums
        from imagekit.build.update.writing import read_present

        present = read_present(project, _PROJECT_BYTES) or b""
        found.renewals.append(Renewal(project, present, set_checksums(present, checksums), tuple(changes)))


def _list_media(images: list["ImageDefinition"]) -> Iterator[tuple[str, str, "Medium"]]:
    for image in images:
        for kind, medium in (("disk", image.packer.disk), ("iso", image.packer.iso)):
            if medium is not None and medium.url is not None:
                yield image.name, kind, medium


def _count_bytes(progress: Progress, stage: str) -> Callable[[int], None]:
    return lambda count: progress(Event(stage, count, 0, "B"))
