"""The filesystems themselves: features, names, free space, and what deleted files left in it.

Source of the rules: ext4(5), mke2fs.conf(5), e2fsprogs' and GRUB's release notes, GRUB's grub-core/fs/ext2.c.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.boot_entries import read_grub_files
from imagekit.verify.facts.filesystems import find_volume, read_fstab
from imagekit.verify.view import CannotSee, View, fact

if TYPE_CHECKING:
    from imagekit.disk.volume import Volume

MIB = 1 << 20
_LEAST_FREE = 300 * MIB
# Places that a first boot writes to, in the order of fstab's usual lines.
_WRITTEN = ("/", "/boot", "/var", "/home", "/tmp", "/var/log", "/var/tmp")
# The first e2fsprogs whose e2fsck knows the feature; an older one refuses the filesystem.
_E2FSCK = {
    "orphan_file": (1, 47, 0),
    "orphan_present": (1, 47, 0),
    "casefold": (1, 45, 0),
    "encrypt": (1, 43, 0),
    "metadata_csum_seed": (1, 43, 0),
    "inline_data": (1, 43, 0),
    "large_dir": (1, 44, 0),
    "verity": (1, 45, 2),
}
# What GRUB's ext2 driver refuses; 2.06 was measured with grub-fstest.
_NEVER_IN_GRUB = ("casefold", "ea_inode", "inline_data")
_SINCE_GRUB = {"metadata_csum_seed": (2, 12), "large_dir": (2, 12), "encrypt": (2, 4)}
_DEBIAN_BACKPORT = (2, 6, 8)  # 2.06-8 ignores metadata_csum_seed and large_dir too (Debian bug 1030846)
_NUMBERS = re.compile(r"\d{1,9}")
_UPSTREAM = re.compile(r"(?:\d+:)?([0-9.]{1,64})")


def find_unsuitable_features(view: View, _policy: Policy) -> Iterator[Seen]:
    """Compare the features of root and /boot with the image's own e2fsprogs and, where it has one, its GRUB."""
    from imagekit.disk.ext4.filesystem import Ext4

    root, boot = view.root_volume(), find_volume(view, "/boot")
    unknown = ""
    for volume in dict.fromkeys(each for each in (root, boot) if each is not None):
        if not isinstance(volume.filesystem, Ext4):
            continue
        features = volume.filesystem.features
        for feature in sorted(features & _E2FSCK.keys()):
            version = _read_versions(view).get("e2fsprogs")
            if version is None:
                unknown = unknown or feature
            elif _split_upstream(version) < _E2FSCK[feature]:
                yield Seen(volume.device, f"{feature}: the image's e2fsck {version} does not know it")
        if volume is (boot or root) and read_grub_files(view):
            for feature in sorted(features & {*_NEVER_IN_GRUB, *_SINCE_GRUB}):
                if feature in _NEVER_IN_GRUB:
                    yield Seen(volume.device, f"{feature}: no GRUB reads it")
                    continue
                version = _read_versions(view).get("grub-common")
                if version is None:
                    unknown = unknown or feature
                elif not _is_in_grub(feature, version):
                    yield Seen(volume.device, f"{feature}: the image's GRUB {version} does not read it")
    if unknown:
        raise CannotSee(f"the filesystem has {unknown}, and the version of the image's tools is not known")


@fact
def _read_versions(view: View) -> dict[str, str]:
    """Return the version of each Debian package; read only when a feature asks for it, because that takes 10 ms."""
    from imagekit.disk.packages.dpkg import read_dpkg_packages

    return {package.name: package.version for package in read_dpkg_packages(view.tree)}


def _split_upstream(version: str) -> tuple[int, ...]:
    """Return the numbers of the upstream part: ``1:1.47.0-2`` is 1, 47, 0."""
    match = _UPSTREAM.match(version)
    return tuple(int(number) for number in _NUMBERS.findall(match.group(1))) if match else ()


