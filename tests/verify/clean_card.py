"""A clean NixOS card in miniature, never started: its root's tree, and a disk as nixpkgs' sd-image.nix makes one."""

import hashlib
import json
import os
from pathlib import Path

from imagekit.host import run
from tests.verify.clean_tree import link, splice, write

MIB = 1 << 20
DISK_ID, FAT_SERIAL, ROOT_UUID = "5d0c1a2b", "5D0C-1A2B", "0f3f0e52-6c5d-4a0e-9a2e-7c1d5b9c4e11"
FIRMWARE_OFFSET, FIRMWARE_BYTES = 1 * MIB, 2 * MIB
ROOT_OFFSET, ROOT_BYTES = 3 * MIB, 6 * MIB
DISK_BYTES = ROOT_OFFSET + ROOT_BYTES
EXTLINUX = "/boot/extlinux/extlinux.conf"
REGISTRATION = "/nix-path-registration"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG93bmVyb3duZXJvd25lcm93bmVyb3duZXJvd25lcjE0 ops@example\n"
_BASE32 = "0123456789abcdfghijklmnpqrsvwxyz"


def store(name: str) -> str:
    """Return a store path with this name."""
    digest = hashlib.sha256(name.encode()).digest()
    return f"/nix/store/{''.join(_BASE32[byte % 32] for byte in digest)}-{name}"


KERNEL, INITRD = store("linux-6.12.40"), store("initrd-linux-6.12.40")
SYSTEM, ETC, UNITS = store("nixos-system-pihole-26.05"), store("etc"), store("system-units")
LOCAL_COMMANDS, ACCOUNTS = store("local-cmds"), store("users-groups.json")
NETWORKS, START = store("unit-20-wired.network"), store("unit-script-docker-pihole-start")
SSHD_CONFIG, KEYS = store("sshd.conf-final"), store("ops-authorized_keys")
PIHOLE_ENV, OPENSSL, FSTAB = store("pihole.env"), store("openssl-3.5.1"), store("etc-fstab")
SSHD_UNIT, NETWORKD_UNIT, PIHOLE_UNIT, GETTY_UNIT = (
    store(f"unit-{name}") for name in ("sshd.service", "systemd-networkd.service", "docker-pihole.service", "getty")
)
_EXTRA = f"{KERNEL}/Image", f"{INITRD}/initrd"


def account(name: str, **values: object) -> dict[str, object]:
    """Return an account as users-groups.json has it."""
    unset = dict.fromkeys(
        ("password", "hashedPassword", "hashedPasswordFile", "initialPassword", "initialHashedPassword")
    )
    shell = "/run/current-system/sw/bin/bash"
    return {"name": name, "uid": None, "home": f"/home/{name}", "shell": shell, **unset, **values}


NO_SHELL = {"shell": "/run/current-system/sw/bin/nologin"}
USERS: tuple[dict[str, object], ...] = (
    account("root", uid=0, home="/root", hashedPassword="!"),
    account("ops", uid=1000, hashedPasswordFile="/var/lib/secrets/ops"),
    account("sshd", home="/var/empty", **NO_SHELL),
)


def write_accounts(*users: dict[str, object]) -> str:
    """Return users-groups.json with these accounts."""
    return json.dumps({"mutableUsers": False, "users": users, "groups": []})


