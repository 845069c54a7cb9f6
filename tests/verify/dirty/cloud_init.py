"""Dirt about cloud-init."""

from tests.verify.dirty.change import (
    CFG,
    CLOUD_INIT_OFF,
    FAIL,
    INFO,
    SYSTEM,
    WARN,
    Dirt,
    linked,
    removed,
    swapped,
    wrote,
)

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
)
