"""A clean Debian 12 cloud template in miniature: the tree that every check must pass, and a disk made from it."""

import os
import struct
from pathlib import Path

from imagekit.host import run
from tests.verify import initrd

ROOT_UUID = "6f0e0c6a-8d0b-4b57-9d39-0b4d6a4c5f01"
ESP_SERIAL = "1BAD-F00D"
KERNEL = initrd.KERNEL
MIB = 1 << 20
ESP_OFFSET, ESP_BYTES = 1 * MIB, 2 * MIB
ROOT_OFFSET, ROOT_BYTES = 3 * MIB, 8 * MIB
DISK_BYTES = 12 * MIB

_UNIT = "[Unit]\nDescription={0}\n[Service]\nExecStart=/usr/bin/true\n[Install]\nWantedBy={1}\n"
_UNITS = "/usr/lib/systemd/system"

FILES: dict[str, str | bytes] = {
    "/usr/lib/os-release": 'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
    "/etc/machine-id": "",
    "/etc/hostname": "localhost\n",
    "/etc/default/locale": "LANG=C.UTF-8\n",
    "/etc/fstab": (
        f"# comment\nUUID={ROOT_UUID} / ext4 rw,discard 0 1\nUUID={ESP_SERIAL} /boot/efi vfat umask=0077 0 2\n"
        "tmpfs /tmp tmpfs defaults 0 0\n"
    ),
    "/etc/passwd": (
        "root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin\n"
        "sync:x:4:65534:sync:/bin:/bin/sync\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        "sshd:x:101:65534::/run/sshd:/usr/sbin/nologin\n"
    ),
    "/etc/shadow": "root:*:19500:0:99999:7:::\ndaemon:*:1::::::\nsync:*:1::::::\nnobody:*:1::::::\nsshd:!:1::::::\n",
    "/etc/shadow-": "root:*:19500:0:99999:7:::\n",
    "/etc/group": "root:x:0:\nsudo:x:27:\nnogroup:x:65534:\n",
    "/etc/gshadow": "root:*::\nsudo:*::\n",
    "/root/.bashrc": "# nothing\n",
    "/etc/sudoers": "Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n%sudo ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n",
    "/etc/sudoers.d/README": "# files without a dot are read\n",
    "/etc/ssh/sshd_config": (
        "Include /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\nUsePAM yes\n"
        "Subsystem\tsftp\t/usr/lib/openssh/sftp-server\n"
    ),
    "/etc/ssh/sshd_config.d/00-policy.conf": "PasswordAuthentication no\nPermitRootLogin no\n",
    "/usr/sbin/sshd": "program",
    "/usr/bin/cloud-init": "program",
    "/usr/lib/python3/dist-packages/yaml/__init__.py": "",
    "/usr/lib/cloud-init/ds-identify": "program",
    "/usr/lib/systemd/system-generators/cloud-init-generator": "program",
    "/etc/cloud/cloud.cfg": (
        "users:\n  - default\ndisable_root: true\npreserve_hostname: false\n"
        "cloud_init_modules:\n  - growpart\n  - resizefs\n  - set_hostname\n  - users-groups\n  - ssh\n"
        "cloud_config_modules:\n  - set-passwords\ncloud_final_modules:\n  - scripts-user\n"
        "system_info:\n  distro: debian\n  default_user:\n    name: debian\n    lock_passwd: true\n"
        "    sudo: ['ALL=(ALL) NOPASSWD:ALL']\n"
    ),
    "/etc/cloud/cloud.cfg.d/90_dpkg.cfg": "datasource_list: [ NoCloud, ConfigDrive, None ]\n",
    "/etc/cloud/cloud.cfg.d/README": "only *.cfg\n",
    "/etc/cloud/build.info": "build_name: template\n",
    "/usr/bin/growpart": "program",
    "/usr/sbin/sfdisk": "program",
    "/usr/sbin/qemu-ga": "program",
    f"{_UNITS}/qemu-guest-agent.service": "[Service]\nExecStart=/usr/sbin/qemu-ga\n[Install]\n",
    "/usr/lib/udev/rules.d/60-qemu-guest-agent.rules": (
        'SUBSYSTEM=="virtio-ports", ATTR{name}=="org.qemu.guest_agent.0", TAG+="systemd", '
        'ENV{SYSTEMD_WANTS}="qemu-guest-agent.service"\n'
    ),
    f"{_UNITS}/ssh.service": _UNIT.format("ssh", "multi-user.target"),
    f"{_UNITS}/systemd-networkd.service": _UNIT.format("networkd", "multi-user.target"),
    f"{_UNITS}/systemd-timesyncd.service": _UNIT.format("timesyncd", "sysinit.target"),
    **{
        f"{_UNITS}/{name}.timer": f"[Timer]\nUnit={name}.service\n[Install]\nWantedBy=timers.target\n"
        for name in ("apt-daily", "apt-daily-upgrade")
    },
    "/usr/bin/unattended-upgrade": "program",
    "/etc/apt/apt.conf.d/20auto-upgrades": (
        'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n'
    ),
    f"{_UNITS}/systemd-firstboot.service": "[Service]\nExecStart=systemd-firstboot --prompt-locale --prompt-timezone\n",
    f"{_UNITS}/getty@.service": "[Service]\nExecStart=-/sbin/agetty -o '-p -- \\u' --noclear - $TERM\n",
    f"{_UNITS}/cloud-init.target": "[Unit]\nDescription=target\n",
    **{
        f"{_UNITS}/{name}.service": _UNIT.format(name, "cloud-init.target")
        for name in ("cloud-init-local", "cloud-init", "cloud-config", "cloud-final")
    },
    "/etc/systemd/network/80-dhcp.network": "[Match]\nName=en* eth*\n[Network]\nDHCP=yes\n",
    "/etc/apt/sources.list": (
        "deb http://deb.debian.example/debian bookworm main\n"
        "deb http://security.debian.example/debian-security bookworm-security main\n"
    ),
    "/etc/apt/apt.conf.d/70debconf": 'DPkg::Pre-Install-Pkgs {"/usr/sbin/dpkg-preconfigure --apt || true";};\n',
    "/var/lib/apt/lists/lock": "",
    "/var/lib/dpkg/status": (
        "Package: base-files\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.4\n\n"
        "Package: cloud-init\nStatus: install ok installed\nArchitecture: all\nVersion: 22.4.2-1+deb12u3\n\n"
        "Package: e2fsprogs\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.47.0-2+b2\n\n"
        "Package: grub-common\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.06-13+deb12u2\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n"
    ),
    "/var/log/wtmp": "",
    "/var/log/btmp": "",
    "/boot/grub/grub.cfg": (
        "if [ x$feature_platform_search_hint = xy ]; then\n"
        f"  search --no-floppy --fs-uuid --set=root --hint-bios=hd0,gpt2 {ROOT_UUID}\nfi\n"
        "menuentry 'Debian' {\n"
        f"\tlinux\t/boot/vmlinuz-{KERNEL} root=UUID={ROOT_UUID} ro console=tty0 console=ttyS0,115200\n"
        f"\tinitrd\t/boot/initrd.img-{KERNEL}\n}}\n"
    ),
    "/etc/default/grub": 'GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"\nGRUB_TIMEOUT=0\n',
    f"/boot/vmlinuz-{KERNEL}": "kernel",
    f"/boot/initrd.img-{KERNEL}": initrd.make_initrd(),
    f"/usr/lib/modules/{KERNEL}/modules.dep": "",
}

