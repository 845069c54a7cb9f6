"""What imagekit adds to the packages: every file as a value, so that it can be read, tested and packed without root.

Ownership is by name, because the accounts exist only inside the image; :func:`pack_files` writes the archive that a
build step unpacks there.
"""

import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.layout import DiskLayout
from imagekit.build.render import render_template
from imagekit.definition.model import Distribution, Feature, ImageDefinition, Release, User
from imagekit.errors import DefinitionInvalid
from imagekit.image import Architecture

# The board's first serial port comes last: it is /dev/console, where a machine without a screen speaks.
CONSOLES = {
    Architecture.AMD64: "console=tty0 console=ttyS0,115200",
    Architecture.ARM64: "console=tty0 console=ttyAMA0,115200",
}
QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file of the image: absolute path, bytes, permission bits, owner and group by name; a symbolic link if ``link``
    holds its target.
    """

    path: str
    data: bytes
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    link: str = ""


def list_files(definition: ImageDefinition, layout: DiskLayout, sources_list: str) -> tuple[ImageFile, ...]:
    """Return every file that imagekit or the definition adds to packages; the operator's come last and win.

    ``sources_list`` is the distribution's normal one, not the build machine's. Raises :class:`DefinitionInvalid` when
    a file that the definition names cannot be read.
    """
    fstab = render_template("fstab", root_uuid=layout.root_uuid, esp_id=layout.esp_id)
    files = (
        ImageFile("/etc/fstab", fstab.encode()),
        ImageFile("/etc/apt/sources.list", sources_list.encode()),
        ImageFile("/etc/hostname", b""),
        ImageFile("/etc/hosts", b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
        ImageFile("/etc/machine-id", b"", 0o444),
        *list_additions(definition, networkd=True),
    )
    return tuple({file.path: file for file in files}.values())


def list_additions(definition: ImageDefinition, *, networkd: bool) -> tuple[ImageFile, ...]:
    """Return the files that make an installed system the one that is defined; the operator's come last and win.

    ``networkd`` says that clones have their network from systemd-networkd; otherwise cloud-init finds out. Raises
    :class:`DefinitionInvalid` when a file that the definition names cannot be read.
    """
    hardening = Feature.HARDENING in definition.features

    def rendered(path: str, template: str, mode: int = 0o644, **values: object) -> ImageFile:
        return ImageFile(path, render_template(template, **values).encode(), mode)

    files = [
        rendered("/etc/cloud/cloud.cfg.d/90_imagekit.cfg", "cloud.cfg", networkd=networkd),
        rendered("/etc/ssh/sshd_config.d/00-imagekit.conf", "sshd.conf", root_login=definition.ssh.root_login.value,
                 hardening=hardening),
        ImageFile("/etc/cloud/build.info", _describe_build(definition)),
        ImageFile("/etc/localtime", b"", 0o777, link=f"/usr/share/zoneinfo/{definition.timezone}"),
    ]  # fmt: skip
    if definition.base.distribution is not Distribution.ALPINE:
        files += [
            rendered("/etc/default/grub.d/50-imagekit.cfg", "default-grub", quiet=QUIET,
                     consoles=CONSOLES[definition.architecture]),
            rendered("/etc/apt/apt.conf.d/20auto-upgrades", "20auto-upgrades"),
        ]  # fmt: skip
    if definition.base.release in (Release.BOOKWORM, Release.NOBLE):  # later releases have only the link
        files.append(ImageFile("/etc/timezone", f"{definition.timezone}\n".encode()))
    if hardening:
        files += [
            rendered("/etc/sysctl.d/60-imagekit-hardening.conf", "hardening-sysctl.conf"),
            rendered("/etc/nftables.conf", "hardening-nftables.conf", 0o755,
                     node_exporter=Feature.NODE_EXPORTER in definition.features),
        ]  # fmt: skip
    if definition.promtail is not None:
        loki_url = definition.promtail.loki_url
        files.append(rendered("/etc/promtail/config.yml", "promtail.yml", loki_url=loki_url))
        files.append(rendered("/etc/systemd/system/promtail.service.d/imagekit.conf", "promtail.service"))
    for user in definition.users:
        files += _list_account_files(user)
    for entry in definition.files:
        data = entry.content.encode() if entry.content is not None else _read_source(entry.source, entry.path)
        files.append(ImageFile(entry.path, data, entry.mode, entry.owner, entry.group))
    return tuple({file.path: file for file in files}.values())


def _describe_build(definition: ImageDefinition) -> bytes:
    """Return what a clone tells about its image, as cloud images do in this file; no time, so builds stay equal."""
    base = definition.base.release.value
    return f"build_name: {definition.name}\nrelease: {base}\narchitecture: {definition.architecture.value}\n".encode()


def _list_account_files(user: User) -> list[ImageFile]:
    """Return a user's keys and, where asked for, the right to become root without a password nobody has."""
    keys = "".join(f"{key}\n" for key in user.ssh_keys).encode()
    files = [ImageFile(f"/home/{user.name}/.ssh/authorized_keys", keys, 0o600, user.name, user.name)]
    if user.sudo:
        rule = f"{user.name} ALL=(ALL:ALL) NOPASSWD: ALL\n".encode()
        files.append(ImageFile(f"/etc/sudoers.d/60-{user.name}", rule, 0o440))
    return files


def _read_source(source: Path | None, path: str) -> bytes:
    """Return the bytes of the file beside imagekit.toml that becomes ``path`` in the image."""
    if source is None:
        raise DefinitionInvalid(f"file {path} has neither content nor source")
    try:
        return source.read_bytes()
    except OSError as problem:
        raise DefinitionInvalid(f"{source} for {path} cannot be read: {problem.strerror}") from problem


def list_units(definition: ImageDefinition, *, networkd: bool = True) -> tuple[str, ...]:
    """Return the units to enable: cloud-init writes networkd's files but leaves enabling it to the image."""
    network = ["systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service"]
    server = "sshd.service" if definition.base.distribution is Distribution.ALPINE else "ssh.service"
    units = [*(network if networkd else []), server]
    if Feature.HARDENING in definition.features:
        units.append("nftables.service")
    if definition.promtail is not None:
        units.append("promtail.service")
    return tuple(units)


def pack_files(files: tuple[ImageFile, ...], epoch: int) -> bytes:
    """Return the files as a tar archive with parent directories, names for owners, and ``epoch`` as every time."""
    packed = io.BytesIO()
    made: set[str] = set()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file in files:
            member = tarfile.TarInfo(file.path.lstrip("/"))
            for parent in reversed(Path(member.name).parents[:-1]):
                if str(parent) not in made and _is_private(str(parent)):
                    made.add(str(parent))
                    directory = tarfile.TarInfo(str(parent))
                    directory.type, directory.mode, directory.mtime = tarfile.DIRTYPE, 0o700, epoch
                    directory.uname, directory.gname = file.owner, file.group
                    archive.addfile(directory)
            member.size, member.mode, member.mtime = len(file.data), file.mode, epoch
            member.uname, member.gname = file.owner, file.group
            if file.link:
                member.type, member.linkname = tarfile.SYMTYPE, file.link
            archive.addfile(member, io.BytesIO(file.data))
    return packed.getvalue()


def _is_private(directory: str) -> bool:
    """Say whether a directory must be made by us, closed to others; all others exist or may have tar's defaults."""
    return directory.endswith("/.ssh")
