"""What an installer would ask, answered on one small disk labelled CIDATA: no server that the guest must reach.

The disk holds GRUB's next configuration, the answers in the installer's own form, and cloud-init's documents for the
first boot of what was installed. Nobody gets a password: the build comes in by its own key, as an account that the last
step of the build removes. Nothing secret is on the disk, only the public half of that key.
"""

import gzip
import io
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass

from imagekit.build.contents import CONSOLES
from imagekit.build.packages import choose_installed_packages
from imagekit.build.packer.initrd import InitrdFile, pack_initrd
from imagekit.build.render import render_template
from imagekit.definition.model import GIB, MIB, Distribution, ImageDefinition, Release
from imagekit.errors import DefinitionInvalid
from imagekit.machine.seed import format_cloud_config, format_json

BUILD_USER = "packer"
# GRUB's own command line, where the menu's entries cannot get in the way; the rest is in grub.cfg on the seed. A busy
# firmware loses keys, so few are typed: -s is --set, of "root" when it is not told what, and -l is --label.
_TO_SEED = ("c<wait>", "search -s -l CIDATA<enter>", "configfile /grub.cfg<enter>")
# What such a value may be written with; nothing among it means anything to a shell, a preseed file or GRUB.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9/_+.-]*")
_KEY = re.compile(r"[a-z0-9@.-]+ [A-Za-z0-9+/=]+(?: [^\x00-\x1f\x7f\"'\\]*)?")

