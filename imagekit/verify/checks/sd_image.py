"""The NixOS card as firmware and U-Boot meet it: layout, firmware's files, loader.

Sources: nixpkgs' sd-image.nix, sd-image-aarch64.nix and extlinux-conf-builder.sh; U-Boot's doc/README.pxe and its
distro boot scripts.
"""

from collections.abc import Iterator

from imagekit.disk.partitions.gpt import SECTOR, Scheme
from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Profile, Seen, Subject
from imagekit.verify.facts.boot_entries import parse_device
from imagekit.verify.facts.filesystems import is_named, read_fstab
from imagekit.verify.facts.nixos import (
    EXTLINUX,
    STORE,
    Entry,
    find_firmware,
    find_systems,
    locate,
    open_system,
    read_extlinux,
)
from imagekit.verify.view import CannotSee, View

_TABLE = "partition table"
_FAT_TYPES = (0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E)
_LINUX, _ACTIVE = 0x83, 0x80
_LABELS = {"/": "NIXOS_SD", "/boot/firmware": "FIRMWARE"}
# What nixpkgs gives every image alike, so that a build can be repeated.
_SHARED_DISK, _SHARED_SERIAL, _SHARED_UUID = "2178694E", "2178-694E", "44444444-4444-4444-8888-888888888888"


