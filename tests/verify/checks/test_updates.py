"""Updates: decisions, stock settings and our own way of building pass; ages and kernels are measured soundly."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from imagekit.verify import Policy, Profile, verify_directory
from tests.verify.clean_tree import KERNEL, append, link, remove, replace, write

OURS = {"package-holds", "package-age", "old-kernels", "auto-updates", "time-sync", "local-ca"}
STATUS = "var/lib/dpkg/status"
ESM = "Package: *\nPin: release o=UbuntuESMApps\nPin-Priority: never\n"
UNITS = "/usr/lib/systemd/system"


def find_ids(tree: Path, policy: Policy | None = None) -> set[str]:
    """Return which of these checks report something."""
    return {finding.check for finding in verify_directory(tree, policy).findings} & OURS


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/etc/apt/preferences.d/ubuntu-pro-esm-apps", ESM),
        ("/etc/apt/preferences.d/x.pref", "Package: *\nPin: release a=bookworm-backports\nPin-Priority: 100\n"),
        ("/etc/apt/preferences.d/snap.pref", "Package: snapd\nPin: release a=*\nPin-Priority: -10\n"),
        ("/etc/apt/preferences.d/a.bak", "Package: a\nPin: version 1\nPin-Priority: 1001\n"),
        ("/etc/apt/preferences.d/bad.pref", "Package: a\nPin: version 1\nPin-Priority: many\n\n: :\n"),
        ("/etc/dnf/dnf.conf", "[main]\ngpgcheck=True\n#exclude=kernel\nexclude=\n"),
        ("/etc/dnf/plugins/versionlock.list", "# nothing\n"),
        ("/etc/dnf/versionlock.toml", 'version = "1.0"\n'),
        ("/etc/dnf/automatic.conf", "[commands]\napply_updates = no\n"),
        ("/boot/vmlinuz-0-rescue-0123456789abcdef0123456789abcdef", "kernel"),
        (f"/boot/vmlinuz-{KERNEL.replace('cloud-', '')}", "kernel"),
        ("/etc/adjtime", "0.0 0 0.0\n0\nUTC\n"),
        ("/usr/local/share/ca-certificates/.keep", None),
    ],
)
def test_stock_settings_pass(tree: Path, path: str, content: str | None) -> None:
    """What distributions ship, and what only prefers one archive to another, is no finding."""
    if content is None:
        (tree / path.lstrip("/")).mkdir(parents=True)
    else:
        write(tree, path, content)
    assert find_ids(tree) == set()


def test_updates_that_are_plainly_off_pass(tree: Path) -> None:
    """No automatic updates is a decision that the settings state clearly."""
    remove(tree, "/etc/apt/apt.conf.d/20auto-upgrades")
    remove(tree, "/usr/bin/unattended-upgrade")
    remove(tree, "/etc/systemd/system/timers.target.wants/apt-daily-upgrade.timer")
    assert find_ids(tree) == set()


@pytest.mark.parametrize(("days", "old"), [(0, False), (30, False), (31, True), (400, True)])
def test_age_is_that_of_the_newest_change(tree: Path, days: int, old: bool) -> None:
    """A reproducible build has its newest package's time there: a month is current, an old snapshot is not."""
    noon = datetime(2026, 6, 15, 12, tzinfo=UTC)
    os.utime(tree / STATUS, (noon.timestamp(), noon.timestamp()))
    policy = Policy(today=(noon + timedelta(days=days)).date())
    assert ("package-age" in find_ids(tree, policy)) is old


def test_time_without_meaning_is_not_judged(tree: Path) -> None:
    """Trees whose times are all zero say nothing about their age, and that is no pass; the future is no age."""
    os.utime(tree / STATUS, (0, 0))
    report = verify_directory(tree)
    assert "package-age" in {blind.check for blind in report.not_observed}
    os.utime(tree / STATUS, (2**33, 2**33))
    assert "package-age" in verify_directory(tree, Policy(today=date(2026, 1, 1))).passed


def test_running_machine_keeps_the_kernel_before(tree: Path) -> None:
    """Two kernels are normal where one of them runs; the loader starting the older one is not."""
    write(tree, "/boot/vmlinuz-6.1.0-0-cloud-amd64", "kernel")
    assert find_ids(tree) == {"old-kernels"}
    assert "old-kernels" not in find_ids(tree, Policy(profile=Profile.CLONE))
    write(tree, "/boot/vmlinuz-6.1.0-10-cloud-amd64", "kernel")
    assert "old-kernels" in find_ids(tree, Policy(profile=Profile.CLONE))


def test_container_keeps_no_time(tree: Path) -> None:
    """A container has its host's clock."""
    remove(tree, f"{UNITS}/systemd-timesyncd.service")
    remove(tree, "/etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service")
    assert find_ids(tree) == {"time-sync"}
    assert find_ids(tree, Policy(profile=Profile.CONTAINER)) == set()


def test_another_time_service_is_enough(tree: Path) -> None:
    """Chrony in place of timesyncd keeps the time too."""
    remove(tree, "/etc/systemd/system/sysinit.target.wants/systemd-timesyncd.service")
    write(tree, f"{UNITS}/chrony.service", "[Service]\nExecStart=/usr/sbin/chronyd\n")
    link(tree, "/etc/systemd/system/multi-user.target.wants/chrony.service", f"{UNITS}/chrony.service")
    assert find_ids(tree) == set()


def test_few_holds_are_named_and_many_counted(tree: Path) -> None:
    """A held package is named with its way out; more than half of all is a failure of its own."""
    append(tree, f"/{STATUS}", "\nPackage: curl\nStatus: hold ok installed\nArchitecture: amd64\nVersion: 1\n")
    (finding,) = [each for each in verify_directory(tree).findings if each.check == "package-holds"]
    assert (finding.severity.value, finding.found, finding.fix) == ("warn", "curl is held", "apt-mark unhold curl")
    replace(tree, f"/{STATUS}", "install ok installed", "hold ok installed")
    (finding,) = [each for each in verify_directory(tree).findings if each.check == "package-holds"]
    assert finding.severity.value == "fail"
    assert finding.found.endswith("packages are held")


def test_nothing_installed_is_not_observed(tree: Path) -> None:
    """Where no package manager is known, holds and automatic updates are not seen, so they have not passed."""
    for path in (STATUS, "etc/apt/sources.list", "etc/apt/apt.conf.d/70debconf", "etc/apt/apt.conf.d/20auto-upgrades"):
        (tree / path).unlink()
    (tree / "etc/apt/apt.conf.d").rmdir()
    (tree / "etc/apt").rmdir()
    blind = {each.check for each in verify_directory(tree).not_observed}
    assert {"package-holds", "package-age", "auto-updates", "package-state"} <= blind


def test_authority_is_shown_by_its_fingerprint(tree: Path) -> None:
    """The fingerprint is that of the certificate's bytes."""
    body = "TUlJQg=="
    write(
        tree,
        "/usr/local/share/ca-certificates/a.crt",
        f"-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----",
    )
    (finding,) = [each for each in verify_directory(tree).findings if each.check == "local-ca"]
    assert "bd7f32578c72343b" in finding.found
