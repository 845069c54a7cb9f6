"""Disk: a partition table without defects, clean filesystems, room to grow, and mounts that exist.

Source of the rules: UEFI specification 2.10 chapter 5, ext4(5), systemd.mount(5), fstab(5), cloud-init's cc_growpart.
"""

import re
from collections.abc import Iterator

from imagekit.disk.probe import READ_KINDS
from imagekit.image import Firmware
from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.boot_entries import parse_device
from imagekit.verify.facts.cloud_config import CloudConfig, is_off, list_modules, read_cloud_config
from imagekit.verify.facts.filesystems import is_on_disk, may_provide, read_fstab
from imagekit.verify.view import CannotSee, View

_KERNEL_NAME = re.compile(r"/dev/(?:sd|vd|xvd|hd|nvme\d+n|mmcblk)[a-z0-9]*")
# Sources that need no device of this disk (filesystems(5)).
_NO_DEVICE = (
    "tmpfs", "proc", "sysfs", "devpts", "devtmpfs", "nfs", "nfs4", "cifs", "overlay", "fuse", "9p", "virtiofs",
    "cgroup2", "debugfs", "tracefs", "securityfs", "hugetlbfs", "mqueue", "bpf", "efivarfs", "none",
)  # fmt: skip
_WARNINGS = ("hybrid MBR", "not in the last sector")
_BOOT_FLAG = "bootable"  # SeaBIOS and GRUB do not look at it; some loaders in sector 0 do


def find_table_problems(view: View, policy: Policy) -> Iterator[Seen]:
    """Report every defect that the reader of the partition table notes, and an MBR where UEFI firmware will boot."""
    from imagekit.disk.partitions.gpt import Scheme

    table = view.partition_table()
    if table is None:
        yield Seen("partition table", "there is none")
        return
    is_card = policy.profile is Profile.SD_IMAGE
    if table.scheme is Scheme.MBR and not is_card and policy.firmware is Firmware.OVMF:
        yield Seen("partition table", "it is an MBR, and there is no GPT for the UEFI firmware")
    for problem in table.problems:
        if _BOOT_FLAG in problem:
            if not is_card:  # a Raspberry Pi's firmware starts from the first FAT, whatever is marked
                yield Seen("partition table", problem, Severity.INFO)
        else:
            yield Seen(
                "partition table", problem, Severity.WARN if any(each in problem for each in _WARNINGS) else None
            )


def find_unclean_filesystems(view: View, _policy: Policy) -> Iterator[Seen]:
    """Report filesystems that were copied while in use, or that know of errors."""
    from imagekit.disk.ext4.filesystem import Ext4
    from imagekit.disk.fat.filesystem import Fat

    for volume in view.volumes():
        match volume.filesystem:
            case Ext4() as ext4:
                if ext4.has_errors:
                    yield Seen(volume.device, "the filesystem has recorded errors")
                elif ext4.error_count:  # kept in the superblock until e2fsck has run
                    yield Seen(volume.device, f"the kernel has counted {ext4.error_count} errors in the filesystem")
                elif not ext4.state_clean:
                    yield Seen(volume.device, "the filesystem was not unmounted in order")
                if ext4.needs_recovery:
                    yield Seen(volume.device, "the journal was not replayed: what is read may be old", Severity.WARN)
                if ext4.has_orphans:
                    yield Seen(volume.device, "it holds deleted files that were still open", Severity.WARN)
            case Fat() as fat:
                if fat.dirty:
                    yield Seen(volume.device, "the FAT filesystem is marked dirty", Severity.WARN)
            case None:
                if volume.problem and volume.kind in READ_KINDS:
                    yield Seen(volume.device, f"cannot be read: {volume.problem}")
            case xfs:  # its module is not imported for disks without it
                if xfs.needs_repair:
                    yield Seen(volume.device, "the filesystem is marked as one that xfs_repair must mend")
                if xfs.log_clean is False:
                    yield Seen(volume.device, "the XFS log was not replayed: what is read may be old", Severity.WARN)


