"""Dirt about packages and traces."""

from pathlib import Path

from imagekit.verify import Policy, Profile
from tests.verify.dirty.change import FAIL, INFO, WARN, Dirt, added, swapped, wrote


def make_large(path: Path) -> None:
    """Make a file with a hole of 200 MiB."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(200 << 20)


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
    Dirt(
        "apt-sources",
        "no-valid-until",
        FAIL,
        "b.sources",
        wrote(
            "/etc/apt/sources.list.d/b.sources",
            "Types: deb\nURIs: http://b.example/\nSuites: y\nCheck-Valid-Until: no\n",
        ),
    ),
    Dirt(
        "apt-sources",
        "insecure",
        FAIL,
        "a.list",
        wrote("/etc/apt/sources.list.d/a.list", "deb [allow-insecure=yes] http://a.example/ y z\n"),
    ),
    Dirt("apt-sources", "file", FAIL, "a.list", wrote("/etc/apt/sources.list.d/a.list", "deb file:/srv/debs ./\n")),
    Dirt(
        "apt-sources",
        "unsigned",
        FAIL,
        "99u",
        wrote("/etc/apt/apt.conf.d/99u", 'APT { Get { AllowUnauthenticated "true"; }; };\n'),
    ),
    *(
        Dirt(
            "apt-sources", name, WARN, "a.list", wrote("/etc/apt/sources.list.d/a.list", f"deb {address}/debian y z\n")
        )
        for name, address in (
            ("private", "http://192.168.1.5"),
            ("private6", "http://[fd00::5]:3142"),
            ("name", "http://mirror"),
            ("local", "https://apt.home.arpa"),
        )
    ),
    Dirt("apt-sources", "none", WARN, "sources.list", wrote("/etc/apt/sources.list", "# nothing\n")),
    Dirt("package-state", "rpm", WARN, "__db.001", wrote("/var/lib/rpm/__db.001", "x")),
    Dirt("apt-lists", "large", WARN, "/var/cache/apt", lambda root: make_large(root / "var/cache/apt/archives/a.deb")),
    Dirt("build-leftovers", "container", WARN, ".dockerenv", wrote("/.dockerenv")),
    Dirt("build-leftovers", "image", WARN, "docker-clean", wrote("/etc/apt/apt.conf.d/docker-clean", "")),
    Dirt("build-leftovers", "real", WARN, "REAL", wrote("/usr/sbin/start-stop-daemon.REAL", "program")),
    Dirt(
        "build-leftovers",
        "diverted",
        WARN,
        "diversions",
        wrote("/var/lib/dpkg/diversions", "/sbin/start-stop-daemon\n/sbin/start-stop-daemon.distrib\n:\n"),
    ),
    Dirt(
        "build-leftovers",
        "apt-unsafe",
        WARN,
        "99fast",
        wrote("/etc/apt/apt.conf.d/99fast", 'DPkg::Options { "--force-unsafe-io"; };\n'),
    ),
    Dirt(
        "journal",
        "file",
        WARN,
        "0123",
        wrote("/var/log/journal/0123456789abcdef0123456789abcdef/a.journal", "LPKSHHRH"),
    ),
    Dirt(
        "journal",
        "container",
        WARN,
        "0123",
        wrote("/run/log/journal/0123456789abcdef0123456789abcdef/system@a.journal~", "LPKSHHRH"),
        Policy(profile=Profile.CONTAINER),
    ),
    Dirt("logs", "database", WARN, "wtmp.db", wrote("/var/lib/wtmpdb/wtmp.db", "SQLite format 3\0")),
    Dirt("logs", "audit", WARN, "audit.log", wrote("/var/log/audit/audit.log", "type=x\n")),
    Dirt("logs", "rotated", WARN, "auth.log.1", wrote("/var/log/auth.log.1", "x\n")),
    Dirt("logs", "total", WARN, "/var/log", lambda root: make_large(root / "var/log/x.log")),
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
    Dirt("tmp-contents", "directory", WARN, "/var/tmp/run-1", wrote("/var/tmp/run-1/a/script.sh", "#!/bin/sh\n")),
    Dirt("tmp-contents", "empty", INFO, "/tmp/.X11-unix", lambda root: (root / "tmp/.X11-unix").mkdir(parents=True)),
    Dirt("logs", "people", WARN, "wtmp", wrote("/var/log/wtmp", b"\7\0\0\0record")),
    Dirt("logs", "other", INFO, "dpkg.log", wrote("/var/log/dpkg.log", "x\n")),
)
KIN = {"journal": {"machine-id-traces"}}
