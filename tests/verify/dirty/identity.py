"""Dirt about identity."""

from imagekit.verify import Policy, Profile
from tests.verify.clean_tree import KERNEL, ROOT_UUID
from tests.verify.dirty.change import (
    CFG,
    FAIL,
    INFO,
    MACHINE_ID,
    PRIVATE_KEY,
    SYSTEM,
    WARN,
    Dirt,
    all_of,
    linked,
    removed,
    swapped,
    wrote,
)

ON_CLONE = Policy(profile=Profile.CLONE)
ID = MACHINE_ID.strip()
WRITABLE = swapped("/boot/grub/grub.cfg", " ro ", " rw ")
TIMER = "[Unit]\nDescription=t\n[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n"
ENTRY = (
    f"title Linux\nlinux /boot/vmlinuz-{KERNEL}\ninitrd /boot/initrd.img-{KERNEL}\n"
    f"options root=UUID={ROOT_UUID} ro console=tty0 console=ttyS0,115200\n"
)
UNINITIALIZED = wrote("/etc/machine-id", "uninitialized\n")

DIRT = (
    Dirt("machine-id", "valid", FAIL, "/etc/machine-id", wrote("/etc/machine-id", MACHINE_ID)),
    Dirt("machine-id", "zeros", FAIL, "/etc/machine-id", wrote("/etc/machine-id", "0" * 32)),
    Dirt("machine-id", "missing", FAIL, "/etc/machine-id", removed("/etc/machine-id")),
    Dirt("machine-id", "newline", WARN, "/etc/machine-id", wrote("/etc/machine-id", "\n")),
    Dirt("machine-id", "clone-empty", FAIL, "/etc/machine-id", wrote("/etc/machine-id"), ON_CLONE),
    Dirt("machine-id", "clone-zeros", FAIL, "/etc/machine-id", wrote("/etc/machine-id", "0" * 32 + "\n"), ON_CLONE),
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
    Dirt(
        "first-boot-presets",
        "timer",
        WARN,
        "/etc/machine-id",
        all_of(UNINITIALIZED, WRITABLE, wrote("/usr/lib/systemd/system/y.timer", TIMER)),
    ),
    Dirt(
        "first-boot-presets",
        "enabled-by-preset",
        WARN,
        "/etc/machine-id",
        all_of(
            UNINITIALIZED,
            WRITABLE,
            wrote("/usr/lib/systemd/system/x.timer", TIMER),
            wrote("/usr/lib/systemd/system-preset/50-x.preset", "enable x.*\ndisable *\n"),
        ),
    ),
    Dirt("machine-id-traces", "journal", INFO, "/var/log/journal/", wrote(f"/var/log/journal/{ID}/system.journal")),
    Dirt("machine-id-traces", "kernels", INFO, f"/boot/{ID}", wrote(f"/boot/{ID}/6.1/linux")),
    Dirt("machine-id-traces", "entry", INFO, "/boot/loader/entries", wrote(f"/boot/loader/entries/{ID}-6.1.conf")),
    Dirt("machine-id-traces", "esp", INFO, f"/boot/efi/{ID}", wrote(f"/boot/efi/{ID}/6.1/linux")),
    Dirt("entry-token", "missing", WARN, "entry-token", wrote(f"/boot/loader/entries/{ID}-6.1.conf", ENTRY)),
    Dirt("random-seed", "old", WARN, "/var/lib/urandom", wrote("/var/lib/urandom/random-seed", b"x" * 512)),
    Dirt("random-seed", "loader", WARN, "loader", wrote("/boot/efi/loader/random-seed", b"x" * 32)),
    Dirt(
        "credential-secret",
        "key",
        FAIL,
        "credential.secret",
        wrote("/var/lib/systemd/credential.secret", b"\x01" * 4096),
    ),
    Dirt("hostid", "plain", WARN, "/etc/hostid", wrote("/etc/hostid", b"\x01\x02\x03\x04")),
    Dirt(
        "hostid",
        "zfs",
        FAIL,
        "/etc/hostid",
        all_of(
            wrote("/etc/hostid", b"\x01\x02\x03\x04"),
            wrote("/etc/fstab", "rpool/ROOT/debian / zfs defaults 0 0\n"),
        ),
    ),
    Dirt(
        "iscsi-initiator",
        "made",
        WARN,
        "initiatorname",
        wrote("/etc/iscsi/initiatorname.iscsi", "## comment\nInitiatorName=iqn.1993-08.org.debian:01:abcdef\n"),
    ),
    Dirt(
        "iscsi-initiator",
        "used",
        FAIL,
        "initiatorname",
        all_of(
            wrote("/etc/iscsi/initiatorname.iscsi", "InitiatorName=iqn.1993-08.org.debian:01:abcdef\n"),
            wrote("/usr/lib/systemd/system/open-iscsi.service", "[Service]\nExecStart=/usr/bin/true\n"),
            linked(f"{SYSTEM}/sysinit.target.wants/open-iscsi.service", "/lib/systemd/system/open-iscsi.service"),
        ),
    ),
    Dirt("nvme-hostid", "id", WARN, "hostid", wrote("/etc/nvme/hostid", "6f0e0c6a-8d0b-4b57-9d39-0b4d6a4c5f01\n")),
    Dirt("nvme-hostid", "name", WARN, "hostnqn", wrote("/etc/nvme/hostnqn", "nqn.2014-08.org.nvmexpress:uuid:1\n")),
    Dirt("hosts-file", "name", WARN, "/etc/hosts", wrote("/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 buildbox\n")),
    Dirt("hosts-file", "address", WARN, "/etc/hosts", wrote("/etc/hosts", "192.0.2.7 mirror.example mirror\n")),
    Dirt("hosts-file", "address-6", WARN, "/etc/hosts", wrote("/etc/hosts", "2001:db8::7 mirror.example\n")),
    Dirt(
        "hosts-file",
        "clone",
        WARN,
        "/etc/hosts",
        all_of(
            wrote("/etc/machine-id", MACHINE_ID),
            wrote("/etc/ssh/ssh_host_ed25519_key", PRIVATE_KEY),
            wrote("/etc/hostname", "web1\n"),
            wrote("/etc/hosts", "127.0.1.1 template\n"),
        ),
        ON_CLONE,
    ),
    Dirt("machine-info", "location", INFO, "/etc/machine-info", wrote("/etc/machine-info", "LOCATION=rack 7\n")),
    Dirt("image-stamp", "none", INFO, "os-release", removed("/etc/cloud/build.info")),
)

KIN = {
    "first-boot-presets": {"machine-id"},
    "entry-token": {"machine-id-traces", "boot-references", "kernel-files"},
    "machine-id": {"ssh-host-keys"},  # the tree is no clone, so it has no host key either
}