def find_growth_problems(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the three things growth needs: configuration that allows it, a tool, and free space behind the root."""
    try:
        yield from _judge_growth_config(read_cloud_config(view))
        has_cloud_init = True
    except CannotSee:
        has_cloud_init = False
    if view.exists("/etc/growroot-disabled"):
        yield Seen("/etc/growroot-disabled", "the file exists")
    has_growpart = has_cloud_init and view.is_file("/usr/bin/growpart")
    if has_growpart and not any(
        view.is_file(f"{place}/{tool}") for place in ("/usr/sbin", "/sbin", "/usr/bin") for tool in ("sfdisk", "sgdisk")
    ):
        yield Seen("/usr/sbin/sfdisk", "growpart needs sfdisk or sgdisk, and neither is installed")
    has_repart = bool(view.tree.names("/etc/repart.d") or view.tree.names("/usr/lib/repart.d"))
    if not has_growpart and not has_repart:
        grows = any(option == "x-systemd.growfs" for line in read_fstab(view) for option in line.options)
        if grows:
            yield Seen(
                "/etc/fstab", "x-systemd.growfs grows the filesystem, but nothing grows its partition", Severity.WARN
            )
        else:
            yield Seen("/usr/bin/growpart", "nothing in the image grows the root partition")
    root = view.root_volume()
    if root.is_logical:
        yield Seen(
            root.device, "the root is on LVM, which cloud-init does not grow", fix="keep the root on a partition"
        )
    if root.partition is None:
        return
    table = view.partition_table()
    for partition in table.partitions if table else ():
        if partition.first_lba > root.partition.last_lba:
            found = f"lies behind the root, which is partition {root.partition.number}"
            yield Seen(f"partition {partition.number}", found)


def _judge_growth_config(config: CloudConfig) -> Iterator[Seen]:
    mode = config.get("growpart", "mode")
    if is_off(mode):
        yield Seen(config.origin("growpart", "mode"), "growpart mode is off")
    devices = config.get("growpart", "devices")
    if isinstance(devices, list) and "/" not in devices and not any(str(each).startswith("/dev/") for each in devices):
        yield Seen(config.origin("growpart", "devices"), "growpart's devices do not include /")
    if is_off(config.get("resize_rootfs")):
        yield Seen(config.origin("resize_rootfs"), "resize_rootfs: false")
    for name in sorted({"growpart", "resizefs"} - list_modules(config)):
        yield Seen(config.origin("cloud_init_modules"), f"cloud-init does not run its module {name}")


def find_missing_mounts(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether what fstab and crypttab name is on this disk, so that no mount is waited for in vain."""
    for line in read_fstab(view):
        if {"nofail", "noauto"} & set(line.options):
            if line.source.startswith(("/dev/cdrom", "/dev/sr")):
                yield Seen("/etc/fstab", f"{line.target}: a disc drive of the build machine", Severity.INFO)
            continue
        if (
            line.type in (*_NO_DEVICE, "swap")  # without its swap a boot is slow, and does not end: check swap
            or line.type.startswith(("fuse.", "nfs"))
            or {"bind", "rbind", "_netdev"} & set(line.options)
        ):
            continue
        yield from _judge_source(view, "/etc/fstab", line.source, line.target)
    for text in view.lines("/etc/crypttab"):
        fields = text.split()
        if len(fields) < 2 or fields[0].startswith("#"):
            continue
        if not {"nofail", "noauto"} & set(fields[3].split(",") if len(fields) > 3 else ()):
            yield from _judge_source(view, "/etc/crypttab", fields[1], fields[0])


def _judge_source(view: View, path: str, source: str, target: str) -> Iterator[Seen]:
    named = parse_device(source)
    if named is not None:
        if not is_on_disk(view, *named):
            yield Seen(path, f"{target} is {named[0]}={named[1]}: not on this disk")
    elif _KERNEL_NAME.fullmatch(source):
        yield Seen(path, f"{target} is {source}: the name changes with the bus the disk is attached to", Severity.WARN)
    elif source.startswith("/dev/"):
        if source.startswith(("/dev/cdrom", "/dev/sr", "/dev/fd")):
            yield Seen(path, f"{target} is {source}: a drive of the build machine")
        elif not may_provide(view, source):
            yield Seen(path, f"{target} is {source}: no logical volume of this disk is called so")
    elif source.startswith("/") and not view.exists(source):
        yield Seen(path, f"{target} is the file {source}, which does not exist")


CHECKS = (
    Check(
        id="partition-table",
        severity=Severity.FAIL,
        subject=Subject.DISK,
        why="firmware or growpart refuses the disk",
        fix="`sgdisk -e` repairs the backup; otherwise build the disk again",
        find=find_table_problems,
        profiles=(Profile.TEMPLATE, Profile.SD_IMAGE),
    ),
    Check(
        id="fs-clean",
        severity=Severity.FAIL,
        subject=Subject.DISK,
        why="the disk was copied while it was in use; files may be torn",
        fix="shut the machine down, run fsck, and convert the disk again",
        find=find_unclean_filesystems,
        profiles=(Profile.TEMPLATE, Profile.SD_IMAGE),
    ),
    Check(
        id="disk-growth",
        severity=Severity.FAIL,
        subject=Subject.DISK,
        why="a clone with a large disk keeps the template's small root",
        fix="put the root last, install cloud-guest-utils, and leave growpart and resize_rootfs on",
        find=find_growth_problems,
        profiles=MACHINES,
    ),
    Check(
        id="fstab-devices",
        severity=Severity.FAIL,
        subject=Subject.DISK,
        why="boot waits 90 s for the device and ends in emergency mode, without network or agent",
        fix="name a filesystem of this disk, or add nofail",
        find=find_missing_mounts,
        profiles=MACHINES,
    ),
)
