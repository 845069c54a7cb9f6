"""Dirt about identity."""

from tests.verify.dirty.change import CFG, FAIL, INFO, MACHINE_ID, SYSTEM, WARN, Dirt, all_of, removed, swapped, wrote

UNINITIALIZED = wrote("/etc/machine-id", "uninitialized\n")

DIRT = (
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
)