def find_layout_problems(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at the table, the two filesystems' types and names, and whether the root is last and marked for U-Boot."""
    table, root, firmware = view.partition_table(), view.root_volume(), find_firmware(view)
    if view.disk().size % SECTOR:
        yield Seen(_TABLE, f"the image has {view.disk().size} bytes, which is no whole number of sectors")
    if table is None or table.scheme is not Scheme.MBR:
        yield Seen(_TABLE, "there is none" if table is None else "it is a GPT; a Raspberry Pi up to 3 wants an MBR")
        return
    for partition in table.partitions:
        if partition.offset + partition.length > view.disk().size:
            yield Seen(f"partition {partition.number}", "ends past the end of the image")
        if root.partition is not None and partition.first_lba > root.partition.last_lba:
            yield Seen(f"partition {partition.number}", "lies behind the root, which then cannot grow")
    if root.partition is not None and root.partition.mbr_type != _LINUX:
        yield Seen(root.device, f"holds the root, and its type is {root.partition.mbr_type:#04x} instead of 0x83")
    if root.partition is not None and not root.partition.attributes & _ACTIVE:
        yield Seen(root.device, "is not marked bootable: U-Boot looks for extlinux.conf on partition 1")
    if firmware is None:
        yield Seen(_TABLE, "no partition holds a FAT for the firmware")
        return
    place = firmware.volume.partition
    if place is not None and place.mbr_type not in _FAT_TYPES:
        yield Seen(
            firmware.volume.device, f"holds the firmware's FAT, and its type is {place.mbr_type:#04x}, not FAT's"
        )
    yield from _judge_names(view)


def _judge_names(view: View) -> Iterator[Seen]:
    """Compare the filesystems' names with the system's own fstab, or with nixpkgs' names when that is not to be had."""
    firmware = find_firmware(view)
    volumes = {"/": view.root_volume(), "/boot/firmware": firmware.volume if firmware else None}
    try:
        sources = {line.target: line.source for line in read_fstab(open_system(view))}
    except CannotSee:
        sources = {}
    for target, volume in volumes.items():
        source = sources.get(target, "" if sources else f"LABEL={_LABELS[target]}")
        if volume is not None and parse_device(source) and not is_named(volume, source):
            # The firmware's is mounted with nofail, by whom it is updated.
            severity = None if target == "/" else Severity.WARN
            yield Seen(volume.device, f"{target} is to be {source}, and this one is {volume.label!r}", severity)


def find_firmware_problems(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for config.txt, the firmware's programs, device trees, and every file that config.txt names."""
    from imagekit.verify.facts.pi_firmware import CONFIG, list_missing

    firmware = find_firmware(view)
    if firmware is None:
        raise CannotSee("no partition holds a FAT")
    where = firmware.volume.label or firmware.volume.device
    if not firmware.has(CONFIG):
        yield Seen(f"{where}:/{CONFIG}", "there is no such file, or it is empty")
        return
    for name, found in list_missing(firmware):
        yield Seen(f"{where}:/{name.lstrip('/')}", found)


def find_extlinux_problems(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look whether U-Boot finds an entry, and the entry its kernel, initrd, device trees and system."""
    menu = read_extlinux(view)
    if menu is None:
        if find_systems(view):
            raise CannotSee("the firmware starts the kernel without a loader")
        yield Seen(EXTLINUX, "there is no such file")
        return
    started = menu.started
    if started is None:
        yield Seen(EXTLINUX, f"the default is {menu.default!r}, and no label is called so" if menu.default else "empty")
    elif not menu.default:
        yield Seen(EXTLINUX, "no default: U-Boot tries one label after the other", Severity.WARN)
    if menu.timeout.lstrip("-").isdecimal() and int(menu.timeout) == 0:
        yield Seen(EXTLINUX, "TIMEOUT 0: U-Boot waits for a key for ever")
    for entry in menu.entries:
        for found in _judge_entry(view, entry):
            yield Seen(EXTLINUX, f"{entry.label}: {found}", None if entry is started else Severity.WARN)


def _judge_entry(view: View, entry: Entry) -> Iterator[str]:
    if not entry.kernel:
        yield "no kernel is named"
    for what, path in (("the kernel", entry.kernel), ("the initrd", entry.initrd), ("the device tree", entry.fdt)):
        node = view.tree.stat(locate(path)) if path else None
        if path and (node is None or node.size == 0 or not view.is_file(locate(path))):
            yield f"{what} {path} is not there or empty"
    if entry.fdt_directory and not view.tree.names(locate(entry.fdt_directory)):
        yield f"the device trees {entry.fdt_directory} are not there"
    init = next((word[5:] for word in entry.append.split() if word.startswith("init=")), "")
    if not init.startswith(f"{STORE}/"):
        yield "the command line has no init= in the store"
    elif not view.is_file(init):
        yield f"{init} is not there"


def find_shared_ids(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for the disk id, FAT serial and UUID that nixpkgs gives to every image."""
    table, firmware = view.partition_table(), find_firmware(view)
    if table is not None and table.disk_guid == _SHARED_DISK:
        yield Seen(_TABLE, f"the disk id {table.disk_guid} of every image", fix="set sdImage.firmwarePartitionID")
    if firmware is not None and firmware.volume.uuid == _SHARED_SERIAL:
        found = f"the serial {firmware.volume.uuid} of every image"
        yield Seen(firmware.volume.device, found, fix="set sdImage.firmwarePartitionID")
    if view.root_volume().uuid.lower() == _SHARED_UUID:
        yield Seen(view.root_volume().device, "the UUID of every image")


CHECKS: tuple[Check, ...] = (
    Check(
        id="sd-layout",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="the firmware does not find its partition, U-Boot not the system, or the root never grows",
        fix="build the image again with nixpkgs' sd-image module",
        find=find_layout_problems,
        profiles=(Profile.SD_IMAGE,),
    ),
    Check(
        id="sd-firmware",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="the board stops at its rainbow screen, before anything could report an error",
        fix="build the image again; sdImage.populateFirmwareCommands is what puts the files there",
        find=find_firmware_problems,
        profiles=(Profile.SD_IMAGE,),
    ),
    Check(
        id="sd-extlinux",
        severity=Severity.FAIL,
        subject=Subject.SD_IMAGE,
        why="U-Boot finds nothing to start, or the kernel no system",
        fix="build the image again; sdImage.populateRootCommands is what writes /boot",
        find=find_extlinux_problems,
        profiles=(Profile.SD_IMAGE,),
    ),
    Check(
        id="sd-shared-ids",
        severity=Severity.INFO,
        subject=Subject.SD_IMAGE,
        why="of two such cards in one machine, which one is meant by an id is left to chance",
        fix="set sdImage.rootPartitionUUID, and build again",
        find=find_shared_ids,
        profiles=(Profile.SD_IMAGE,),
    ),
)
