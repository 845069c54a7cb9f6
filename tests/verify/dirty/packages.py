"""Dirt about packages and traces."""

from tests.verify.dirty.change import FAIL, INFO, WARN, Dirt, added, swapped, wrote

DIRT = (
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
        wrote("/etc/apt/sources.list", "deb http://deb.debian.example/debian bookworm main\n"),
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
)