FILES: dict[str, str | bytes] = {
    EXTLINUX: (
        "# Generated file, all changes will be lost on nixos-rebuild!\nDEFAULT nixos-default\n\nMENU TITLE ---\n"
        "TIMEOUT 30\n\nLABEL nixos-default\n  MENU LABEL NixOS - Default\n  LINUX ../nixos/kernel-Image\n"
        f"  INITRD ../nixos/initrd\n  APPEND init={SYSTEM}/init loglevel=7\n  FDTDIR ../nixos/dtbs\n"
    ),
    "/boot/nixos/kernel-Image": "kernel",
    "/boot/nixos/initrd": "initrd",
    "/boot/nixos/dtbs/broadcom/bcm2711-rpi-4-b.dtb": "tree",
    f"{KERNEL}/Image": "kernel",
    f"{INITRD}/initrd": "initrd",
    f"{SYSTEM}/init": f"#!/bin/sh\n/bin/sh {LOCAL_COMMANDS}\nexec systemd\n",
    f"{SYSTEM}/activate": f"#!/bin/sh\nperl -w update-users-groups.pl {ACCOUNTS}\n",
    f"{SYSTEM}/kernel-params": "loglevel=7",
    LOCAL_COMMANDS: f"if [ -f {REGISTRATION} ]; then\n  resize2fs $rootPart\n  rm -f {REGISTRATION}\nfi\n",
    ACCOUNTS: write_accounts(*USERS),
    SSHD_CONFIG: (
        "UsePAM yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
        "AuthorizedKeysFile %h/.ssh/authorized_keys /etc/ssh/authorized_keys.d/%u\n"
    ),
    KEYS: KEY,
    f"{ETC}/etc/hostname": "pihole\n",
    FSTAB: (
        "/dev/disk/by-label/NIXOS_SD / ext4 x-initrd.mount 0 1\n"
        "/dev/disk/by-label/FIRMWARE /boot/firmware vfat nofail,noauto 0 2\n"
    ),
    f"{NETWORKS}/20-wired.network": "[Match]\nType=ether\n[Network]\nAddress=192.168.0.53/24\nGateway=192.168.0.1\n",
    f"{SSHD_UNIT}/sshd.service": "[Service]\nExecStart=sshd -D -f /etc/ssh/sshd_config\n",
    f"{NETWORKD_UNIT}/systemd-networkd.service": "[Service]\nExecStart=systemd-networkd\n",
    f"{PIHOLE_UNIT}/docker-pihole.service": (
        f'[Service]\nEnvironment="WEBPASSWORD_FILE=/run/secrets/web"\nEnvironment="API_TOKEN=/run/secrets/token"\n'
        f"ExecStart={START}/bin/docker-pihole-start\n"
    ),
    f"{GETTY_UNIT}/getty@.service": "[Service]\nExecStart=-agetty --noclear %I\n",
    f"{START}/bin/docker-pihole-start": (
        "#!/bin/sh\nexec docker run --name=pihole --env-file /run/secrets/pihole.env -e FTLCONF_dns_port=53 \\\n"
        "  -e FTLCONF_webserver_api_password=$PASSWORD -e WEBPASSWORD_FILE=/run/secrets/web pihole/pihole\n"
    ),
    PIHOLE_ENV: "FTLCONF_webserver_api_password=\nTZ=Etc/UTC\n",
    f"{OPENSSL}/lib/libssl.so": b"\x7fELF\0library",
    f"{OPENSSL}/share/doc/openssl/example.conf": "psk=\"an example\"\nWEBPASSWORD=example\n",
}  # fmt: skip
LINKS = {
    f"{SYSTEM}/etc": f"{ETC}/etc",
    f"{SYSTEM}/kernel": f"{KERNEL}/Image",
    f"{SYSTEM}/initrd": f"{INITRD}/initrd",
    f"{ETC}/etc/fstab": FSTAB,
    f"{ETC}/etc/ssh/sshd_config": SSHD_CONFIG,
    f"{ETC}/etc/ssh/authorized_keys.d/ops": KEYS,
    f"{ETC}/etc/systemd/system": UNITS,
    f"{ETC}/etc/systemd/network/20-wired.network": f"{NETWORKS}/20-wired.network",
    f"{UNITS}/sshd.service": f"{SSHD_UNIT}/sshd.service",
    f"{UNITS}/systemd-networkd.service": f"{NETWORKD_UNIT}/systemd-networkd.service",
    f"{UNITS}/docker-pihole.service": f"{PIHOLE_UNIT}/docker-pihole.service",
    f"{UNITS}/getty@.service": f"{GETTY_UNIT}/getty@.service",
    f"{UNITS}/multi-user.target.wants/sshd.service": "../sshd.service",
    f"{UNITS}/multi-user.target.wants/systemd-networkd.service": "../systemd-networkd.service",
    f"{UNITS}/multi-user.target.wants/docker-pihole.service": "../docker-pihole.service",
}
CONFIG = (
    "[pi3]\nkernel=u-boot-rpi3.bin\n\n[pi02]\nkernel=u-boot-rpi3.bin\n\n[pi4]\nkernel=u-boot-rpi4.bin\nenable_gic=1\n"
    "armstub=armstub8-gic.bin\n\n[all]\n# Boot in 64-bit mode.\narm_64bit=1\nenable_uart=1\navoid_warnings=1\n"
)
FIRMWARE = {
    "config.txt": CONFIG,
    **dict.fromkeys(
        ("bootcode.bin", "start.elf", "start4.elf", "fixup.dat", "fixup4.dat", "u-boot-rpi3.bin", "u-boot-rpi4.bin",
         "armstub8-gic.bin", "bcm2711-rpi-4-b.dtb"),
        "program",
    ),
}  # fmt: skip


