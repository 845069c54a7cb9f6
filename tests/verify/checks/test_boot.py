"""What loaders, kernels, initial RAM disks and volumes may legitimately look like."""

from pathlib import Path

import pytest

from imagekit.host import run
from imagekit.image import Firmware
from imagekit.report import Report
from imagekit.verify import Policy, verify_directory, verify_disk
from tests.verify.clean_tree import (
    ESP_BYTES,
    ESP_OFFSET,
    KERNEL,
    ROOT_BYTES,
    ROOT_OFFSET,
    ROOT_UUID,
    append,
    make_root_filesystem,
    partition,
    remove,
    replace,
    splice,
    write,
)
from tests.verify.dirty.disk import esp_run, poke
from tests.verify.initrd import make_initrd

GRUB = "/boot/grub/grub.cfg"
INITRD = f"/boot/initrd.img-{KERNEL}"
MODULES = f"/usr/lib/modules/{KERNEL}"


def list_problems(report: Report, check: str) -> list[str]:
    """Return the evidence of a check's findings; it must have seen what it looks at."""
    assert check not in {blind.check for blind in report.not_observed}
    return [finding.found for finding in report.findings if finding.check == check]


def judge_root(tree: Path, disk: Path, work: Path, policy: Policy | None = None) -> Report:
    """Put the tree on the disk as its root and judge the disk."""
    make_root_filesystem(tree, work / "root.ext4")
    splice(disk, ROOT_OFFSET, work / "root.ext4")
    return verify_disk(disk, policy or Policy())


def test_built_in_drivers_need_no_initrd(tree: Path) -> None:
    """A kernel with virtio built in may boot without an initrd, by partition."""
    replace(tree, GRUB, f"\tinitrd\t{INITRD}\n", "")
    replace(tree, GRUB, f"root=UUID={ROOT_UUID}", "root=PARTUUID=12-01")
    write(
        tree,
        f"{MODULES}/modules.builtin",
        "kernel/drivers/virtio/virtio_pci.ko\nkernel/drivers/block/virtio_blk.ko\nkernel/drivers/scsi/virtio_scsi.ko\n",
    )
    report = verify_directory(tree)
    assert list_problems(report, "virtio-initramfs") == []
    assert list_problems(report, "initramfs-secrets") == []


def test_kernel_configuration_tells_what_is_built_in(tree: Path) -> None:
    """A kernel without any module has no list of built-in ones; its configuration counts then."""
    write(tree, INITRD, make_initrd(without="virtio"))
    write(
        tree,
        f"/boot/config-{KERNEL}",
        "# x\nCONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_BLK=y\nCONFIG_SCSI_VIRTIO=y\n",
    )
    assert list_problems(verify_directory(tree), "virtio-initramfs") == []


def test_most_modules_are_believed_until_a_deep_look(tree: Path) -> None:
    """An initrd made with MODULES=most has every disk driver that its kernel has as a module."""
    write(tree, INITRD, make_initrd({"conf/initramfs.conf": b"MODULES=most\n"}, without="virtio"))
    write(tree, f"{MODULES}/modules.dep", "a/virtio_pci.ko:\na/virtio_blk.ko.xz:\na/virtio_scsi.ko.zst:\n")
    assert list_problems(verify_directory(tree), "virtio-initramfs") == []
    assert list_problems(verify_directory(tree, Policy(deep=True)), "virtio-initramfs") != []


def test_most_modules_of_a_kernel_without_the_driver_do_not_help(tree: Path) -> None:
    """MODULES=most cannot take a driver that the kernel's package does not have."""
    write(tree, INITRD, make_initrd({"conf/initramfs.conf": b"MODULES=most\n"}, without="virtio"))
    write(tree, f"{MODULES}/modules.dep", "a/virtio_pci.ko:\n")
    assert list_problems(verify_directory(tree), "virtio-initramfs") != []


def test_initrd_of_lz4_is_not_observed(tree: Path) -> None:
    """What cannot be unpacked is neither passed nor failed."""
    write(tree, INITRD, b"\x02\x21\x4c\x18" + bytes(400))
    report = verify_directory(tree)
    blind = {each.check: each.reason for each in report.not_observed}
    assert "lz4" in blind["virtio-initramfs"]
    assert "lz4" in blind["initramfs-secrets"]