# What a clone needs, and what Alpine's cloud-init leaves to be chosen (aports, community/cloud-init/README.Alpine):
# a mount that loads isofs for the drive, and an sshd with PAM, since one without refuses locked accounts their keys.
_ALPINE_PACKAGES = (
    "cloud-init", "cloud-utils-growpart", "e2fsprogs-extra", "mount", "openssh-server-pam", "openssh-sftp-server",
    "qemu-guest-agent", "sudo", "tzdata",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Medium:
    """Where a release's install medium keeps kernel and initrd, what they are told, and what else is loaded."""

    kernel: str
    initrd: str
    options: str
    extra: str = ""


_MEDIA = {
    Distribution.DEBIAN: _Medium(
        "/install.amd/vmlinuz", "/install.amd/initrd.gz", "auto=true priority=critical", extra="preseed.cpio.gz"
    ),
    Distribution.UBUNTU: _Medium("/casper/vmlinuz", "/casper/initrd", "autoinstall noprompt"),
}
# Below these the installation fails late: with a full disk.
_SMALLEST_DISK = {Distribution.DEBIAN: 3 * GIB, Distribution.UBUNTU: 6 * GIB, Distribution.ALPINE: 1 * GIB}


def boot_command(release: Release) -> tuple[str, ...]:
    """Return the keys that lead an install medium's GRUB to our seed, in Packer's notation.

    Alpine needs none, and its menu is gone after a second: its live system takes up the seed's overlay by itself.
    """
    return () if release.distribution is Distribution.ALPINE else _TO_SEED


def make_seed_files(
    definition: ImageDefinition, public_key: str, *, instance_id: str, user: str = BUILD_USER
) -> Mapping[str, bytes]:
    """Return what the seed disk holds, by file name, for an installation of the definition's release.

    ``public_key`` is the build's own, one line as OpenSSH writes it. Raises :class:`DefinitionInvalid` when the disk is
    too small for the release, or when a value could be read as more than itself.
    """
    release = definition.base.release
    smallest = _SMALLEST_DISK[release.distribution]
    if definition.size < smallest:
        raise DefinitionInvalid(
            f"{definition.size // MIB} MiB are too few for an installation of {release.distribution.value}",
            hint=f'write size = "{smallest // GIB}G" or more',
        )
    for value in (definition.name, definition.timezone, instance_id, user):
        _require(_PLAIN, value)
    _require(_KEY, public_key.rstrip("\n"))
    documents = {"meta-data": format_json({"instance-id": instance_id, "local-hostname": definition.name})}
    account = _describe_account(user, public_key.rstrip("\n"))
    match release.distribution:
        case Distribution.DEBIAN:
            documents["preseed.cpio.gz"] = _make_preseed(definition)
            documents["user-data"] = format_cloud_config(account)
        case Distribution.UBUNTU:
            documents["user-data"] = format_cloud_config({"autoinstall": _make_autoinstall(definition, account)})
        case Distribution.ALPINE:
            documents["imagekit.apkovl.tar.gz"] = _make_overlay(definition)
            documents["user-data"] = format_cloud_config(account)
    if release.distribution in _MEDIA:
        documents["grub.cfg"] = _make_grub_config(_MEDIA[release.distribution], definition)
    return documents


def make_boot_seed(
    definition: ImageDefinition, public_key: str, *, instance_id: str, user: str = BUILD_USER
) -> Mapping[str, bytes]:
    """Return what the seed disk holds for a system that is installed already: the build's account and nothing else."""
    account = _describe_account(user, public_key.rstrip("\n"))
    meta = {"instance-id": instance_id, "local-hostname": definition.name}
    return {"meta-data": format_json(meta), "user-data": format_cloud_config(account)}


def _require(pattern: re.Pattern[str], value: str) -> None:
    """Refuse what an installer's file could take for more than one value; no such definition passes the parser."""
    if not pattern.fullmatch(value):
        raise DefinitionInvalid(f"{value!r} cannot be written into an installer's answers")


def _make_grub_config(medium: _Medium, definition: ImageDefinition) -> bytes:
    return render_template(
        "packer/seed-grub.cfg",
        kernel=medium.kernel,
        initrd=medium.initrd,
        options=medium.options,
        extra=medium.extra,
        consoles=CONSOLES[definition.architecture],
    ).encode()


def _make_preseed(definition: ImageDefinition) -> bytes:
    """Return the initrd from which debian-installer reads its answers before its first question.

    Its manual calls that "initrd preseeding" (B.2.1): /preseed.cfg in the initrd's own tree.
    """
    preseed = render_template(
        "packer/preseed.cfg",
        hostname=definition.name,
        timezone=definition.timezone,
        esp=-(-definition.esp // 1_000_000),  # partman's recipes count in millions
        consoles=CONSOLES[definition.architecture],
    )
    return pack_initrd(
        {
            "preseed.cfg": InitrdFile(preseed.encode()),
            "imagekit/late.sh": InitrdFile(render_template("packer/preseed-late.sh").encode(), 0o755),
            "imagekit/packages": InitrdFile("".join(f"{name}\n" for name in choose_installed_packages()).encode()),
            "imagekit/cloud.cfg": InitrdFile(render_template("cloud.cfg", networkd=True).encode()),
        }
    )


def _make_autoinstall(definition: ImageDefinition, account: Mapping[str, object]) -> dict[str, object]:
    """Return subiquity's answers (Ubuntu's "Autoinstall configuration reference manual", version 1).

    Without ``identity`` it makes no account and asks for none, because ``user-data`` is there: cloud-init of the
    installed system gets that at the first boot. The time zone comes with everything else of the definition; here it
    would have to be one of a list that changes with the medium.
    """
    return {
        "version": 1,
        "locale": "en_US.UTF-8",
        "keyboard": {"layout": "us"},
        "source": {"id": "ubuntu-server-minimal", "search_drivers": False},
        "storage": {"layout": {"name": "direct", "match": {"size": "largest"}}, "swap": {"size": 0}},
        "apt": {"geoip": False},
        "ssh": {"install-server": True, "allow-pw": False},
        "packages": ["cloud-guest-utils", "qemu-guest-agent"],
        "updates": "security",
        "shutdown": "reboot",
        "user-data": {**account, "hostname": definition.name},
    }


def _make_overlay(definition: ImageDefinition) -> bytes:
    """Return the overlay that Alpine's initramfs unpacks over its live system, from any medium's top directory.

    Source: mkinitfs, initramfs-init (``*.apkovl.tar.gz``, ``etc/.default_boot_services``).
    """
    install = render_template("packer/alpine-install.start", consoles=CONSOLES[definition.architecture])
    files = {
        "etc/.default_boot_services": (0o644, b""),
        "etc/cloud/cloud.cfg.d/90_imagekit.cfg": (0o644, render_template("cloud.cfg", networkd=False).encode()),
        "etc/hostname": (0o644, f"{definition.name}\n".encode()),
        "etc/imagekit-packages": (0o644, "".join(f"{name}\n" for name in _ALPINE_PACKAGES).encode()),
        "etc/local.d/imagekit.start": (0o755, install.encode()),
        "etc/network/interfaces": (0o644, b"auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet dhcp\n"),
        "etc/ssh/sshd_config.d/10-imagekit-pam.conf": (0o644, b"UsePAM yes\n"),
    }
    links = {"etc/runlevels/boot/networking": "networking", "etc/runlevels/default/local": "local"}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, (mode, data) in files.items():
            member = tarfile.TarInfo(name)
            member.mode, member.size = mode, len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, service in links.items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, f"/etc/init.d/{service}"
            archive.addfile(member)
    return gzip.compress(packed.getvalue(), mtime=0)


def _describe_account(user: str, public_key: str) -> dict[str, object]:
    """Return cloud-init's words for the build's account, and for nothing else that the first boot could do."""
    account = {
        "name": user,
        "lock_passwd": True,
        "shell": "/bin/sh",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "ssh_authorized_keys": [public_key],
    }
    return {"users": [account], "package_update": False, "package_upgrade": False}