def make_card_tree(root: Path) -> Path:
    """Write the root's tree: a store, what is registered in it, and ``/boot``; no ``/etc``."""
    for path, content in FILES.items():
        write(root, path, content)
    for path, target in LINKS.items():
        link(root, path, target)
    paths = sorted({f"/nix/store/{place.name}" for place in (root / "nix/store").iterdir()})
    lines = [line for path in paths for line in (path, "0" * 64, "4096", "", "1", path)]
    write(root, REGISTRATION, "".join(f"{line}\n" for line in lines))
    return root


def make_card_root(tree: Path, image: Path) -> None:
    """Make the root's ext4 from a directory; whatever made it, root owns its files."""
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(ROOT_BYTES)
    options = ["-b", "1024", "-L", "NIXOS_SD", "-U", ROOT_UUID, "-d", os.fspath(tree)]
    run(["mke2fs", "-q", "-t", "ext4", *options, os.fspath(image)])


def make_card(tree: Path, disk: Path, work: Path) -> None:
    """Make the card's image without root's rights: an MBR, the firmware's FAT, the tree as its ext4 root."""
    root, fat, files = work / "card.ext4", work / "card.fat", work / "firmware"
    make_card_root(tree, root)
    files.mkdir(exist_ok=True)
    for name, content in FIRMWARE.items():
        (files / name).write_text(content, encoding="utf-8")
    with fat.open("wb") as file:
        file.truncate(FIRMWARE_BYTES)
    shape = ["-T", str(FIRMWARE_BYTES // 512), "-h", "16", "-s", "32", "-N", FAT_SERIAL.replace("-", "")]
    run(["mformat", "-i", os.fspath(fat), *shape, "-v", "FIRMWARE", "::"])
    run(["mcopy", "-i", os.fspath(fat), *(os.fspath(files / name) for name in FIRMWARE), "::"])
    partition_card(disk)
    splice(disk, FIRMWARE_OFFSET, fat)
    splice(disk, ROOT_OFFSET, root)


def partition_card(disk: Path, firmware: str = "type=b", root: str = "type=83, bootable", *more: str) -> None:
    """Write the MBR: what sfdisk is to be told about the two partitions, and lines for others."""
    with disk.open("ab") as file:
        file.truncate(max(DISK_BYTES, disk.stat().st_size))
    lines = [
        "label: dos",
        f"label-id: 0x{DISK_ID}",
        f"start={FIRMWARE_OFFSET // 512}, size={FIRMWARE_BYTES // 512}, {firmware}",
        f"start={ROOT_OFFSET // 512}, size={ROOT_BYTES // 512}, {root}",
        *more,
    ]
    run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", os.fspath(disk)], stdin="\n".join(lines).encode())
