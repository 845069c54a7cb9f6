"""Dirt about how a clone is kept up to date: holds, ages, kernels, timers, clocks, authorities."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from imagekit.verify import Policy, Profile
from tests.verify.dirty.change import FAIL, INFO, SYSTEM, WARN, Dirt, added, all_of, linked, removed, swapped, wrote

_STATUS = "/var/lib/dpkg/status"
_TIMER = f"{SYSTEM}/timers.target.wants/apt-daily-upgrade.timer"
_CLOCK = f"{SYSTEM}/sysinit.target.wants/systemd-timesyncd.service"
_OLD = "5.10.0-1-cloud-amd64"
_HELD = "Package: held\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1\n"
_FREE = "\nPackage: free\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n"
_CERTIFICATE = "-----BEGIN CERTIFICATE-----\nTUlJQmNhbmFyeQ==\n-----END CERTIFICATE-----\n"


def aged(path: str, days: int) -> Callable[[Path], None]:
    """Return a change that makes a file look as if it was last written ``days`` ago."""
    then = time.time() - 86400 * days
    return lambda root: os.utime(root / path.lstrip("/"), (then, then))


DIRT = (
    Dirt("package-holds", "one", WARN, _STATUS, added(_STATUS, f"\n{_HELD}{_FREE}")),
    Dirt("package-holds", "all", FAIL, _STATUS, swapped(_STATUS, "install ok installed", "hold ok installed")),
    Dirt(
        "package-holds",
        "pin",
        WARN,
        "x.pref",
        wrote("/etc/apt/preferences.d/x.pref", "Package: curl\nPin: version 7.*\nPin-Priority: 1001\n"),
    ),
    Dirt(
        "package-holds",
        "no-security",
        WARN,
        "preferences",
        wrote("/etc/apt/preferences", "Package: *\nPin: release l=Debian-Security\nPin-Priority: never\n"),
    ),
    Dirt("package-holds", "excludes", WARN, "dnf.conf", wrote("/etc/dnf/dnf.conf", "[main]\nexcludepkgs=kernel*\n")),
    Dirt("package-holds", "exclude", WARN, "k.repo", wrote("/etc/yum.repos.d/k.repo", "[k]\nexclude=kubelet\n")),
    Dirt(
        "package-holds",
        "lock",
        WARN,
        "versionlock.list",
        wrote("/etc/dnf/plugins/versionlock.list", "curl-0:7.1-1.*\n"),
    ),
    Dirt(
        "package-holds",
        "toml",
        WARN,
        "versionlock.toml",
        wrote("/etc/dnf/versionlock.toml", '[[packages]]\nname = "a"\n'),
    ),
    Dirt("package-age", "old", WARN, _STATUS, aged(_STATUS, 40)),
    Dirt(
        "old-kernels",
        "second",
        INFO,
        _OLD,
        all_of(wrote(f"/boot/vmlinuz-{_OLD}", "kernel"), wrote(f"/usr/lib/modules/{_OLD}/modules.dep")),
    ),
    Dirt(
        "old-kernels",
        "default",
        WARN,
        "grub.cfg",
        all_of(wrote("/boot/vmlinuz-6.1.0-13-cloud-amd64", "k"), wrote("/boot/initrd.img-6.1.0-13-cloud-amd64", "i")),
    ),
    Dirt("auto-updates", "masked", INFO, "apt-daily.timer", linked(f"{SYSTEM}/apt-daily.timer", "/dev/null")),
    Dirt("auto-updates", "disabled", INFO, "20auto", removed(_TIMER)),
    Dirt("auto-updates", "absent", INFO, "20auto", removed("/usr/bin/unattended-upgrade")),
    Dirt(
        "auto-updates",
        "no-lists",
        INFO,
        "20auto",
        swapped("/etc/apt/apt.conf.d/20auto-upgrades", 'Lists "1"', 'Lists "0"'),
    ),
    Dirt("auto-updates", "off", INFO, "20auto", wrote("/etc/apt/apt.conf.d/99off", 'APT::Periodic { Enable "0"; };\n')),
    Dirt("auto-updates", "dnf", INFO, "automatic.conf", wrote("/etc/dnf/automatic.conf", "apply_updates = yes\n")),
    Dirt("time-sync", "disabled", WARN, "timesyncd", removed(_CLOCK)),
    Dirt("time-sync", "masked", WARN, "timesyncd", linked(f"{SYSTEM}/systemd-timesyncd.service", "/dev/null")),
    Dirt(
        "time-sync",
        "absent",
        WARN,
        "/usr/lib/systemd/system",
        all_of(removed("/usr/lib/systemd/system/systemd-timesyncd.service"), removed(_CLOCK)),
    ),
    Dirt("time-sync", "local", WARN, "adjtime", wrote("/etc/adjtime", "0.0 0 0.0\n0\nLOCAL\n")),
    Dirt(
        "time-sync",
        "local-container",
        WARN,
        "adjtime",
        wrote("/etc/adjtime", "0.0 0 0.0\n0\nLOCAL\n"),
        Policy(profile=Profile.CONTAINER),
    ),
    Dirt("time-sync", "zone", INFO, "localtime", wrote("/usr/share/zoneinfo/Europe/Rome", "zone")),
    Dirt("local-ca", "debian", INFO, "proxy.crt", wrote("/usr/local/share/ca-certificates/a/proxy.crt", _CERTIFICATE)),
    Dirt("local-ca", "fedora", INFO, "proxy.pem", wrote("/etc/pki/ca-trust/source/anchors/proxy.pem", "no PEM")),
    Dirt("local-ca", "odd", INFO, "p.pem", wrote("/etc/pki/trust/anchors/p.pem", _CERTIFICATE.replace("==", "="))),
)
