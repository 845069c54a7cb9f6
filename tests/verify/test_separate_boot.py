"""A /boot on a partition of its own: seen at its place, and never taken for empty when it cannot be read."""

import shutil
from pathlib import Path

import pytest

from imagekit.disk.mounts import MountUnreadable
from imagekit.host import run
from imagekit.verify import verify_disk
from imagekit.verify.disk_view import open_disk_view
from tests.verify.clean_tree import (
    ESP_BYTES,
    ESP_OFFSET,
    KERNEL,
    ROOT_BYTES,
    ROOT_OFFSET,
    append,
    make_root_filesystem,
    partition,
    replace,
    splice,
)

BOOT_UUID = "0a0b0c0d-1111-2222-3333-444455556666"
BOOT_OFFSET, BOOT_BYTES = ROOT_OFFSET + ROOT_BYTES, 1 << 20
SIZE = BOOT_OFFSET + BOOT_BYTES + (1 << 20)


def make_separate_boot(tree: Path, disk: Path, work: Path) -> None:
    """Move /boot to a partition of its own."""
    append(tree, "/etc/fstab", f"UUID={BOOT_UUID} /boot ext4 defaults 0 2\n")
    grub = "/boot/grub/grub.cfg"
    replace(tree, grub, "/boot/vmlinuz", "/vmlinuz")
    replace(tree, grub, "/boot/initrd", "/initrd")
    shutil.move(tree / "boot", work / "boot")
    (tree / "boot" / "efi").mkdir(parents=True)
    boot = work / "boot.ext4"
    with boot.open("wb") as file:
        file.truncate(BOOT_BYTES)
    run(["mke2fs", "-q", "-t", "ext2", "-b", "1024", "-U", BOOT_UUID, "-d", str(work / "boot"), str(boot)])
    make_root_filesystem(tree, work / "root.ext4")
    places = [(ESP_OFFSET, ESP_BYTES, "U"), (ROOT_OFFSET, ROOT_BYTES, "L"), (BOOT_OFFSET, BOOT_BYTES, "L")]
    with disk.open("r+b") as file:
        file.truncate(SIZE)
    partition(disk, places, SIZE)
    splice(disk, ROOT_OFFSET, work / "root.ext4")
    splice(disk, BOOT_OFFSET, boot)


def test_separate_boot_is_seen_at_its_place(tree: Path, disk: Path, tmp_path: Path) -> None:
    """Files on a /boot partition are found under /boot, and only the root's place on the disk is a finding."""
    make_separate_boot(tree, disk, tmp_path)
    with open_disk_view(disk) as view:
        assert view.is_file(f"/boot/vmlinuz-{KERNEL}")
        assert view.is_file("/etc/os-release")
        assert {"/boot/grub", "/boot/grub/grub.cfg"} <= {path for path, _ in view.tree.walk("/boot")}
    assert {finding.check for finding in verify_disk(disk).findings} == {"disk-growth"}


def test_unreadable_mount_is_not_taken_for_empty(tree: Path, disk: Path, tmp_path: Path) -> None:
    """When /boot is damaged, checks that need it are not observed or fail, never pass."""
    make_separate_boot(tree, disk, tmp_path)
    with disk.open("r+b") as file:
        file.seek(BOOT_OFFSET + 1024 + 24)
        file.write(b"\xff\xff\xff\xff")
    with open_disk_view(disk) as view:
        # The damaged superblock hides the UUID too, so the mount itself is a dangling one.
        assert not view.is_file(f"/boot/vmlinuz-{KERNEL}")
    report = verify_disk(disk)
    assert {"fs-clean", "fstab-devices", "kernel-files"} <= {finding.check for finding in report.findings}


def test_mount_of_an_unread_kind_refuses(tree: Path, disk: Path, tmp_path: Path) -> None:
    """A /boot on a filesystem that is recognised but not read says so to whoever looks inside."""
    make_separate_boot(tree, disk, tmp_path)
    with disk.open("r+b") as file:
        file.seek(BOOT_OFFSET + 1024)
        file.write(bytes(1024))
        file.seek(BOOT_OFFSET + 0x10020)
        file.write(bytes.fromhex(BOOT_UUID.replace("-", "")) + bytes(16) + b"_BHRfS_M")
    with open_disk_view(disk) as view, pytest.raises(MountUnreadable, match=r"/boot is on .*btrfs"):
        view.text(f"/boot/vmlinuz-{KERNEL}")
    report = verify_disk(disk)
    assert "kernel-files" in {blind.check for blind in report.not_observed}
    assert "boot-references" not in report.passed