def test_harmless_members_are_no_secrets(tree: Path) -> None:
    """Locked accounts, public keys, certificates and crypttabs with a passphrase are in stock initrds."""
    write(
        tree,
        INITRD,
        make_initrd(
            {
                "etc/shadow": b"root:*:1::::::\n",
                "etc/passwd": b"root:x:0:0::/root:/bin/sh\n",
                "etc/crypttab": b"root UUID=1 none luks\ns UUID=2 /key:LABEL=usb luks\nr UUID=3 /dev/urandom swap\n",
                "cryptroot/crypttab": b"root UUID=1 root-id luks,keyscript=/bin/decrypt\n",
                "etc/ssl/ca.pem": b"-----BEGIN CERTIFICATE-----\n",
                "etc/keys/x509.key": b"-----BEGIN PUBLIC KEY-----\n",
                "etc/systemd/network/a.netdev": b"[NetDev]\nName=br0\nKind=bridge\n",
                "etc/dropbear/authorized_keys": b"# nobody\n",
                "etc/dropbear/keymap": None,
                "usr/bin/dropbearkey": b"program",
                "usr/share/doc/sample.key": b"text",
            }
        ),
    )
    assert list_problems(verify_directory(tree, Policy(deep=True)), "initramfs-secrets") == []


def test_secrets_are_not_repeated(tree: Path) -> None:
    """Evidence names the account and the method, never the hash."""
    write(tree, INITRD, make_initrd({"etc/shadow": b"root:$6$saltsalt$canarycanarycanary:1::::::\n"}))
    found = list_problems(verify_directory(tree), "initramfs-secrets")
    assert found == ["root: sha512crypt hash"]


def test_other_entries_are_not_the_default_one(tree: Path) -> None:
    """An old kernel's entry may be broken: only what is started by default must be whole."""
    append(tree, GRUB, "menuentry 'old' {\n\tlinux /boot/vmlinuz-5.0 root=UUID=1\n\tinitrd /boot/initrd.img-5.0\n}\n")
    assert list_problems(verify_directory(tree), "kernel-files") == []
    append(tree, GRUB, "set default=1\n")
    assert len(list_problems(verify_directory(tree), "kernel-files")) == 2


def test_console_of_the_default_entry_counts(tree: Path) -> None:
    """A saved entry without the serial port is what clones boot."""
    append(tree, GRUB, f'set default="${{saved_entry}}"\nmenuentry b {{\n\tlinux /boot/vmlinuz-{KERNEL} quiet\n}}\n')
    write(tree, "/boot/grub/grubenv", "saved_entry=b\n")
    assert list_problems(verify_directory(tree), "serial-console") != []


@pytest.mark.parametrize(
    "text",
    [
        "set timeout=5\n",
        'if [ "${recordfail}" = 1 ] ; then\n  set timeout=30\nelse\n  set timeout=0\nfi\n',
        "if [ $grub_platform = efi ]; then\n  set timeout=30\nfi\n",
        "menuentry x {\n  set timeout=-1\n}\n",
        "set timeout=${other}\n",
        "set timeout=-1\nset timeout=0\n",
    ],
)
def test_ordinary_timeouts_pass(tree: Path, text: str) -> None:
    """Debian's five seconds, and waits for boots that failed, are not a menu that waits."""
    append(tree, GRUB, text)
    assert list_problems(verify_directory(tree), "grub-timeout") == []


def test_partition_names_in_grub_need_no_filesystem_id(tree: Path) -> None:
    """Debian's cloud images turn filesystem UUIDs off and partition UUIDs on."""
    write(tree, "/etc/default/grub.d/10_cloud.cfg", "GRUB_DISABLE_LINUX_UUID=true\nGRUB_DISABLE_LINUX_PARTUUID=false\n")
    assert list_problems(verify_directory(tree), "root-device-name") == []


@pytest.mark.parametrize("value", ["none", "auto", "", f"UUID={ROOT_UUID}"])
def test_harmless_resume_settings_pass(tree: Path, disk: Path, tmp_path: Path, value: str) -> None:
    """No resume, a search for one, and a device that exists cost no time."""
    write(tree, "/etc/initramfs-tools/conf.d/resume", f"RESUME={value}\n")
    assert list_problems(judge_root(tree, disk, tmp_path), "resume-device") == []


def test_noresume_ends_the_search(tree: Path, disk: Path, tmp_path: Path) -> None:
    """With noresume nothing is waited for."""
    write(tree, "/etc/initramfs-tools/conf.d/resume", "RESUME=UUID=1234\n")
    append(tree, "/etc/default/grub", 'GRUB_CMDLINE_LINUX_DEFAULT="noresume"\n')
    assert list_problems(judge_root(tree, disk, tmp_path), "resume-device") == []


