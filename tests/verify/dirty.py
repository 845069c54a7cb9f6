"""For every check, what makes a clean template dirty: a change to the tree, or to the disk made from it."""

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagekit.host import run
from imagekit.report import Severity
from tests.verify.clean_tree import (
    ESP_BYTES,
    ESP_OFFSET,
    KERNEL,
    ROOT_BYTES,
    ROOT_OFFSET,
    ROOT_UUID,
    append,
    link,
    make_loader,
    partition,
    remove,
    replace,
    write,
)

FAIL, WARN, INFO = Severity.FAIL, Severity.WARN, Severity.INFO
HASH = "$6$Zq3canarysalt$" + "CanaryHash0123456789" * 4
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\ncanarykeymaterial\n-----END OPENSSH PRIVATE KEY-----\n"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1aWxkZXJidWlsZGVyYnVpbGRlcmJ1aWxkZXIx packer_1234\n"
MACHINE_ID = "0123456789abcdef0123456789abcdef\n"
SYSTEM = "/etc/systemd/system"
CFG = "/etc/cloud/cloud.cfg.d"


@dataclass(frozen=True)
class Dirt:
    """A change that must make ``check`` report something of ``severity`` whose path contains ``path``."""

    check: str
    name: str
    severity: Severity
    path: str
    change: Callable[[Path], None]

    def __str__(self) -> str:
        return f"{self.check}-{self.name}"


def wrote(path: str, content: str | bytes = "") -> Callable[[Path], None]:
    """Return a change that writes one file."""
    return lambda root: write(root, path, content)


def added(path: str, text: str) -> Callable[[Path], None]:
    """Return a change that adds text to a file."""
    return lambda root: append(root, path, text)


def swapped(path: str, old: str, new: str) -> Callable[[Path], None]:
    """Return a change that replaces text in a file."""
    return lambda root: replace(root, path, old, new)


def linked(path: str, target: str) -> Callable[[Path], None]:
    """Return a change that makes a link."""
    return lambda root: link(root, path, target)


def removed(path: str) -> Callable[[Path], None]:
    """Return a change that removes a file."""
    return lambda root: remove(root, path)


