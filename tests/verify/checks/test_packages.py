"""Packages and traces: archives and logs that stock images and running machines have pass."""

from pathlib import Path

import pytest

from imagekit.verify import Policy, Profile, verify_directory
from tests.verify.clean_tree import write

OURS = {
    "package-state",
    "apt-sources",
    "apt-lists",
    "build-leftovers",
    "journal",
    "logs",
    "tmp-contents",
    "shell-history",
}
LISTS = "/etc/apt/sources.list.d"


def find_ids(tree: Path, policy: Policy | None = None) -> set[str]:
    """Return which of these checks report something."""
    return {finding.check for finding in verify_directory(tree, policy).findings} & OURS


@pytest.mark.parametrize(
    ("path", "content"),
    [
        (f"{LISTS}/debian.sources", "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\n"),
        (f"{LISTS}/a.sources", "Types: deb\nURIs: cdrom:[Debian]/\nSuites: y\nEnabled: no\n"),
        (f"{LISTS}/vendor.list", "deb [signed-by=/usr/share/keyrings/v.gpg] https://apt.vendor.example/ stable main\n"),
        (f"{LISTS}/vendor.list.distUpgrade", "deb [trusted=yes] http://mirror/ y z\n"),
        ("/var/lib/dpkg/lock", ""),
        ("/var/lib/dpkg/triggers/Lock", ""),
        ("/var/lib/dpkg/diversions", "/bin/sh\n/bin/sh.distrib\ndash\n"),
        ("/etc/dpkg/dpkg.cfg.d/excludes", "path-exclude=/usr/share/man/*\n"),
        ("/usr/sbin/start-stop-daemon", "program"),
        ("/var/lib/rpm/rpmdb.sqlite", "SQLite format 3"),
        ("/var/lib/apt/lists/auxfiles/empty", ""),
        ("/var/cache/apt/pkgcache.bin", "x"),
        ("/var/log/journal/README", ""),
        ("/var/log/lastlog", ""),
        ("/var/lib/wtmpdb/wtmp.db", ""),
    ],
)
def test_stock_files_pass(tree: Path, path: str, content: str) -> None:
    """What distributions have on a disk that was never started is no finding."""
    write(tree, path, content)
    assert find_ids(tree) == set()


def test_rolling_releases_have_no_security_suite(tree: Path) -> None:
    """Debian unstable and Kali publish security updates in the suite itself."""
    for suite in ("sid", "kali-rolling"):
        write(tree, "/etc/apt/sources.list", f"deb http://deb.debian.example/debian {suite} main\n")
        assert find_ids(tree) == set()


def test_running_machine_may_use_the_mirror_next_door(tree: Path) -> None:
    """A private mirror is the build's in a template, and the owner's choice on a machine that runs."""
    write(tree, f"{LISTS}/a.list", "deb http://10.0.0.5/debian bookworm main\n")
    assert find_ids(tree) == {"apt-sources"}
    assert find_ids(tree, Policy(profile=Profile.CLONE)) == set()


def test_running_machine_has_logs(tree: Path) -> None:
    """Logs, journals and temporary files are normal where a machine runs; broken packages are not."""
    write(tree, "/var/log/auth.log", "x\n")
    write(tree, "/var/log/journal/0123456789abcdef0123456789abcdef/system.journal", "x")
    write(tree, "/tmp/x", "x")
    assert find_ids(tree) == {"logs", "journal", "tmp-contents"}
    assert find_ids(tree, Policy(profile=Profile.CLONE)) == set()
    write(tree, "/var/lib/dpkg/updates/0001", "Package: x\n")
    assert find_ids(tree, Policy(profile=Profile.CLONE)) == {"package-state"}


def test_journals_are_counted_by_machine(tree: Path) -> None:
    """One finding for each machine-id, not one for each file, and none of them again among the logs."""
    for name in ("system.journal", "user-1000.journal", "system@1.journal~"):
        write(tree, f"/var/log/journal/{'0' * 32}/{name}", "x" * 1024)
    (finding,) = [each for each in verify_directory(tree).findings if each.check in OURS]
    assert (finding.check, finding.path) == ("journal", f"/var/log/journal/{'0' * 32}")
    assert finding.found == "3 journal files, 3 KiB"


def test_merged_directories_give_one_finding(tree: Path) -> None:
    """Where /sbin is /usr/sbin, a file in it is reported once."""
    write(tree, "/usr/sbin/start-stop-daemon.REAL", "program")
    (finding,) = [each for each in verify_directory(tree).findings if each.check == "build-leftovers"]
    assert finding.fix == '`rm -rf "$path"`'


def test_login_database_is_seen_once(tree: Path) -> None:
    """Debian 13 links wtmpdb's database into /var/log: one file, one finding, and the link is not to be removed."""
    write(tree, "/var/log/wtmp.db", "SQLite format 3\0")
    (tree / "var/lib/wtmpdb").mkdir(parents=True)
    (tree / "var/lib/wtmpdb/wtmp.db").symlink_to("../../log/wtmp.db")
    findings = [each for each in verify_directory(tree).findings if each.check == "logs"]
    assert [finding.path for finding in findings] == ["/var/log/wtmp.db"]
