"""What lies between partitions and filesystems: swap, LVM, software RAID, LUKS, and the GUIDs of the partitions.

Source of the rules: mkswap(8), lvmdevices(8), mdadm.conf(5), crypttab(5), cloud-init's cc_growpart.
"""

import re
from collections.abc import Iterator

from imagekit.disk.probe import FilesystemKind
from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.boot_entries import parse_device, read_disk_names
from imagekit.verify.facts.filesystems import is_named, is_root_on_lvm, read_fstab, read_raid_members
from imagekit.verify.view import CannotSee, View

_SWAP_FILES = ("/swapfile", "/swap.img", "/swap", "/var/swap", "/var/swapfile", "/swap/swapfile", "/var/lib/swapfile")
_PAGE = 4096
_SWAP_LOOK = 1 << 20
_DEEP_LOOK = 256 << 20
_DEVICES_FILE = "/etc/lvm/devices/system.devices"
_NO_DEVICES_FILE = re.compile(r"^[ \t]*use_devicesfile[ \t]*=[ \t]*0\b", re.MULTILINE)
_ARRAY_UUID = re.compile(r"\buuid=([0-9a-f:]{35})", re.IGNORECASE)
_KEY_DATA = "/cc_growpart_keydata"


def find_swap(view: View, policy: Policy) -> Iterator[Seen]:
    """Look for swap files, swap partitions and what was swapped out to them, and for swap that fstab asks in vain."""
    lines = [line for line in read_fstab(view) if line.type == "swap" and not {"noauto", "nofail"} & set(line.options)]
    files = dict.fromkeys((*_SWAP_FILES, *(line.source for line in lines if _is_plain_path(line.source))))
    for path in files:
        node = view.tree.stat(path)
        if node is not None and node.type is FileType.FILE:
            yield Seen(path, f"a swap file of {node.size >> 20} MiB; cloud-init or the clone's admin makes its own")
        elif any(line.source == path for line in lines):
            yield Seen("/etc/fstab", f"swap is the file {path}, which does not exist")
    if not view.has_disk:
        return
    for line in lines:
        if not _is_plain_path(line.source) and not any(is_named(volume, line.source) for volume in view.volumes()):
            yield Seen("/etc/fstab", f"swap is {line.source}: not on this disk, or not always by this name")
    for volume in view.volumes():
        if volume.kind is not FilesystemKind.SWAP or volume.window is None:
            continue
        yield Seen(volume.device, f"a swap partition of {volume.window.size >> 20} MiB", Severity.INFO)
        look = _DEEP_LOOK if policy.deep else _SWAP_LOOK
        length = max(min(look, volume.window.size - _PAGE), 0)
        if any(volume.window.read(_PAGE, length)):
            yield Seen(volume.device, "the swap partition holds what was in the builder's memory")


def _is_plain_path(source: str) -> bool:
    return source.startswith("/") and not source.startswith("/dev/")


