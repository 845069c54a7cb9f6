"""Disks of every kind: where the root is found, and what is said when there is none."""

import importlib.util
import os
from pathlib import Path

import pytest

from imagekit.disk.probe import FilesystemKind
from imagekit.errors import VerificationFailed
from imagekit.report import Severity
from imagekit.verify import verify_disk
from imagekit.verify.disk_view import open_disk_view
from tests.disk.made_lvm import Lv, write_physical, write_text
from tests.verify.clean_tree import MIB, ROOT_BYTES, ROOT_OFFSET, append, replace, splice
from tests.verify.made_disks import make_ext4_root, make_lvm, make_xfs_root, put_root


def write_at(disk: Path, offset: int, data: bytes) -> None:
    """Change bytes of the disk."""
    with disk.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_root_on_xfs_passes_as_on_ext4(tree: Path, disk: Path, tmp_path: Path) -> None:
    """The clean tree on XFS is checked like the one on ext4 and has no finding."""
    put_root(disk, make_xfs_root(tree, tmp_path / "root.xfs"))
    report = verify_disk(disk)
    assert report.findings == ()
    assert {"ssh-host-keys", "machine-id", "fs-clean", "fstab-devices", "kernel-files"} <= set(report.passed)


def test_dirt_on_xfs_is_found(tree: Path, disk: Path, tmp_path: Path) -> None:
    """A key left behind is found on XFS too, a log that was not replayed, and a mark that repair is needed."""
    (tree / "etc/ssh/ssh_host_rsa_key").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\n")
    root = make_xfs_root(tree, tmp_path / "root.xfs")
    data = root.read_bytes()
    record = data.index(b"\xfe\xed\xba\xbe\0\0\0\1")
    put_root(disk, root)
    write_at(disk, ROOT_OFFSET + record + 512 + 9, b"\0")
    write_at(disk, ROOT_OFFSET + 219, bytes([data[219] | 0x10]))
    findings = verify_disk(disk).findings
    assert ("ssh-host-keys", "/etc/ssh/ssh_host_rsa_key") in {(finding.check, finding.path) for finding in findings}
    assert {(finding.severity, finding.path, finding.found) for finding in findings if finding.check == "fs-clean"} == {
        (Severity.FAIL, "partition 2", "the filesystem is marked as one that xfs_repair must mend"),
        (Severity.WARN, "partition 2", "the XFS log was not replayed: what is read may be old"),
    }


