"""Dirt about loaders, kernels' options, initial RAM disks, and what lies between partitions and filesystems."""

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

from imagekit.host import run
from imagekit.image import Architecture, Firmware
from imagekit.verify import Policy
from tests.verify.clean_tree import (
    ESP_BYTES,
    ESP_OFFSET,
    KERNEL,
    ROOT_BYTES,
    ROOT_OFFSET,
    ROOT_UUID,
    make_loader,
    partition,
)
from tests.verify.dirty.change import (
    FAIL,
    HASH,
    INFO,
    PRIVATE_KEY,
    PUBLIC_KEY,
    SYSTEM,
    WARN,
    Dirt,
    added,
    all_of,
    linked,
    swapped,
    wrote,
)
from tests.verify.dirty.disk import esp_run, poke, put_loader, set_superblock
from tests.verify.initrd import make_initrd

_GRUB = "/boot/grub/grub.cfg"
_INITRD = f"/boot/initrd.img-{KERNEL}"
_DEFAULT = "/etc/default/grub"
_SECURE = Policy(secure_boot=True)
_SEABIOS = Policy(firmware=Firmware.SEABIOS)
_BEHIND = ROOT_OFFSET + ROOT_BYTES
_BEHIND_BYTES = 512 << 10


def held(changes: Mapping[str, bytes | None], *, without: str = "\n") -> Callable[[Path], None]:
    """Return a change that makes the default initrd anew, with members added or left out."""
    return wrote(_INITRD, make_initrd(changes, without=without))


def _secret(name: str, member: str, content: str) -> Dirt:
    return Dirt("initramfs-secrets", name, FAIL, member, held({member: content.encode()}))