MODES = {"/etc/shadow": 0o640, "/etc/shadow-": 0o640, "/etc/gshadow": 0o640, "/etc/ssl/private": 0o700, "/root": 0o700}

DIRECTORIES = (
    "/tmp", "/var/tmp", "/home", "/opt", "/srv", "/boot/efi", "/var/lib/cloud/scripts/vendor", "/etc/sudoers.d",
    "/etc/netplan", "/var/lib/dpkg/updates", "/etc/ssl/private", "/var/lib/apt/lists/partial",
)  # fmt: skip

LINKS = {
    "/bin": "usr/bin",
    "/sbin": "usr/sbin",
    "/lib": "usr/lib",
    "/etc/os-release": "../usr/lib/os-release",
    "/etc/localtime": "/usr/share/zoneinfo/Etc/UTC",
    "/etc/resolv.conf": "../run/systemd/resolve/stub-resolv.conf",
    "/var/lib/dbus/machine-id": "/etc/machine-id",
    "/var/run": "/run",
    "/etc/systemd/system/sshd.service": "/lib/systemd/system/ssh.service",
    "/etc/systemd/system/multi-user.target.wants/ssh.service": "/lib/systemd/system/ssh.service",
    "/etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service": f"{_UNITS}/systemd-timesyncd.service",
    **{
        f"/etc/systemd/system/timers.target.wants/{name}.timer": f"{_UNITS}/{name}.timer"
        for name in ("apt-daily", "apt-daily-upgrade")
    },
    "/etc/systemd/system/multi-user.target.wants/systemd-networkd.service": f"{_UNITS}/systemd-networkd.service",
    **{
        f"/etc/systemd/system/cloud-init.target.wants/{name}.service": f"/lib/systemd/system/{name}.service"
        for name in ("cloud-init-local", "cloud-init", "cloud-config", "cloud-final")
    },
}