def all_of(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a change that makes several."""

    def change(root: Path) -> None:
        for each in changes:
            each(root)

    return change


UNINITIALIZED = wrote("/etc/machine-id", "uninitialized\n")
CLOUD_INIT_OFF = wrote("/etc/cloud/cloud-init.disabled")
PACKER = "packer:x:1000:1000:,,,:/home/packer:/bin/bash\n"

TREE_DIRT = (
    Dirt("machine-id", "valid", FAIL, "/etc/machine-id", wrote("/etc/machine-id", MACHINE_ID)),
    Dirt("machine-id", "zeros", FAIL, "/etc/machine-id", wrote("/etc/machine-id", "0" * 32)),
    Dirt("machine-id", "missing", FAIL, "/etc/machine-id", removed("/etc/machine-id")),
    Dirt("machine-id", "newline", WARN, "/etc/machine-id", wrote("/etc/machine-id", "\n")),
    Dirt(
        "dbus-machine-id",
        "valid",
        FAIL,
        "/var/lib/dbus/machine-id",
        all_of(removed("/var/lib/dbus/machine-id"), wrote("/var/lib/dbus/machine-id", MACHINE_ID)),
    ),
    Dirt(
        "dbus-machine-id",
        "empty",
        INFO,
        "/var/lib/dbus/machine-id",
        all_of(removed("/var/lib/dbus/machine-id"), wrote("/var/lib/dbus/machine-id")),
    ),
    Dirt("first-boot-wizard", "zone", FAIL, "localtime", all_of(UNINITIALIZED, removed("/etc/localtime"))),
    Dirt(
        "first-boot-wizard",
        "locale",
        FAIL,
        "locale",
        all_of(removed("/etc/machine-id"), removed("/etc/default/locale")),
    ),
    Dirt(
        "first-boot-wizard",
        "root",
        FAIL,
        "shadow",
        all_of(UNINITIALIZED, swapped("/etc/shadow", "root:*:", "root:!unprovisioned:")),
    ),
    Dirt(
        "first-boot-wizard",
        "keyboard",
        FAIL,
        "vconsole",
        all_of(
            UNINITIALIZED,
            wrote("/usr/share/keymaps/us.map"),
            wrote(f"{SYSTEM}/systemd-firstboot.service.d/x.conf", "[Service]\nExecStart=x --prompt-keymap\n"),
        ),
    ),
    Dirt(
        "machine-id-cmdline",
        "grub",
        FAIL,
        "grub.cfg",
        swapped("/boot/grub/grub.cfg", " ro ", f" ro systemd.machine_id={MACHINE_ID.strip()} "),
    ),
    Dirt("random-seed", "systemd", WARN, "random-seed", wrote("/var/lib/systemd/random-seed", b"x" * 512)),
    Dirt("hostname", "builder", WARN, "/etc/hostname", wrote("/etc/hostname", "buildbox-7\n")),
    Dirt(
        "hostname",
        "kept",
        FAIL,
        "/etc/hostname",
        all_of(wrote("/etc/hostname", "buildbox-7\n"), wrote(f"{CFG}/zz.cfg", "preserve_hostname: true\n")),
    ),
    # -- cloud-init
    Dirt("cloud-init-installed", "program", FAIL, "/usr/bin/cloud-init", removed("/usr/bin/cloud-init")),
    Dirt("cloud-init-installed", "detection", FAIL, "ds-identify", removed("/usr/lib/cloud-init/ds-identify")),
    Dirt("cloud-init-enabled", "marker", FAIL, "cloud-init.disabled", CLOUD_INIT_OFF),
    Dirt(
        "cloud-init-enabled",
        "argument",
        FAIL,
        "grub.cfg",
        swapped("/boot/grub/grub.cfg", " ro ", " ro cloud-init=disabled "),
    ),
    Dirt("cloud-init-enabled", "mask", FAIL, "cloud-init", linked(f"{SYSTEM}/cloud-init.service", "/dev/null")),
    Dirt(
        "cloud-init-enabled",
        "link",
        FAIL,
        "cloud-final.service",
        removed(f"{SYSTEM}/cloud-init.target.wants/cloud-final.service"),
    ),
    Dirt(
        "cloud-init-enabled",
        "policy",
        FAIL,
        "ds-identify.cfg",
        wrote("/etc/cloud/ds-identify.cfg", "policy: disabled\n"),
    ),
    Dirt("cloud-init-datasource", "none", FAIL, "zz.cfg", wrote(f"{CFG}/zz.cfg", "datasource_list: [None]\n")),
    Dirt(
        "cloud-init-datasource",
        "argument",
        FAIL,
        "/etc/default/grub",
        swapped("/etc/default/grub", "tty0", "tty0 ds=ec2"),
    ),
    Dirt(
        "cloud-init-datasource",
        "lines",
        WARN,
        "zz.cfg",
        wrote(f"{CFG}/zz.cfg", "datasource_list:\n  - NoCloud\n  - None\n"),
    ),
    Dirt("cloud-init-datasource", "order", INFO, "zz.cfg", wrote(f"{CFG}/zz.cfg", "datasource_list: [Ec2, NoCloud]\n")),
    Dirt(
        "cloud-init-state", "link", FAIL, "instance", linked("/var/lib/cloud/instance", "/var/lib/cloud/instances/i-1")
    ),
    Dirt("cloud-init-state", "id", FAIL, "instance-id", wrote("/var/lib/cloud/data/instance-id", "i-1\n")),
    Dirt("cloud-init-state", "script", FAIL, "per-once", wrote("/var/lib/cloud/scripts/per-once/x.sh", "#!/bin/sh\n")),
    Dirt(
        "cloud-init-seed", "files", FAIL, "user-data", wrote("/var/lib/cloud/seed/nocloud/user-data", "#cloud-config\n")
    ),
    Dirt(
        "cloud-init-seed",
        "url",
        FAIL,
        "zz.cfg",
        wrote(f"{CFG}/zz.cfg", "datasource: {NoCloud: {seedfrom: 'http://192.0.2.1/'}}\n"),
    ),
    Dirt(
        "cloud-init-seed",
        "argument",
        FAIL,
        "grub.cfg",
        swapped("/boot/grub/grub.cfg", " ro ", ' ro "ds=nocloud-net;s=http://192.0.2.1/" '),
    ),
    Dirt(
        "cloud-init-network-disabled",
        "mapping",
        FAIL,
        "zz.cfg",
        wrote(f"{CFG}/zz.cfg", "network: {config: disabled}\n"),
    ),
    Dirt(
        "cloud-init-network-disabled",
        "argument",
        FAIL,
        "grub",
        swapped("/etc/default/grub", "tty0", "tty0 network-config=disabled"),
    ),
    Dirt("preserve-hostname", "true", FAIL, "zz.cfg", wrote(f"{CFG}/zz.cfg", "preserve_hostname: true\n")),
    Dirt("cloud-config-syntax", "broken", FAIL, "zz.cfg", wrote(f"{CFG}/zz.cfg", "a: [\n")),
    Dirt("cloud-config-syntax", "list", FAIL, "zz.cfg", wrote(f"{CFG}/zz.cfg", "- a\n")),
    Dirt("cloud-config-syntax", "name", WARN, "zz.yaml", wrote(f"{CFG}/zz.yaml", "a: 1\n")),
    Dirt("ssh-deletekeys", "false", WARN, "zz.cfg", wrote(f"{CFG}/zz.cfg", "ssh_deletekeys: false\n")),
    Dirt("manual-cache-clean", "true", FAIL, "zz.cfg", wrote(f"{CFG}/zz.cfg", "manual_cache_clean: true\n")),
    # -- ssh
    Dirt("ssh-host-keys", "private", FAIL, "ssh_host_ed25519_key", wrote("/etc/ssh/ssh_host_ed25519_key", PRIVATE_KEY)),
    Dirt("ssh-host-keys", "public", WARN, ".pub", wrote("/etc/ssh/ssh_host_ed25519_key.pub", PUBLIC_KEY)),
    Dirt("ssh-host-keys", "dropbear", FAIL, "dropbear", wrote("/etc/dropbear/dropbear_rsa_host_key", b"\0key")),
    Dirt("ssh-host-key-regeneration", "off", FAIL, "/etc/ssh", CLOUD_INIT_OFF),
    Dirt("ssh-host-key-regeneration", "module", FAIL, "/etc/ssh", swapped("/etc/cloud/cloud.cfg", "  - ssh\n", "")),
    Dirt(
        "ssh-host-key-regeneration",
        "first-boot-only",
        FAIL,
        "/etc/ssh",
        all_of(
            CLOUD_INIT_OFF,
            wrote(
                "/usr/lib/systemd/system/sshd-keygen.service",
                "[Unit]\nConditionFirstBoot=yes\n[Service]\nExecStart=ssh-keygen -A\n",
            ),
            linked(f"{SYSTEM}/ssh.service.wants/sshd-keygen.service", "/lib/systemd/system/sshd-keygen.service"),
        ),
    ),
    Dirt("authorized-keys", "root", FAIL, "/root/.ssh", wrote("/root/.ssh/authorized_keys", PUBLIC_KEY)),
    Dirt("authorized-keys", "second", FAIL, "keys2", wrote("/root/.ssh/authorized_keys2", PUBLIC_KEY)),
    Dirt("authorized-keys", "no-account", FAIL, "/home/old", wrote("/home/old/.ssh/authorized_keys", PUBLIC_KEY)),
    Dirt("authorized-keys", "system", FAIL, "authorized_keys.d", wrote("/etc/ssh/authorized_keys.d/root", PUBLIC_KEY)),
    Dirt(
        "authorized-keys",
        "configured",
        FAIL,
        "/etc/keys/root",
        all_of(
            added("/etc/ssh/sshd_config", "AuthorizedKeysFile /etc/keys/%u\n"),
            wrote("/etc/keys/root", PUBLIC_KEY),
        ),
    ),
    Dirt(
        "sshd-password-login",
        "first-wins",
        WARN,
        "00-a.conf",
        wrote("/etc/ssh/sshd_config.d/00-a.conf", "PasswordAuthentication yes\n"),
    ),
    Dirt(
        "sshd-password-login",
        "with-hash",
        FAIL,
        "00-a.conf",
        all_of(
            wrote("/etc/ssh/sshd_config.d/00-a.conf", "PasswordAuthentication yes\n"),
            swapped("/etc/shadow", "root:*:", f"root:{HASH}:"),
        ),
    ),
    Dirt("sshd-password-login", "unset", WARN, "sshd_config", removed("/etc/ssh/sshd_config.d/00-policy.conf")),
    Dirt(
        "sshd-password-login",
        "mended",
        INFO,
        "sshd_config",
        all_of(removed("/etc/ssh/sshd_config.d/00-policy.conf"), wrote(f"{CFG}/zz.cfg", "ssh_pwauth: false\n")),
    ),
    Dirt(
        "sshd-password-login",
        "keyboard",
        WARN,
        "sshd_config",
        swapped("/etc/ssh/sshd_config", "KbdInteractiveAuthentication no", "ChallengeResponseAuthentication yes"),
    ),
    Dirt("sshd-root-login", "yes", FAIL, "00-a", wrote("/etc/ssh/sshd_config.d/00-a.conf", "PermitRootLogin yes\n")),
    Dirt(
        "sshd-root-login",
        "keys",
        INFO,
        "00-a",
        wrote("/etc/ssh/sshd_config.d/00-a.conf", "PermitRootLogin prohibit-password\n"),
    ),
    Dirt(
        "sshd-empty-passwords", "yes", FAIL, "sshd_config", added("/etc/ssh/sshd_config", "PermitEmptyPasswords yes\n")
    ),
    Dirt(
        "sshd-match",
        "password",
        WARN,
        "sshd_config",
        added("/etc/ssh/sshd_config", "Match User b\nPasswordAuthentication yes\n"),
    ),
    Dirt("ssh-enabled", "mask", FAIL, "ssh.service", linked(f"{SYSTEM}/ssh.service", "/dev/null")),
    Dirt("ssh-enabled", "file", FAIL, "sshd_not_to_be_run", wrote("/etc/ssh/sshd_not_to_be_run")),
    Dirt("ssh-enabled", "missing", FAIL, "/usr/sbin/sshd", removed("/usr/sbin/sshd")),
    Dirt(
        "ssh-enabled",
        "disabled",
        FAIL,
        "ssh.service",
        all_of(removed(f"{SYSTEM}/multi-user.target.wants/ssh.service"), removed(f"{SYSTEM}/sshd.service")),
    ),
    Dirt("private-keys", "root", FAIL, "id_ed25519", wrote("/root/.ssh/id_ed25519", PRIVATE_KEY)),
    Dirt("private-keys", "srv", FAIL, "deploy.key", wrote("/srv/app/deploy.key", PRIVATE_KEY)),
    # -- accounts
    Dirt("account-passwords", "hash", FAIL, "/etc/shadow", swapped("/etc/shadow", "root:*:", f"root:{HASH}:")),
    Dirt("account-passwords", "empty", FAIL, "/etc/shadow", swapped("/etc/shadow", "root:*:", "root::")),
    Dirt("account-passwords", "locked", WARN, "/etc/shadow", swapped("/etc/shadow", "root:*:", f"root:!{HASH}:")),
    Dirt("account-passwords", "passwd", FAIL, "/etc/passwd", swapped("/etc/passwd", "root:x:", "root:ab1cdefghijkl:")),
    Dirt("account-passwords", "backup", FAIL, "/etc/shadow-", swapped("/etc/shadow-", "root:*:", f"packer:{HASH}:")),
    Dirt("account-passwords", "group", FAIL, "/etc/gshadow", swapped("/etc/gshadow", "sudo:*:", f"sudo:{HASH}:")),
    Dirt("build-user", "shell", FAIL, "/etc/passwd", added("/etc/passwd", PACKER)),
    Dirt(
        "build-user",
        "locked",
        WARN,
        "/etc/passwd",
        added("/etc/passwd", PACKER.replace("/bin/bash", "/usr/sbin/nologin")),
    ),
    Dirt("build-user", "home", WARN, "/home/builder", wrote("/home/builder/.profile")),
    Dirt("uid-zero", "toor", FAIL, "/etc/passwd", added("/etc/passwd", "toor:x:0:0::/root:/bin/bash\n")),
    Dirt(
        "sudo-nopasswd", "user", FAIL, "/builder", wrote("/etc/sudoers.d/builder", "builder ALL=(ALL) NOPASSWD:ALL\n")
    ),
    Dirt("sudo-nopasswd", "group", WARN, "/g", wrote("/etc/sudoers.d/g", "%sudo ALL=(ALL) NOPASSWD: ALL\n")),
    Dirt(
        "sudo-nopasswd",
        "cloud",
        FAIL,
        "90-cloud-init-users",
        wrote("/etc/sudoers.d/90-cloud-init-users", "%sudo ALL=(ALL) NOPASSWD:ALL\n"),
    ),
    Dirt("sudo-nopasswd", "skipped", INFO, "/b.bak", wrote("/etc/sudoers.d/b.bak", "builder ALL=(ALL) NOPASSWD:ALL\n")),
    Dirt("sudo-nopasswd", "unasked", FAIL, "/d", wrote("/etc/sudoers.d/d", "Defaults:builder !authenticate\n")),
    Dirt(
        "autologin",
        "drop-in",
        FAIL,
        "getty@tty1.service.d",
        wrote(
            f"{SYSTEM}/getty@tty1.service.d/a.conf",
            "[Service]\nExecStart=\nExecStart=-/sbin/agetty --autologin root --noclear %I $TERM\n",
        ),
    ),
    Dirt("autologin", "desktop", FAIL, "lightdm", wrote("/etc/lightdm/lightdm.conf", "[Seat:*]\nautologin-user=pi\n")),
    # -- secrets
    Dirt(
        "installer-secrets",
        "hash",
        FAIL,
        "user-data",
        wrote("/var/log/installer/autoinstall-user-data", f"p: {HASH}\n"),
    ),
    Dirt("installer-secrets", "recovery", FAIL, "recovery", wrote("/var/log/installer/recovery-key-1.txt", "1234\n")),
    Dirt("installer-secrets", "log", WARN, "syslog", wrote("/var/log/installer/syslog", "x\n")),
    Dirt(
        "installer-secrets",
        "kickstart",
        FAIL,
        "anaconda-ks",
        wrote("/root/anaconda-ks.cfg", f"rootpw --iscrypted {HASH}\n"),
    ),
    Dirt(
        "repo-credentials",
        "auth",
        FAIL,
        "auth.conf.d",
        wrote("/etc/apt/auth.conf.d/x.conf", "machine m login l password p\n"),
    ),
    Dirt(
        "repo-credentials",
        "url",
        FAIL,
        "x.list",
        wrote("/etc/apt/sources.list.d/x.list", "deb https://user:canarypass@apt.example.org/ bookworm main\n"),
    ),
    Dirt(
        "repo-credentials",
        "pip",
        FAIL,
        "pip.conf",
        wrote("/etc/pip.conf", "[global]\nindex-url=https://u:canarypass@h/\n"),
    ),
    Dirt(
        "build-proxy",
        "apt",
        WARN,
        "90proxy",
        wrote("/etc/apt/apt.conf.d/90proxy", 'Acquire::http::Proxy "http://p:3142";\n'),
    ),
    Dirt(
        "build-proxy",
        "nested",
        WARN,
        "90proxy",
        wrote("/etc/apt/apt.conf.d/90proxy", 'Acquire { http { Proxy "http://p"; }; };'),
    ),
    Dirt("build-proxy", "environment", WARN, "environment", wrote("/etc/environment", 'http_proxy="http://p:3128"\n')),
    Dirt(
        "build-proxy",
        "unit",
        WARN,
        "http-proxy.conf",
        wrote(f"{SYSTEM}/docker.service.d/http-proxy.conf", '[Service]\nEnvironment="HTTPS_PROXY=http://p"\n'),
    ),
    # -- network
    Dirt(
        "net-bound",
        "mac",
        FAIL,
        "netplan",
        wrote(
            "/etc/netplan/50.yaml",
            "network: {ethernets: {a: {match: {macaddress: 'aa:bb:cc:dd:ee:ff'}, dhcp4: true}}}\n",
        ),
    ),
    Dirt(
        "net-bound",
        "name",
        WARN,
        "netplan",
        wrote("/etc/netplan/00-installer-config.yaml", "network: {version: 2, ethernets: {ens18: {dhcp4: true}}}\n"),
    ),
    Dirt(
        "net-bound",
        "networkd",
        FAIL,
        "10.network",
        wrote(
            "/etc/systemd/network/10.network", "[Match]\nName=en*\n[Network]\nAddress=192.0.2.5/24\nGateway=192.0.2.1\n"
        ),
    ),
    Dirt(
        "net-bound",
        "interfaces",
        FAIL,
        "interfaces",
        wrote(
            "/etc/network/interfaces",
            "auto lo\niface lo inet loopback\niface ens3 inet static\n  address 192.0.2.7/24\n",
        ),
    ),
    Dirt(
        "net-bound", "dhcp", WARN, "interfaces", wrote("/etc/network/interfaces", "auto ens3\niface ens3 inet dhcp\n")
    ),
    Dirt(
        "net-bound",
        "keyfile",
        FAIL,
        "a.nmconnection",
        wrote("/etc/NetworkManager/system-connections/a.nmconnection", "[ethernet]\nmac-address=AA:BB:CC:DD:EE:FF\n"),
    ),
    Dirt(
        "net-bound",
        "ifcfg",
        FAIL,
        "ifcfg",
        wrote("/etc/sysconfig/network-scripts/ifcfg-e", "DEVICE=ens3\nHWADDR=aa:bb:cc:dd:ee:ff\n"),
    ),
    Dirt(
        "net-bound",
        "rules",
        FAIL,
        "70-persistent",
        wrote("/etc/udev/rules.d/70-persistent-net.rules", 'ATTR{address}=="aa:bb:cc:dd:ee:ff", NAME="eth0"\n'),
    ),
    Dirt(
        "net-renderer",
        "disabled",
        FAIL,
        "system",
        removed(f"{SYSTEM}/multi-user.target.wants/systemd-networkd.service"),
    ),
    Dirt("net-renderer", "absent", FAIL, "cloud.cfg", removed("/usr/lib/systemd/system/systemd-networkd.service")),
    Dirt("net-renderer", "wrong", WARN, "cloud.cfg", wrote("/usr/sbin/ifup", "program")),
    Dirt(
        "resolv-conf",
        "file",
        WARN,
        "resolv.conf",
        all_of(removed("/etc/resolv.conf"), wrote("/etc/resolv.conf", "nameserver 192.0.2.1\n")),
    ),
    # -- boot
    Dirt("kernel-files", "initrd", FAIL, "initrd", removed(f"/boot/initrd.img-{KERNEL}")),
    Dirt("kernel-files", "empty", FAIL, "vmlinuz", wrote(f"/boot/vmlinuz-{KERNEL}")),
    Dirt("kernel-files", "modules", FAIL, "modules.dep", removed(f"/usr/lib/modules/{KERNEL}/modules.dep")),
    Dirt("serial-console", "absent", WARN, "grub.cfg", swapped("/boot/grub/grub.cfg", " console=ttyS0,115200", "")),
    # -- packages
    Dirt(
        "package-state",
        "half",
        FAIL,
        "status",
        swapped("/var/lib/dpkg/status", "install ok installed", "install ok half-configured"),
    ),
    Dirt(
        "package-state",
        "reinst",
        FAIL,
        "status",
        swapped("/var/lib/dpkg/status", "install ok", "install reinstreq"),
    ),
    Dirt("package-state", "updates", FAIL, "updates", wrote("/var/lib/dpkg/updates/0001", "Package: x\n")),
    Dirt(
        "apt-sources",
        "cdrom",
        FAIL,
        "sources.list",
        added("/etc/apt/sources.list", "deb cdrom:[Debian 12 x]/ bookworm main\n"),
    ),
    Dirt(
        "apt-sources",
        "trusted",
        FAIL,
        "a.list",
        wrote("/etc/apt/sources.list.d/a.list", "deb [trusted=yes] http://x/ y z\n"),
    ),
    Dirt(
        "apt-sources",
        "deb822",
        FAIL,
        "a.sources",
        wrote("/etc/apt/sources.list.d/a.sources", "Types: deb\nURIs: http://x/\nSuites: y\nTrusted: yes\n"),
    ),
    Dirt(
        "apt-sources",
        "stale",
        FAIL,
        "99old",
        wrote("/etc/apt/apt.conf.d/99old", 'Acquire::Check-Valid-Until "false";\n'),
    ),
    Dirt(
        "apt-sources",
        "no-security",
        WARN,
        "sources.list",
        wrote("/etc/apt/sources.list", "deb http://deb.debian.org/debian bookworm main\n"),
    ),
    Dirt("apt-lists", "lists", INFO, "/var/lib/apt/lists", wrote("/var/lib/apt/lists/deb_Packages", "x" * 100)),
    Dirt("build-leftovers", "policy", FAIL, "policy-rc.d", wrote("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")),
    Dirt(
        "build-leftovers",
        "mmdebstrap",
        WARN,
        "99mm",
        wrote("/etc/apt/apt.conf.d/99mmdebstrap", 'APT::Install-Recommends "0";\n'),
    ),
    Dirt("build-leftovers", "unsafe", WARN, "unsafe", wrote("/etc/dpkg/dpkg.cfg.d/unsafe", "force-unsafe-io\n")),
    # -- traces
    Dirt("shell-history", "line", WARN, ".bash_history", wrote("/root/.bash_history", "ls\n")),
    Dirt("shell-history", "secret", FAIL, ".bash_history", wrote("/root/.bash_history", "export TOKEN=canarytoken\n")),
    Dirt("tmp-contents", "script", WARN, "/tmp/script_1.sh", wrote("/tmp/script_1.sh", "#!/bin/sh\n")),
    Dirt(
        "tmp-contents",
        "private",
        INFO,
        "systemd-private",
        lambda root: (root / "tmp/systemd-private-x/tmp").mkdir(parents=True),
    ),
    Dirt("logs", "people", WARN, "wtmp", wrote("/var/log/wtmp", b"\7\0\0\0record")),
    Dirt("logs", "other", INFO, "dpkg.log", wrote("/var/log/dpkg.log", "x\n")),
    # -- hypervisor
    Dirt("qemu-guest-agent", "mask", FAIL, "agent", linked(f"{SYSTEM}/qemu-guest-agent.service", "/dev/null")),
    Dirt("qemu-guest-agent", "missing", FAIL, "qemu-ga", removed("/usr/sbin/qemu-ga")),
    Dirt("qemu-guest-agent", "unwired", FAIL, "agent", removed("/usr/lib/udev/rules.d/60-qemu-guest-agent.rules")),
    Dirt(
        "qemu-guest-agent",
        "filter",
        WARN,
        "sysconfig",
        wrote("/etc/sysconfig/qemu-ga", "BLACKLIST_RPC=guest-exec,guest-file-open\n"),
    ),
)

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

ALL_DIRT = (*TREE_DIRT, *ROOT_DIRT, *DISK_DIRT)

# What else a dirt of this check may report, because it really causes that too.
KIN = {
    "first-boot-wizard": {"machine-id"},
    "hostname": {"preserve-hostname"},
    "cloud-init-installed": {"ssh-host-key-regeneration"},
    "cloud-init-enabled": {"ssh-host-key-regeneration"},
    "cloud-init-datasource": {"ssh-host-key-regeneration"},
    "ssh-host-key-regeneration": {"cloud-init-enabled"},
    "authorized-keys": {"build-user"},
    "sshd-password-login": {"account-passwords", "sshd-root-login"},
    "partition-table": {"fstab-devices", "uefi-fallback"},
    "uefi-fallback": {"fstab-devices"},
}
