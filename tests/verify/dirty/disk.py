"""Dirt that only a disk can show."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

from imagekit.host import run
from tests.verify.clean_tree import ESP_BYTES, ESP_OFFSET, ROOT_BYTES, ROOT_OFFSET, ROOT_UUID, make_loader, partition
from tests.verify.dirty.change import CFG, FAIL, INFO, WARN, Dirt, added, all_of, removed, swapped, wrote

# Changes to the tree whose effect only a disk can show: the root is made again from the changed tree.
ROOT_DIRT = (
    Dirt("boot-references", "grub", FAIL, "grub.cfg", swapped("/boot/grub/grub.cfg", ROOT_UUID, ROOT_UUID[:-1] + "2")),
    Dirt("boot-references", "label", FAIL, "cmdline", wrote("/etc/kernel/cmdline", "root=LABEL=elsewhere ro\n")),
    Dirt("boot-references", "partuuid", FAIL, "cmdline", wrote("/etc/kernel/cmdline", "root=PARTUUID=1234-02 ro\n")),
    Dirt("fstab-devices", "uuid", FAIL, "fstab", added("/etc/fstab", "UUID=9999-9999 /boot/more vfat defaults 0 2\n")),
    Dirt("fstab-devices", "name", WARN, "fstab", added("/etc/fstab", "/dev/sdb1 /data ext4 defaults 0 2\n")),
    Dirt(
        "fstab-devices",
        "disc",
        INFO,
        "fstab",
        added("/etc/fstab", "/dev/sr0 /media/cdrom0 udf,iso9660 user,noauto 0 0\n"),
    ),
    Dirt("fstab-devices", "crypttab", FAIL, "crypttab", wrote("/etc/crypttab", "data UUID=99999999-9999 none luks\n")),
    Dirt("disk-growth", "mode", FAIL, "zz.cfg", wrote(f"{CFG}/zz.cfg", "growpart: {mode: off}\n")),
    Dirt("disk-growth", "resize", FAIL, "zz.cfg", wrote(f"{CFG}/zz.cfg", "resize_rootfs: false\n")),
    Dirt("disk-growth", "tool", FAIL, "growpart", removed("/usr/bin/growpart")),
    Dirt("disk-growth", "sfdisk", FAIL, "sfdisk", removed("/usr/sbin/sfdisk")),
    Dirt("disk-growth", "marker", FAIL, "growroot", wrote("/etc/growroot-disabled")),
    Dirt("disk-growth", "module", FAIL, "cloud.cfg", swapped("/etc/cloud/cloud.cfg", "  - growpart\n", "")),
    Dirt(
        "disk-growth",
        "half",
        WARN,
        "fstab",
        all_of(removed("/usr/bin/growpart"), swapped("/etc/fstab", "rw,discard", "rw,x-systemd.growfs")),
    ),
)


def esp_run(disk: Path, *argv: str) -> None:
    """Run an mtools program on the disk's ESP."""
    run([argv[0], "-i", f"{disk}@@{ESP_OFFSET}", *argv[1:]])


def poke(disk: Path, offset: int, data: bytes) -> None:
    """Overwrite bytes of the disk."""
    with disk.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def set_superblock(*setting: str) -> Callable[[Path], None]:
    """Return a change to the root's superblock, checksum included."""

    def change(disk: Path) -> None:
        run(["debugfs", "-w", "-R", " ".join(("set_super_value", *setting)), f"{disk}?offset={ROOT_OFFSET}"])

    return change


def put_loader(content: bytes) -> Callable[[Path], None]:
    """Return a change that replaces the fallback loader."""

    def change(disk: Path) -> None:
        loader = disk.with_name("other.efi")
        loader.write_bytes(content)
        esp_run(disk, "mcopy", "-o", os.fspath(loader), "::/EFI/BOOT/BOOTX64.EFI")

    return change


def add_swap_behind(disk: Path) -> None:
    """Put a third partition behind the root."""
    behind = ROOT_OFFSET + ROOT_BYTES
    partition(disk, [(ESP_OFFSET, ESP_BYTES, "U"), (ROOT_OFFSET, ROOT_BYTES, "L"), (behind, 512 << 10, "S")])


def retype_esp(disk: Path) -> None:
    """Make the ESP an ordinary partition."""
    partition(disk, [(ESP_OFFSET, ESP_BYTES, "L"), (ROOT_OFFSET, ROOT_BYTES, "L")])


def relabel_as_mbr(disk: Path) -> None:
    """Replace the GPT by an MBR with the same partitions, the root marked as bootable."""
    size = disk.stat().st_size
    poke(disk, 0, bytes(34 * 512))
    poke(disk, size - 33 * 512, bytes(33 * 512))
    script = "\n".join(
        (
            "label: dos",
            f"start={ESP_OFFSET // 512}, size={ESP_BYTES // 512}, type=ef",
            f"start={ROOT_OFFSET // 512}, size={ROOT_BYTES // 512}, type=83, bootable",
        )
    )
    run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", os.fspath(disk)], stdin=script.encode())


def leave_no_table(disk: Path) -> None:
    """Replace the disk by its root filesystem alone, without a partition table."""
    content = disk.read_bytes()[ROOT_OFFSET : ROOT_OFFSET + ROOT_BYTES]
    disk.write_bytes(content)


def grow_file(disk: Path) -> None:
    """Append to the disk, so that the backup table is no longer in the last sector."""
    with disk.open("r+b") as file:
        file.truncate(disk.stat().st_size + (1 << 20))


DISK_DIRT = (
    Dirt("partition-table", "checksum", FAIL, "partition table", lambda disk: poke(disk, 512 + 56, b"\x42")),
    Dirt("partition-table", "mbr", FAIL, "partition table", relabel_as_mbr),
    Dirt("partition-table", "none", FAIL, "partition table", leave_no_table),
    Dirt("partition-table", "grown", WARN, "partition table", grow_file),
    Dirt("uefi-fallback", "missing", FAIL, "BOOTX64", lambda disk: esp_run(disk, "mdel", "::/EFI/BOOT/BOOTX64.EFI")),
    Dirt("uefi-fallback", "type", FAIL, "partition table", retype_esp),
    Dirt("uefi-fallback", "unformatted", FAIL, "partition 1", lambda disk: poke(disk, ESP_OFFSET, bytes(4096))),
    Dirt("uefi-binary", "empty", FAIL, "BOOTX64", put_loader(b"")),
    Dirt("uefi-binary", "machine", FAIL, "BOOTX64", put_loader(make_loader(machine=0xAA64))),
    Dirt("uefi-binary", "subsystem", FAIL, "BOOTX64", put_loader(make_loader(subsystem=3))),
    Dirt(
        "uefi-binary", "offset", FAIL, "BOOTX64", put_loader(b"MZ" + bytes(58) + struct.pack("<I", 1 << 31) + bytes(64))
    ),
    Dirt("fs-clean", "errors", FAIL, "partition 2", set_superblock("state", "3")),
    Dirt("fs-clean", "mounted", FAIL, "partition 2", set_superblock("state", "0")),
    Dirt("fs-clean", "journal", WARN, "partition 2", set_superblock("feature_incompat", "0x2c6")),
    Dirt("disk-growth", "order", FAIL, "partition 3", add_swap_behind),
    Dirt("cloud-init-seed", "partition", FAIL, "partition 1", lambda disk: esp_run(disk, "mlabel", "::CIDATA")),
)