def _is_in_grub(feature: str, version: str) -> bool:
    upstream = _split_upstream(version)
    if upstream >= _SINCE_GRUB[feature]:
        return True
    revision = _NUMBERS.match(version.rpartition("-")[2])
    is_backport = revision is not None and (*upstream[:2], int(revision.group())) >= _DEBIAN_BACKPORT
    return feature != "encrypt" and upstream[:2] == _DEBIAN_BACKPORT[:2] and is_backport


def find_equal_names(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for two filesystems with one UUID, or with one label that fstab or the boot uses."""
    from imagekit.verify.facts.boot_entries import parse_device, read_disk_names

    used = {(name.kind, name.value) for name in read_disk_names(view)}
    used |= {named for line in read_fstab(view) if (named := parse_device(line.source))}
    first: dict[tuple[str, str], Volume] = {}
    for volume in view.volumes():
        if volume.kind.value == "lvm":  # a physical volume's UUID is in a space of its own
            continue
        for kind, value in (("UUID", volume.uuid.lower()), ("LABEL", volume.label)):
            if not value or (kind == "LABEL" and (kind, value) not in used):
                continue
            twin = first.setdefault((kind, value), volume)
            if twin is not volume:
                yield Seen(volume.device, f"has the {kind} {value}, as {twin.device} has")


def find_full_filesystems(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for too little room where the first boot writes: 10 %, and on the root 300 MiB, or a quarter of a small one.

    A filesystem that cannot be read is not observed; inodes count like space.
    """
    from imagekit.disk.ext4.filesystem import Ext4
    from imagekit.disk.fat.filesystem import Fat

    unread = ""
    for target in _WRITTEN:
        volume = find_volume(view, target)
        if volume is None:
            continue
        filesystem = volume.filesystem
        if filesystem is None or isinstance(filesystem, Fat):
            unread = unread or f"the free space of {target} is not known: it is {volume.kind.value}"
            continue
        size, free = filesystem.block_count * filesystem.block_size, filesystem.free_blocks * filesystem.block_size
        least = size // 10
        if target == "/":
            least = max(least, min(_LEAST_FREE, size // 4))
        if free < least:
            yield Seen(
                volume.device,
                f"{target} has {free // MIB} of {size // MIB} MiB free; at least {-(-least // MIB)} MiB are wanted",
            )
        # XFS makes inodes as they are needed.
        if isinstance(filesystem, Ext4) and filesystem.free_inodes < filesystem.inode_count // 10:
            yield Seen(volume.device, f"{target} has {filesystem.free_inodes} of {filesystem.inode_count} inodes free")
    if unread:
        raise CannotSee(unread)


CHECKS: tuple[Check, ...] = (
    Check(
        id="fs-features",
        severity=Severity.WARN,
        subject=Subject.DISK,
        why="an older GRUB calls it an unknown filesystem, an older e2fsck refuses to repair it",
        fix="make the filesystem with mke2fs -O ^orphan_file,^metadata_csum_seed,"
        " or take a feature away: tune2fs -O ^FEATURE DEVICE",
        find=find_unsuitable_features,
        profiles=MACHINES,
    ),
    Check(
        id="fs-uuid-duplicate",
        severity=Severity.FAIL,
        subject=Subject.DISK,
        why="which of the two is mounted is left to chance",
        fix="`tune2fs -U random DEVICE`, or `tune2fs -L LABEL DEVICE`",
        find=find_equal_names,
        profiles=(Profile.TEMPLATE, Profile.SD_IMAGE),
    ),
    Check(
        id="fs-free-space",
        severity=Severity.WARN,
        subject=Subject.DISK,
        why="the first boot writes logs, keys and its data before the disk grows, and fails when there is no room",
        fix="`apt-get clean; journalctl --vacuum-size=10M`; or give the image a larger disk",
        find=find_full_filesystems,
        profiles=MACHINES,
    ),
)