def write(root: Path, path: str, content: str | bytes = "") -> None:
    """Write one file of the tree, its directories too."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogateescape"))


def link(root: Path, path: str, target: str) -> None:
    """Make a symbolic link in the tree in place of whatever is there."""
    place = root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def append(root: Path, path: str, text: str) -> None:
    """Add text to the end of a file of the tree."""
    with (root / path.lstrip("/")).open("a", encoding="utf-8") as file:
        file.write(text)


def replace(root: Path, path: str, old: str, new: str) -> None:
    """Replace text in a file of the tree; the text must be there."""
    place = root / path.lstrip("/")
    content = place.read_text(encoding="utf-8")
    assert old in content
    place.write_text(content.replace(old, new), encoding="utf-8")


def remove(root: Path, path: str) -> None:
    """Remove a file of the tree; it must be there."""
    (root / path.lstrip("/")).unlink()


def make_tree(root: Path) -> Path:
    """Write the clean tree under ``root``."""
    for path in DIRECTORIES:
        (root / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
    for path, content in FILES.items():
        write(root, path, content)
    for path, target in LINKS.items():
        link(root, path, target)
    for path, mode in MODES.items():
        (root / path.lstrip("/")).chmod(mode)
    return root


def make_loader(machine: int = 0x8664, subsystem: int = 10, *, signed: bool = True) -> bytes:
    """Return the head of a PE32+ program, as far as firmware's first look at it goes; its signature is an empty one."""
    head = bytearray(512)
    head[:2] = b"MZ"
    struct.pack_into("<I", head, 0x3C, 0x80)
    head[0x80:0x84] = b"PE\0\0"
    struct.pack_into("<H", head, 0x84, machine)
    struct.pack_into("<H", head, 0x80 + 24, 0x20B)
    struct.pack_into("<H", head, 0x80 + 24 + 68, subsystem)
    struct.pack_into("<I", head, 0x80 + 24 + 108, 16)  # data directories; the fifth is of certificates
    struct.pack_into("<II", head, 0x80 + 24 + 112 + 8 * 4, 504 if signed else 0, 8 if signed else 0)
    return bytes(head)


def make_root_filesystem(tree: Path, image: Path) -> None:
    """Make the root's ext4 from a directory."""
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(ROOT_BYTES)
    run(
        [
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-b",
            "1024",
            "-L",
            "root",
            "-U",
            ROOT_UUID,
            "-d",
            os.fspath(tree),
            os.fspath(image),
        ]
    )


def make_disk(tree: Path, disk: Path, work: Path) -> None:
    """Make a GPT disk with an ESP and the tree as its ext4 root, without root's rights."""
    root, esp, loader, stub = (work / name for name in ("root.ext4", "esp.fat", "loader.efi", "stub.cfg"))
    make_root_filesystem(tree, root)
    with esp.open("wb") as file:
        file.truncate(ESP_BYTES)
    loader.write_bytes(make_loader())
    stub.write_text(f"search.fs_uuid {ROOT_UUID} root\nset prefix=($root)/boot/grub\n", encoding="utf-8")
    sectors = str(ESP_BYTES // 512)
    run(
        [
            "mformat",
            "-i",
            os.fspath(esp),
            "-T",
            sectors,
            "-h",
            "16",
            "-s",
            "32",
            "-N",
            ESP_SERIAL.replace("-", ""),
            "::",
        ]
    )
    run(["mmd", "-i", os.fspath(esp), "::/EFI", "::/EFI/BOOT", "::/EFI/debian"])
    run(["mcopy", "-i", os.fspath(esp), os.fspath(loader), "::/EFI/BOOT/BOOTX64.EFI"])
    run(["mcopy", "-i", os.fspath(esp), os.fspath(stub), "::/EFI/debian/grub.cfg"])
    partition(disk, [(ESP_OFFSET, ESP_BYTES, "U"), (ROOT_OFFSET, ROOT_BYTES, "L")])
    splice(disk, ESP_OFFSET, esp)
    splice(disk, ROOT_OFFSET, root)


def partition(disk: Path, places: list[tuple[int, int, str]], size: int = DISK_BYTES) -> None:
    """Write a partition table: offset and size in bytes, and sfdisk's one-letter type, for each partition."""
    with disk.open("ab") as file:
        file.truncate(size)
    lines = [
        "label: gpt",
        *(f"start={offset // 512}, size={size // 512}, type={kind}" for offset, size, kind in places),
    ]
    run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", os.fspath(disk)], stdin="\n".join(lines).encode())


def splice(disk: Path, offset: int, part: Path) -> None:
    """Copy a filesystem into the disk."""
    with disk.open("r+b") as file:
        file.seek(offset)
        file.write(part.read_bytes())