def test_xfs_without_the_library(tree: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the optional package the disk is not verified, and the hint says how to install it."""
    put_root(disk, make_xfs_root(tree, tmp_path / "root.xfs"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(VerificationFailed, match=r"partition 2 holds xfs .*libfsxfs-python, which is not") as caught:
        verify_disk(disk)
    assert caught.value.hint == "pip install 'imagekit-homelab[formats]'"
    assert caught.value.exit_code == 5


def test_library_that_dies_is_not_observed(tree: Path, disk: Path, tmp_path: Path) -> None:
    """When the child is killed in the middle, what it did not read is not observed and nothing passes by it."""
    put_root(disk, make_xfs_root(tree, tmp_path / "root.xfs"))
    with open_disk_view(disk) as view:
        xfs = view.root_volume().filesystem
        assert xfs is not None
        os.kill(xfs._library._process._running.pid, 9)  # type: ignore[union-attr] # it is Xfs, with a running child
        with pytest.raises(VerificationFailed, match="SIGKILL"):
            view.text("/etc/fstab")
        with pytest.raises(VerificationFailed, match="SIGKILL"):
            view.is_file("/etc/passwd")


def test_root_on_lvm(tree: Path, disk: Path, tmp_path: Path) -> None:
    """A root in a logical volume made of pieces is found and checked; that it is on LVM is a finding for growth."""
    replace(tree, "/etc/fstab", "# comment\n", "/dev/mapper/rl-srv--data /srv ext4 defaults 0 2\n")
    (tree / "srv").mkdir(exist_ok=True)
    data = tmp_path / "data"
    data.mkdir()
    (data / "here").write_text("on the other volume\n")
    filesystems = {
        "root": make_ext4_root(tree, tmp_path / "root.ext4"),
        "srv-data": make_ext4_root(data, tmp_path / "data.ext4"),
    }
    write_at(filesystems["srv-data"], 1024 + 0x68, bytes(range(16)))  # a UUID of its own
    put_root(disk, make_lvm(tmp_path / "pv", "rl", filesystems))
    with open_disk_view(disk) as view:
        root = view.root_volume()
        assert (root.device, root.group, root.partition) == ("LVM rl/root", "rl", None)
        assert root.device_names == ("/dev/rl/root", "/dev/mapper/rl-root")
        physical = next(volume for volume in view.volumes() if volume.kind is FilesystemKind.LVM)
        assert (physical.device, physical.group, physical.problem) == ("partition 2", "rl", "")
        assert view.text("/srv/here") == "on the other volume\n"
    report = verify_disk(disk)
    assert {(finding.check, finding.path) for finding in report.findings} >= {("disk-growth", "LVM rl/root")}
    assert "fstab-devices" in report.passed


def test_fstab_names_a_volume_that_is_not_there(tree: Path, disk: Path, tmp_path: Path) -> None:
    """A device of a group that this disk does not have is a mount waited for in vain."""
    append(tree, "/etc/fstab", "/dev/other/data /srv ext4 defaults 0 2\n/dev/rl/root /mnt ext4 noauto 0 0\n")
    put_root(disk, make_lvm(tmp_path / "pv", "rl", {"root": make_ext4_root(tree, tmp_path / "root.ext4")}))
    found = [finding.found for finding in verify_disk(disk).findings if finding.check == "fstab-devices"]
    assert found == ["/srv is /dev/other/data: no logical volume of this disk is called so"]


@pytest.mark.parametrize(
    ("at", "magic", "said", "hint"),
    [
        (0, b"LUKS\xba\xbe\0\2", r"partition 2 holds an encrypted volume \(LUKS\)", "never opened"),
        (0x10040, b"_BHRfS_M", "partition 2 holds btrfs", "ext2, ext3, ext4 and XFS"),
        (4096 + 24, bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"), "partition 2 holds bcachefs", "XFS"),
        (3, b"NTFS    ", "partition 2 holds ntfs", "XFS"),
        (4096, b"\xfc\x4e\x2b\xa9", "partition 2 holds a member of a Linux software RAID", "XFS"),
        (0, b"", "partition 1 holds vfat; partition 2 holds nothing that is recognised", "XFS"),
    ],
)
def test_no_root_says_what_is_there(at: int, magic: bytes, said: str, hint: str, disk: Path) -> None:
    """A disk without a readable root is refused with what each partition holds."""
    write_at(disk, ROOT_OFFSET, bytes(ROOT_BYTES))
    write_at(disk, ROOT_OFFSET + at, magic)
    with pytest.raises(VerificationFailed, match=f"no operating system was found on the disk: .*{said}") as caught:
        verify_disk(disk)
    assert hint in str(caught.value.hint)


def test_lvm_that_is_not_read_is_explained(disk: Path, tmp_path: Path) -> None:
    """A thin root is named together with why it is not read."""
    pv = tmp_path / "pv"
    pv.write_bytes(write_physical(8 * MIB, write_text((Lv("root", ((0, 0, 1),), type="thin"),), group="rl")))
    put_root(disk, pv)
    said = (
        "partition 2 holds an LVM physical volume of the group rl; LVM rl/root holds what cannot be read: it is of the"
    )
    with pytest.raises(VerificationFailed, match=said):
        verify_disk(disk)


def test_two_systems_are_refused(tree: Path, disk: Path, tmp_path: Path) -> None:
    """Two roots, on whatever they are, are named and refused."""
    root = make_ext4_root(tree, tmp_path / "root.ext4")
    pv = make_lvm(tmp_path / "pv", "rl", {"root": root})
    second = ROOT_OFFSET + ROOT_BYTES
    put_root(disk, root, (second, pv.stat().st_size, "L"))
    splice(disk, second, pv)
    with pytest.raises(VerificationFailed, match="more than one operating system, on partition 2 and LVM rl/root"):
        verify_disk(disk)