DIRT = (
    Dirt("virtio-initramfs", "block", FAIL, "initrd", held({}, without="virtio_blk")),
    Dirt("virtio-initramfs", "scsi", FAIL, "initrd", held({}, without="virtio_scsi")),
    Dirt("virtio-initramfs", "pci", FAIL, "initrd", held({}, without="virtio_pci")),
    Dirt("virtio-initramfs", "none", FAIL, "vmlinuz", swapped(_GRUB, f"\tinitrd\t{_INITRD}\n", "")),
    Dirt(
        "virtio-initramfs",
        "other kernel",
        FAIL,
        "initrd",
        held({"usr/lib/modules/5.0/virtio_pci.ko": b"x"}, without=f"{KERNEL}/kernel/drivers/virtio"),
    ),
    Dirt(
        "virtio-initramfs",
        "deep",
        FAIL,
        "initrd",
        all_of(
            held({"conf/initramfs.conf": b"MODULES=most\n"}, without="virtio"),
            wrote(
                f"/usr/lib/modules/{KERNEL}/modules.dep",
                "kernel/virtio_pci.ko:\nkernel/virtio-blk.ko:\nkernel/virtio_scsi.ko:\n",
            ),
        ),
        Policy(deep=True),
    ),
    _secret("dropbear", "etc/dropbear/dropbear_ed25519_host_key", "canarykeymaterial"),
    _secret("login", "root-x1y2/.ssh/authorized_keys", PUBLIC_KEY),
    _secret("shadow", "etc/shadow", f"root:{HASH}:1::::::\n"),
    _secret("keyfile", "cryptroot/keyfiles/root.key", "canarykeymaterial"),
    _secret("crypttab", "cryptroot/crypttab", "root UUID=1 /cryptroot/keyfiles/root.key luks\n"),
    _secret("preseed", "preseed.cfg", "d-i passwd/root-password password canary\n"),
    _secret("private", "etc/unlock.pem", PRIVATE_KEY),
    _secret("wireguard", "etc/wireguard/wg0.conf", "[Interface]\nPrivateKey = canarykeymaterial=\n"),
    Dirt(
        "initramfs-secrets",
        "behind",
        FAIL,
        "usr/share/unlock.pem",
        held({"usr/share/unlock.pem": PRIVATE_KEY.encode()}),
        Policy(deep=True),
    ),
    Dirt("grub-timeout", "forever", WARN, _GRUB, added(_GRUB, "set timeout=-1\n")),
    Dirt("grub-timeout", "default", WARN, _DEFAULT, swapped(_DEFAULT, "GRUB_TIMEOUT=0", "GRUB_TIMEOUT=-1")),
    Dirt("grub-timeout", "long", INFO, _GRUB, added(_GRUB, "set timeout=30\n")),
    Dirt("grub-timeout", "ubuntu", WARN, _DEFAULT, swapped("/usr/lib/os-release", "ID=debian", "ID=ubuntu")),
    Dirt("root-device-name", "grub", WARN, _GRUB, swapped(_GRUB, f"root=UUID={ROOT_UUID}", "root=/dev/sda2")),
    Dirt("root-device-name", "future", WARN, _DEFAULT, added(_DEFAULT, "GRUB_DISABLE_LINUX_UUID=true\n")),
    Dirt("initial-setup", "marker", FAIL, "/.unconfigured", wrote("/.unconfigured")),
    Dirt("initial-setup", "reconfigure", FAIL, "reconfigSys", wrote("/etc/reconfigSys")),
    Dirt(
        "initial-setup",
        "unit",
        FAIL,
        "initial-setup.service",
        all_of(
            wrote("/usr/lib/systemd/system/initial-setup.service", "[Install]\nWantedBy=multi-user.target\n"),
            linked(
                f"{SYSTEM}/multi-user.target.wants/initial-setup.service",
                "/usr/lib/systemd/system/initial-setup.service",
            ),
        ),
    ),
    Dirt("swap", "file", WARN, "/swapfile", wrote("/swapfile", b"\0" * 64)),
    Dirt("swap", "missing", WARN, "/etc/fstab", added("/etc/fstab", "/var/gone.swap none swap sw 0 0\n")),
    Dirt(
        "lvm-devices-file",
        "root",
        FAIL,
        "system.devices",
        all_of(
            wrote("/etc/lvm/devices/system.devices", "VERSION=1.1.1\nIDTYPE=sys_wwid IDNAME=t10.x DEVNAME=/dev/sda3\n"),
            added(_DEFAULT, 'GRUB_CMDLINE_LINUX_DEFAULT="rd.lvm.lv=rl/root"\n'),
        ),
    ),
    Dirt("lvm-devices-file", "data", WARN, "system.devices", wrote("/etc/lvm/devices/system.devices", "IDTYPE=x\n")),
    Dirt("lvm-md-ids", "records", WARN, "/etc/lvm/archive", wrote("/etc/lvm/archive/vg_00000-1.vg", "x")),
    Dirt("luks", "growpart", FAIL, "keydata", wrote("/cc_growpart_keydata", '{"key": "canary", "slot": 1}')),
    Dirt(
        "luks",
        "key",
        FAIL,
        "data.key",
        all_of(wrote("/etc/data.key", "canary"), wrote("/etc/crypttab", "data UUID=1 /etc/data.key luks,nofail\n")),
    ),
)