def find_devices_file(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for LVM's list of the devices that it may use, which names the builder's disk."""
    if view.tree.lstat(_DEVICES_FILE) is None or _NO_DEVICES_FILE.search(view.text("/etc/lvm/lvm.conf") or ""):
        return
    count = sum(line.startswith(("IDTYPE=", "SYSTEMID=")) for line in view.lines(_DEVICES_FILE))
    if is_root_on_lvm(view):
        yield Seen(_DEVICES_FILE, f"{count} entries, and the root is on LVM")
    else:
        yield Seen(_DEVICES_FILE, f"{count} entries", Severity.WARN)


def find_group_ids(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for volume groups and arrays, whose ids all clones share, and for LVM's and mdadm's records of others."""
    for directory in ("/etc/lvm/archive", "/etc/lvm/backup"):
        names = view.tree.names(directory)
        if names:
            yield Seen(directory, f"{len(names)} records of the builder's volume groups", Severity.WARN)
    arrays = [
        (path, match.group(1).lower())
        for path in ("/etc/mdadm/mdadm.conf", "/etc/mdadm.conf")
        for line in view.lines(path)
        if line.upper().startswith("ARRAY") and (match := _ARRAY_UUID.search(line))
    ]
    if not view.has_disk:
        if arrays:
            raise CannotSee("whether the arrays of mdadm.conf are on the disk is not to be seen in a directory")
        return
    members = read_raid_members(view)
    for path, array in arrays:
        if array not in {member.array for member in members}:
            yield Seen(path, f"names the array {array}, which is not on this disk", Severity.WARN)
    for member in members:
        yield Seen(member.device, f"a part of the array {member.array}")
    for volume in view.volumes():
        if volume.kind is FilesystemKind.LVM:
            yield Seen(volume.device, "an LVM physical volume")


def find_luks(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for encrypted volumes, and for the keys that lie beside them in the clear."""
    if view.tree.lstat(_KEY_DATA) is not None:
        yield Seen(_KEY_DATA, "the key of the root's LUKS volume, for growpart", Severity.FAIL)
    for text in view.lines("/etc/crypttab"):
        fields = text.split()
        if len(fields) < 2 or fields[0].startswith("#"):
            continue
        key = fields[2] if len(fields) > 2 and fields[2] != "none" else f"/etc/cryptsetup-keys.d/{fields[0]}.key"
        node = view.tree.stat(key) if key.startswith("/") and not key.startswith("/dev/") else None
        if node is not None and node.type is FileType.FILE:
            yield Seen(key, f"the key file of the encrypted volume {fields[0]}, {node.size} bytes", Severity.FAIL)
    if view.has_disk:
        for volume in view.volumes():
            if volume.kind is FilesystemKind.LUKS:
                yield Seen(volume.device, f"a LUKS volume (UUID {volume.uuid})")


def find_partition_ids(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look where the boot and fstab name partitions by GUID or name, which must not be made new on a clone."""
    if view.partition_table() is None:
        return
    uses = {(name.path, name.kind) for name in read_disk_names(view)}
    uses |= {("/etc/fstab", named[0]) for line in read_fstab(view) if (named := parse_device(line.source))}
    for path, kind in sorted(uses):
        if kind == "PARTUUID":
            yield Seen(path, "names a partition by PARTUUID: all clones share it, and it must stay as it is")


CHECKS: tuple[Check, ...] = (
    Check(
        id="swap",
        severity=Severity.WARN,
        subject=Subject.DISK,
        why="it holds pieces of the builder's memory, makes every clone larger, and blocks the root's growth",
        fix="`swapoff -a; rm -f /swapfile /swap.img; sed -i '/\\sswap\\s/d' /etc/fstab`",
        find=find_swap,
        profiles=MACHINES,
    ),
    Check(
        id="lvm-devices-file",
        severity=Severity.FAIL,
        subject=Subject.DISK,
        why="LVM uses only the disks that are listed, the clone's disk has another id, and boot ends in a shell",
        fix="`rm -f /etc/lvm/devices/system.devices && touch /etc/lvm/devices/auto-import-rootvg`",
        find=find_devices_file,
        profiles=MACHINES,
    ),
    Check(
        id="lvm-md-ids",
        severity=Severity.INFO,
        subject=Subject.DISK,
        why="a clone's disk attached beside the template's, or another clone's, has the same ids twice",
        fix="`rm -f /etc/lvm/archive/* /etc/lvm/backup/*`; better: a template without LVM and RAID",
        find=find_group_ids,
        profiles=MACHINES,
    ),
    Check(
        id="luks",
        severity=Severity.WARN,
        subject=Subject.DISK,
        why="all clones share the volume key, and another passphrase does not change it",
        fix="leave encryption to the clone's first boot (systemd-repart with Encrypt=); shred -u the key file",
        find=find_luks,
        profiles=MACHINES,
    ),
    Check(
        id="gpt-guids",
        severity=Severity.INFO,
        subject=Subject.DISK,
        why="a tool that gives the clone's partitions new GUIDs (sgdisk -G, virt-sysprep's fs-uuids) ends its boot",
        fix="nothing, as long as GUIDs are left alone; UUID= of the filesystem survives new GUIDs",
        find=find_partition_ids,
        profiles=(Profile.TEMPLATE,),
    ),
)