def test_swap_that_may_be_missing_is_not_missed(tree: Path) -> None:
    """nofail and noauto say that nobody waits."""
    append(tree, "/etc/fstab", "/gone.swap none swap sw,nofail 0 0\n/gone none swap noauto 0 0\n")
    assert list_problems(verify_directory(tree), "swap") == []


def test_devices_file_that_is_not_used_is_harmless(tree: Path) -> None:
    """LVM can be told not to look at its list."""
    write(tree, "/etc/lvm/devices/system.devices", "IDTYPE=x\n")
    write(tree, "/etc/lvm/lvm.conf", "devices {\n\tuse_devicesfile = 0\n}\n")
    assert list_problems(verify_directory(tree), "lvm-devices-file") == []


def test_encryption_with_a_passphrase_has_no_key_beside_it(tree: Path) -> None:
    """crypttab without a key file asks for a passphrase."""
    write(tree, "/etc/crypttab", "data UUID=1 none luks,nofail\nswap /dev/vdb /dev/urandom swap,nofail\n")
    assert list_problems(verify_directory(tree), "luks") == []


def test_disabled_setup_programs_ask_nothing(tree: Path) -> None:
    """An installed unit that nothing starts is no prompt."""
    write(tree, "/usr/lib/systemd/system/initial-setup.service", "[Install]\nWantedBy=multi-user.target\n")
    assert list_problems(verify_directory(tree), "initial-setup") == []


def label(disk: Path, path: str, text: str) -> None:
    """Give a file on the root filesystem its SELinux label."""
    run(["debugfs", "-w", "-R", f"ea_set {path} security.selinux {text}", f"{disk}?offset={ROOT_OFFSET}"])


def make_rocky(tree: Path, mode: str) -> None:
    """Turn the tree into one of a distribution with SELinux."""
    write(tree, "/usr/lib/os-release", 'ID="rocky"\nID_LIKE="rhel centos fedora"\n')
    write(tree, "/etc/selinux/config", f"# comment\nSELINUX={mode}\nSELINUXTYPE=targeted\n")


def test_permissive_selinux_needs_no_labels(tree: Path, disk: Path, tmp_path: Path) -> None:
    """Where SELinux only warns, login works without labels."""
    make_rocky(tree, "permissive")
    assert list_problems(judge_root(tree, disk, tmp_path), "selinux-labels") == []


def test_relabelling_at_boot_makes_the_labels(tree: Path, disk: Path, tmp_path: Path) -> None:
    """/.autorelabel is how an image that was changed offline mends itself."""
    make_rocky(tree, "enforcing")
    write(tree, "/.autorelabel")
    assert list_problems(judge_root(tree, disk, tmp_path), "selinux-labels") == []


def test_labels_on_the_disk_are_read(disk: Path, tree: Path, tmp_path: Path) -> None:
    """Files with their label pass, and a file with the label of none is named."""
    make_rocky(tree, "enforcing")
    judge_root(tree, disk, tmp_path)
    for path in ("/etc/passwd", "/etc/machine-id"):
        label(disk, path, "system_u:object_r:etc_t:s0")
    label(disk, "/etc/shadow", "system_u:object_r:unlabeled_t:s0")
    assert list_problems(verify_disk(disk), "selinux-labels") == ["is labelled system_u:object_r:unlabeled_t:s0"]


def test_bios_boot_partition_with_a_loader_boots(disk: Path) -> None:
    """GRUB's core image in its partition and code in sector 0 are what SeaBIOS needs."""
    behind = ROOT_OFFSET + ROOT_BYTES
    kind = "21686148-6449-6E6F-744E-656564454649"
    partition(disk, [(ESP_OFFSET, ESP_BYTES, "U"), (ROOT_OFFSET, ROOT_BYTES, "L"), (behind, 64 << 10, kind)])
    poke(disk, 0, b"\xeb\x63\x90")
    poke(disk, behind, b"\x52\xbf")
    assert list_problems(verify_disk(disk, Policy(firmware=Firmware.SEABIOS)), "bios-boot") == []


def test_signed_chain_satisfies_secure_boot(disk: Path) -> None:
    """A signed loader alone is enough where there is no second stage, and the miniature kernel is no PE file."""
    assert list_problems(verify_disk(disk, Policy(secure_boot=True)), "secure-boot") == []