ROOT_DIRT = (
    Dirt("boot-references", "volume", FAIL, "cmdline", wrote("/etc/kernel/cmdline", "root=/dev/mapper/vg-root ro\n")),
    Dirt("resume-device", "line", WARN, _DEFAULT, added(_DEFAULT, 'GRUB_CMDLINE_LINUX="resume=UUID=1234"\n')),
    Dirt("resume-device", "file", WARN, "resume", wrote("/etc/initramfs-tools/conf.d/resume", "RESUME=UUID=1234\n")),
    Dirt("resume-device", "name", WARN, "resume", wrote("/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/sda5\n")),
    Dirt(
        "resume-device",
        "volume",
        WARN,
        "resume",
        wrote("/etc/initramfs-tools/conf.d/resume", "RESUME=/dev/mapper/a-b\n"),
    ),
    Dirt("resume-device", "initrd", WARN, "initrd", held({"conf/conf.d/resume": b"RESUME=UUID=1234\n"})),
    Dirt("swap", "uuid", WARN, "/etc/fstab", added("/etc/fstab", "UUID=1234 none swap sw 0 0\n")),
    Dirt(
        "fs-features",
        "old e2fsck",
        WARN,
        "partition 2",
        all_of(
            swapped("/var/lib/dpkg/status", "1.47.0-2+b2", "1.42.9-3"),
        ),
    ),
    Dirt(
        "fs-features",
        "old grub",
        WARN,
        "partition 2",
        swapped("/var/lib/dpkg/status", "2.06-13+deb12u2", "2.06-3~deb11u6"),
    ),
    Dirt("fs-free-space", "root", WARN, "partition 2", wrote("/opt/ballast", os.urandom(ROOT_BYTES * 6 // 10))),
    Dirt(
        "gpt-guids",
        "fstab",
        INFO,
        "fstab",
        added("/etc/fstab", "PARTUUID=0fc63daf-8483-4772-8e79-3d69d8477de4 /data ext4 nofail 0 2\n"),
    ),
    Dirt(
        "lvm-md-ids",
        "array",
        WARN,
        "mdadm.conf",
        wrote("/etc/mdadm/mdadm.conf", "ARRAY /dev/md/0 metadata=1.2 UUID=01234567:89abcdef:01234567:89abcdef\n"),
    ),
    Dirt(
        "selinux-labels",
        "missing",
        FAIL,
        "/etc/shadow",
        all_of(
            wrote("/usr/lib/os-release", 'ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n'),
            wrote("/etc/selinux/config", "SELINUX=enforcing\nSELINUXTYPE=targeted\n"),
        ),
    ),
)


def put_behind(content: bytes = b"", kind: str = "L") -> Callable[[Path], None]:
    """Return a change that adds a third partition between ESP and root's end, in front of nothing else."""

    def change(disk: Path) -> None:
        partition(
            disk,
            [(ESP_OFFSET, ESP_BYTES, "U"), (ROOT_OFFSET, ROOT_BYTES, "L"), (_BEHIND, _BEHIND_BYTES, kind)],
        )
        poke(disk, _BEHIND, content)

    return change


def make_swap(disk: Path) -> None:
    """Add a swap partition as mkswap makes it."""
    put_behind(bytes(1024) + struct.pack("<II", 1, 127) + bytes(3054) + b"SWAPSPACE2", "S")(disk)


def use_swap(disk: Path) -> None:
    """Add a swap partition that was used."""
    make_swap(disk)
    poke(disk, _BEHIND + 8192, b"canary memory")


def make_array_member(disk: Path) -> None:
    """Add a part of a software RAID, superblock version 1.2."""
    put_behind(bytes(4096) + struct.pack("<II8x", 0xA92B4EFC, 1) + bytes(range(16)), "R")(disk)


def make_twin(disk: Path) -> None:
    """Add a filesystem with the root's UUID."""
    put_behind()(disk)
    small = disk.with_name("twin.ext4")
    small.write_bytes(bytes(_BEHIND_BYTES))
    run(["mke2fs", "-q", "-t", "ext2", "-b", "1024", "-U", ROOT_UUID, os.fspath(small)])
    poke(disk, _BEHIND, small.read_bytes())


def label_both(disk: Path) -> None:
    """Give the root and another filesystem one label, and let the ESP's stub search for it."""
    put_behind()(disk)
    small = disk.with_name("twin.ext4")
    small.write_bytes(bytes(_BEHIND_BYTES))
    run(["mke2fs", "-q", "-t", "ext2", "-b", "1024", "-L", "root", os.fspath(small)])
    poke(disk, _BEHIND, small.read_bytes())
    stub = disk.with_name("stub.cfg")
    stub.write_text("search.fs_label root root\n", encoding="utf-8")
    esp_run(disk, "mcopy", "-o", os.fspath(stub), "::/EFI/debian/grub.cfg")


def add_unsigned_second_stage(disk: Path) -> None:
    """Put a loader without signature beside the signed one."""
    loader = disk.with_name("grub.efi")
    loader.write_bytes(make_loader(signed=False))
    esp_run(disk, "mcopy", "-o", os.fspath(loader), "::/EFI/BOOT/grubx64.efi")


def add_boot_code(disk: Path) -> None:
    """Put a program into sector 0."""
    poke(disk, 0, b"\xeb\x63\x90")


def add_empty_bios_boot(disk: Path) -> None:
    """Add boot code and a BIOS boot partition without GRUB's core image."""
    put_behind(kind="21686148-6449-6E6F-744E-656564454649")(disk)
    add_boot_code(disk)


def write_loader_settings(disk: Path) -> None:
    """Write systemd-boot's settings: a menu that waits."""
    settings = disk.with_name("loader.conf")
    settings.write_text("timeout menu-force\n", encoding="utf-8")
    esp_run(disk, "mmd", "::/loader")
    esp_run(disk, "mcopy", os.fspath(settings), "::/loader/loader.conf")


DISK_DIRT = (
    Dirt("uefi-fallback", "arm64", FAIL, "BOOTAA64", lambda _: None, Policy(architecture=Architecture.ARM64)),
    Dirt("secure-boot", "unsigned", INFO, "BOOTX64", put_loader(make_loader(signed=False))),
    Dirt("secure-boot", "wanted", FAIL, "BOOTX64", put_loader(make_loader(signed=False)), _SECURE),
    Dirt("secure-boot", "second", FAIL, "grubx64", add_unsigned_second_stage, _SECURE),
    Dirt(
        "secure-boot",
        "seabios",
        FAIL,
        "partition table",
        lambda _: None,
        Policy(firmware=Firmware.SEABIOS, secure_boot=True),
    ),
    Dirt("bios-boot", "sector", FAIL, "sector 0", lambda _: None, _SEABIOS),
    Dirt("bios-boot", "partition", FAIL, "partition table", add_boot_code, _SEABIOS),
    Dirt("bios-boot", "core", FAIL, "partition 3", add_empty_bios_boot, _SEABIOS),
    Dirt("grub-timeout", "systemd-boot", WARN, "loader.conf", write_loader_settings),
    Dirt("swap", "partition", INFO, "partition 3", make_swap),
    Dirt("swap", "used", WARN, "partition 3", use_swap),
    Dirt("lvm-md-ids", "array part", INFO, "partition 3", make_array_member),
    Dirt("lvm-md-ids", "volume", INFO, "partition 3", put_behind(bytes(512) + b"LABELONE")),
    Dirt("luks", "header", WARN, "partition 3", put_behind(b"LUKS\xba\xbe\0\2")),
    Dirt("fs-uuid-duplicate", "uuid", FAIL, "partition 3", make_twin),
    Dirt("fs-uuid-duplicate", "label", FAIL, "partition 3", label_both),
    Dirt("fs-free-space", "inodes", WARN, "partition 2", set_superblock("free_inodes_count", "1")),
    Dirt("fs-features", "grub never", WARN, "partition 2", set_superblock("feature_incompat", "0x82c2")),
    Dirt("fs-clean", "counted", FAIL, "partition 2", set_superblock("error_count", "3")),
    Dirt("fs-clean", "orphans", WARN, "partition 2", set_superblock("last_orphan", "12")),
    Dirt("fs-clean", "fat", WARN, "partition 1", lambda disk: poke(disk, ESP_OFFSET + 37, b"\x01")),
)

KIN = {
    "secure-boot": {"bios-boot"},
    "bios-boot": {"disk-growth"},
    "swap": {"disk-growth"},
    "lvm-md-ids": {"disk-growth"},
    "luks": {"disk-growth"},
    "fs-uuid-duplicate": {"disk-growth"},
    "uefi-fallback": {"serial-console"},
    "virtio-initramfs": {"kernel-files"},
    "boot-references": {"gpt-guids"},
    "disk-growth": {"cloud-init-modules"},
    "grub-timeout": {"cloud-init-version"},
    "selinux-labels": {"cloud-init-version"},
}
