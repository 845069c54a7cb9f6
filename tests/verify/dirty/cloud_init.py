"""Dirt about cloud-init."""

from pathlib import Path

from tests.verify.dirty.change import (
    CFG,
    CLOUD_INIT_OFF,
    FAIL,
    HASH,
    INFO,
    PUBLIC_KEY,
    SYSTEM,
    WARN,
    Dirt,
    added,
    all_of,
    linked,
    removed,
    swapped,
    wrote,
)

HOOK = (
    "#!/usr/bin/env python3\n# Remove /etc/os-release\nimport os\n"
    f"for cfg_file in ['{CFG}/99-installer.cfg', '{CFG}/gone.cfg']:\n    os.remove(cfg_file)\n"
)
SHELL_HOOK = "#!/bin/sh\n# keeps /etc/hostname\nrm -f /etc/left.conf /etc/left-*.conf; cat /etc/fstab\n"
USER = f"users: [default, {{name: ops, ssh_authorized_keys: ['{PUBLIC_KEY.strip()}']}}]\n"


def make_executable(root: Path) -> None:
    """Let the hook run."""
    (root / "etc/cloud/clean.d/99-hook").chmod(0o755)


DIRT = (
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
    Dirt("manual-cache-clean", "mark", FAIL, "manual-clean", wrote("/var/lib/cloud/instances/i-1/manual-clean")),
    Dirt(
        "cloud-init-installed",
        "yaml",
        FAIL,
        "yaml",
        removed("/usr/lib/python3/dist-packages/yaml/__init__.py"),
    ),
    Dirt(
        "cloud-init-enabled",
        "policy-argument",
        FAIL,
        "grub.cfg",
        swapped("/boot/grub/grub.cfg", " ro ", " ro ci.di.policy=disabled "),
    ),
    Dirt("ds-identify-policy", "on", WARN, "ds-identify.cfg", wrote("/etc/cloud/ds-identify.cfg", "policy: enabled\n")),
    Dirt(
        "ds-identify-policy",
        "off",
        FAIL,
        "ds-identify.cfg",
        wrote("/etc/cloud/ds-identify.cfg", "policy: search\npolicy: disabled,found=all # off\n"),
    ),
    Dirt(
        "ds-identify-policy",
        "source",
        FAIL,
        "ds-identify.cfg",
        wrote("/etc/cloud/ds-identify.cfg", "datasource: Ec2\n"),
    ),
    Dirt(
        "ds-identify-policy",
        "own-source",
        WARN,
        "ds-identify.cfg",
        wrote("/etc/cloud/ds-identify.cfg", "datasource: 'NoCloud'\n"),
    ),
    Dirt(
        "cloud-init-seed",
        "inline",
        FAIL,
        "zz.cfg",
        wrote(f"{CFG}/zz.cfg", "datasource: {NoCloud: {user-data: '#cloud-config'}}\n"),
    ),
    Dirt(
        "installer-cloud-config",
        "data",
        FAIL,
        "50-any-name.cfg",
        wrote(f"{CFG}/50-any-name.cfg", f"datasource: {{None: {{userdata_raw: 'passwd: {HASH}'}}}}\n"),
    ),
    Dirt(
        "installer-cloud-config",
        "curtin",
        WARN,
        "curtin",
        wrote(f"{CFG}/curtin-preserve-sources.cfg", "apt: {preserve_sources_list: true}\n"),
    ),
    Dirt(
        "installer-cloud-config",
        "network",
        WARN,
        "90-net.cfg",
        wrote(f"{CFG}/90-net.cfg", "network: {version: 2, ethernets: {ens18: {dhcp4: true}}}\n"),
    ),
    Dirt(
        "installer-cloud-config",
        "grub",
        INFO,
        "20-disable",
        wrote(f"{CFG}/20-disable-cc-dpkg-grub.cfg", "grub_dpkg: {enabled: false}\n"),
    ),
    Dirt("clean-hooks", "mode", WARN, "99-hook", wrote("/etc/cloud/clean.d/99-hook", HOOK)),
    Dirt(
        "clean-hooks",
        "not-run",
        FAIL,
        "99-installer.cfg",
        all_of(wrote("/etc/cloud/clean.d/99-hook", HOOK), make_executable, wrote(f"{CFG}/99-installer.cfg", "")),
    ),
    Dirt(
        "clean-hooks",
        "shell",
        FAIL,
        "/etc/left.conf",
        all_of(wrote("/etc/cloud/clean.d/99-hook", SHELL_HOOK), make_executable, wrote("/etc/left.conf")),
    ),
    Dirt("cloud-config-users", "chpasswd", FAIL, "zz", wrote(f"{CFG}/zz.cfg", "chpasswd: {list: 'root:canary1'}\n")),
    Dirt("cloud-config-users", "password", FAIL, "zz", wrote(f"{CFG}/zz.cfg", "password: canary1\n")),
    Dirt(
        "cloud-config-users",
        "hash",
        FAIL,
        "zz.cfg",
        wrote(f"{CFG}/zz.cfg", f"users: [default, {{name: b, passwd: '{HASH}'}}]\n"),
    ),
    Dirt(
        "cloud-config-users",
        "default-user",
        FAIL,
        "cloud.cfg",
        added("/etc/cloud/cloud.cfg", "    plain_text_passwd: canary1\n"),
    ),
    Dirt("cloud-config-users", "key", FAIL, "zz.cfg", wrote(f"{CFG}/zz.cfg", USER)),
    Dirt(
        "cloud-config-users",
        "keys",
        FAIL,
        "zz.cfg",
        wrote(f"{CFG}/zz.cfg", f"ssh_authorized_keys: ['{PUBLIC_KEY.strip()}']\n"),
    ),
    Dirt("cloud-config-users", "no-default", WARN, "zz.cfg", wrote(f"{CFG}/zz.cfg", "users: [{name: b}]\n")),
    Dirt("cloud-config-users", "pwauth", WARN, "zz.cfg", wrote(f"{CFG}/zz.cfg", "ssh_pwauth: true\n")),
    *(
        Dirt("cloud-init-modules", name, WARN, "cloud.cfg", swapped("/etc/cloud/cloud.cfg", f"  - {name}\n", ""))
        for name in ("ssh", "users-groups", "set_hostname", "growpart", "resizefs")
    ),
    Dirt("cloud-init-logs", "plain", WARN, "cloud-init.log", wrote("/var/log/cloud-init.log", "started\n")),
    Dirt("cloud-init-logs", "rotated", WARN, "log.1.gz", wrote("/var/log/cloud-init-output.log.1.gz", b"\x1f\x8b")),
    Dirt("cloud-init-logs", "hash", FAIL, "output", wrote("/var/log/cloud-init-output.log", f"deb:{HASH}\n")),
    Dirt("cloud-init-logs", "password", FAIL, "log", wrote("/var/log/cloud-init.log", "{'password': 'canary1'}\n")),
    Dirt("cloud-init-logs", "psk", FAIL, "log", wrote("/var/log/cloud-init.log", "  psk: canary12\n")),
    Dirt(
        "cloud-init-fstab",
        "line",
        WARN,
        "/etc/fstab",
        added("/etc/fstab", "/dev/sdb1 /mnt auto defaults,nofail,comment=cloudconfig 0 2\n"),
    ),
    Dirt(
        "cloud-init-version",
        "old",
        WARN,
        "/var/lib/dpkg/status",
        swapped("/var/lib/dpkg/status", "22.4.2-1+deb12u3", "22.4.2"),
    ),
    Dirt("cloud-init-version", "used", WARN, "/var/lib/dpkg/status", removed("/etc/machine-id")),
    Dirt(
        "cloud-init-version",
        "unknown",
        INFO,
        "/usr/bin/cloud-init",
        swapped("/var/lib/dpkg/status", "Package: cloud-init\n", "Package: other\n"),
    ),
)

KIN = {
    "manual-cache-clean": {"cloud-init-state"},
    "cloud-init-enabled": {"ds-identify-policy"},
    "ds-identify-policy": {"cloud-init-enabled", "ssh-host-key-regeneration"},
    "installer-cloud-config": {"secret-strings"},
    "clean-hooks": {"secret-strings"},
    "cloud-config-users": {"secret-strings"},
    "cloud-init-modules": {"ssh-host-key-regeneration", "disk-growth"},
    "cloud-init-logs": {"secret-strings", "log-content"},
    "cloud-init-fstab": {"fstab-devices"},
    "cloud-init-version": {"machine-id"},
    "machine-id": {"cloud-init-version"},
    "first-boot-wizard": {"cloud-init-version"},
}
