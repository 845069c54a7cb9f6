"""What a Packer build brings into the machine: one archive, read there by ``packer/provision/apply.sh``."""

import io
import tarfile
from pathlib import Path

from imagekit.build.contents import list_additions, list_units, pack_files
from imagekit.build.packages import choose_clone_packages, choose_feature_packages
from imagekit.build.packer.choose import Start
from imagekit.definition.model import Distribution, ImageDefinition
from imagekit.errors import DefinitionInvalid


def write_payload(path: Path, definition: ImageDefinition, start: Start) -> None:
    """Write the archive for ``definition`` to ``path``, readable by its owner alone.

    Raises :class:`DefinitionInvalid` when a file that the definition names cannot be read.
    """
    networkd = has_networkd(definition, start)
    documents = {
        "packages": list_packages(definition, start),
        "users": tuple(f"{user.name}:{user.shell}:{','.join(user.groups)}" for user in definition.users),
        "units": list_units(definition, networkd=networkd),
    }
    path.touch(mode=0o600)
    with tarfile.open(path, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, lines in documents.items():
            _add(archive, name, "".join(f"{line}\n" for line in lines).encode())
        if definition.promtail is not None:
            _add(archive, "debs/promtail.deb", _read_package(definition.promtail.package))
        # The time is the image's own, made where it is unpacked; a fixed one would be older than what it configures.
        _add(archive, "additions.tar", pack_files(list_additions(definition, networkd=networkd), epoch=0))


def list_packages(definition: ImageDefinition, start: Start) -> tuple[str, ...]:
    """Return the packages to install: the definition's, and what a template needs where the start may lack it."""
    release = definition.base.release
    ours = start in (Start.LOCAL_DISK, Start.INSTALLER)
    needed = () if ours else choose_clone_packages(definition.base.distribution)
    return tuple(dict.fromkeys((*needed, *choose_feature_packages(definition.features, release), *definition.packages)))


def has_networkd(definition: ImageDefinition, start: Start) -> bool:
    """Say whether the start's network is systemd-networkd by our own doing; elsewhere it stays as it was found."""
    return definition.base.distribution is Distribution.DEBIAN and start in (Start.LOCAL_DISK, Start.INSTALLER)


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(data), 0o600
    archive.addfile(member, io.BytesIO(data))


def _read_package(package: Path) -> bytes:
    try:
        return package.read_bytes()
    except OSError as problem:
        raise DefinitionInvalid(
            f"{package} cannot be read: {problem.strerror}", hint="look at promtail.package in imagekit.toml"
        ) from problem