def test_features_that_the_tools_know_pass(disk: Path, tree: Path, tmp_path: Path) -> None:
    """Debian 13's mke2fs defaults are read by Debian 12's GRUB 2.06-13 and by e2fsprogs 1.47.0 (both measured)."""
    image = tmp_path / "root.ext4"
    make_root_filesystem(tree, image)
    run(["tune2fs", "-O", "orphan_file,metadata_csum_seed", str(image)])
    splice(disk, ROOT_OFFSET, image)
    assert list_problems(verify_disk(disk), "fs-features") == []


def test_unknown_tools_are_not_guessed_at(disk: Path, tree: Path, tmp_path: Path) -> None:
    """Without a package database the features of Debian 13 cannot be judged."""
    image = tmp_path / "root.ext4"
    remove(tree, "/var/lib/dpkg/status")
    make_root_filesystem(tree, image)
    run(["tune2fs", "-O", "metadata_csum_seed", str(image)])
    splice(disk, ROOT_OFFSET, image)
    assert "fs-features" in {blind.check for blind in verify_disk(disk).not_observed}


def make_mbr_disk(tree: Path, disk: Path, work: Path) -> None:
    """Turn the disk into one with an MBR, whose root is named by the PARTUUID that the kernel makes up."""
    replace(tree, GRUB, f"root=UUID={ROOT_UUID}", "root=PARTUUID=12345678-02")
    make_root_filesystem(tree, work / "root.ext4")
    splice(disk, ROOT_OFFSET, work / "root.ext4")
    last = disk.stat().st_size // 512 - 1
    for sector in (0, 1, last):
        poke(disk, sector * 512, bytes(512))
    lines = ["label: dos", "label-id: 0x12345678"]
    lines += [
        f"start={begin // 512}, size={size // 512}, type={kind}"
        for begin, size, kind in ((ESP_OFFSET, ESP_BYTES, "ef"), (ROOT_OFFSET, ROOT_BYTES, "83"))
    ]
    run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", str(disk)], stdin="\n".join(lines).encode())


def test_partitions_of_an_mbr_can_be_named(tree: Path, disk: Path, tmp_path: Path) -> None:
    """PARTUUID on an MBR is the disk's signature and the partition's number, and its ESP has type 0xEF."""
    make_mbr_disk(tree, disk, tmp_path)
    report = verify_disk(disk)
    assert list_problems(report, "boot-references") == []
    assert list_problems(report, "uefi-fallback") == []
    poke(disk, 440, b"\x79")
    assert list_problems(verify_disk(disk), "boot-references") == ["root= PARTUUID=12345678-02: not on this disk"]


def test_mbr_needs_a_loader_behind_its_boot_code(tree: Path, disk: Path, tmp_path: Path) -> None:
    """Boot code without a core image starts nothing; with one behind sector 0 it does."""
    make_mbr_disk(tree, disk, tmp_path)
    policy = Policy(firmware=Firmware.SEABIOS)
    poke(disk, 0, b"\xeb\x63\x90")
    assert len(list_problems(verify_disk(disk, policy), "bios-boot")) == 1
    poke(disk, 512, b"\x52\xbf")
    assert list_problems(verify_disk(disk, policy), "bios-boot") == []


def test_unified_kernel_image_is_not_observed(tree: Path, disk: Path, tmp_path: Path) -> None:
    """A kernel inside an EFI program needs no boot entry, and is not looked into."""
    remove(tree, GRUB)
    (tmp_path / "uki.efi").write_bytes(b"MZ")
    esp_run(disk, "mmd", "::/EFI/Linux")
    esp_run(disk, "mcopy", str(tmp_path / "uki.efi"), "::/EFI/Linux/debian-6.1.efi")
    report = judge_root(tree, disk, tmp_path)
    assert "unified" in {each.check: each.reason for each in report.not_observed}["kernel-files"]
    esp_run(disk, "mdel", "::/EFI/Linux/debian-6.1.efi")
    assert list_problems(verify_disk(disk), "kernel-files") == ["no boot entry was found"]


def test_specification_entries_are_references(tree: Path, disk: Path, tmp_path: Path) -> None:
    """The options of a Boot Loader Specification entry name filesystems too."""
    write(tree, "/boot/loader/entries/a-6.1.conf", f"title a\nlinux /boot/vmlinuz-{KERNEL}\noptions root=LABEL=gone\n")
    assert list_problems(judge_root(tree, disk, tmp_path), "boot-references") == ["root= LABEL=gone: not on this disk"]
