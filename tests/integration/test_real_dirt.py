"""Disks that a real machine has written to, judged: what a boot leaves, and what ``cloud-init clean`` leaves of it.

The template is booted once as a clone and used. Everything that it then has and the template has not is either named
by a finding or known to be harmless, and nothing else is found. Seen with Debian 12's cloud-init 22.4.2: its clean-up
removes its own state and its logs, and nothing more; ``--machine-id`` deletes /etc/machine-id, which on a root that
starts read-only leaves the next clone without an id and without a network. Debian 13's 25.1.4, looked at once by hand
with Docker on the disk, differs in that: ``--machine-id`` writes ``uninitialized``, which passes, and what is left
else is the same, with Docker's engine id beside it.
"""

import re
from pathlib import Path

import pytest

from imagekit.disk.tree import FileType
from imagekit.report import Report, Severity
from imagekit.verify import verify_disk
from imagekit.verify.disk_view import open_disk_view
from tests.integration.used import NAME, PASSWORD, Used

pytestmark = pytest.mark.integration

_DOOR = {"account-passwords", "authorized-keys", "build-user", "ssh-host-keys", "sudo-nopasswd"}
_TRACES = {"hostname", "journal", "logs", "machine-id-traces", "random-seed", "shell-history", "tmp-contents"}
_ALWAYS = _DOOR | _TRACES | {"net-bound", "sshd-shadowed-setting"}
_STATE = {"cloud-init-state", "cloud-init-logs"}
_RUNNING = {"fs-clean"}  # the ESP was mounted when the disk was taken

# What a boot changes and no clone minds, or what belongs to something that is named by another path.
_HARMLESS = re.compile(
    r"/etc/(?:(?:passwd|group|shadow|gshadow|subuid|subgid)-?|default/locale)"  # the account is build-user's
    r"|/home/debian/\.(?:bashrc|profile|bash_logout)"  # so is its home
    r"|/etc/ssh/ssh_host_\w+_key\.pub"  # beside the private key that is named
    r"|/var/cache/debconf/.*"  # the locale, asked again
    r"|/var/lib/dbus/machine-id"  # a link to /etc/machine-id
    r"|/var/lib/systemd/(?:timers/stamp-.*\.timer|timesync/clock)"  # times of the last run, and of the last clock
    r"|/etc/\.updated|/var/\.updated|/boot/grub/grubenv"
)


def _ids(report: Report, *severities: Severity) -> set[str]:
    return {each.check for each in report.findings if each.severity in (severities or tuple(Severity))} - {"ghost-data"}


def _paths(report: Report, check: str) -> set[str]:
    return {each.path for each in report.findings if each.check == check}


def _list_files(disk: Path) -> dict[str, object]:
    """Return what is known of everything but directories; the content of what is below /etc as well."""
    with open_disk_view(disk) as view:
        return {
            path: (node.type, node.mode, node.uid, node.gid, node.size, path.startswith("/etc/") and view.text(path))
            for path, node in view.tree.walk()
            if node.type is not FileType.DIRECTORY
        }


def _list_unexplained(template: Path, disk: Path, report: Report) -> list[str]:
    """Return files that the template does not have, or has otherwise, and that neither are harmless nor found."""
    before, after = _list_files(template), _list_files(disk)
    found = tuple(each.path for each in report.findings)
    return [
        path
        for path, known in after.items()
        if before.get(path) != known and not _HARMLESS.fullmatch(path)
        and not any(path == place or path.startswith(f"{place}/") for place in found)
    ]  # fmt: skip


def test_booted_template_is_found_out(used: Used, template_disk: Path) -> None:
    """One boot leaves identity, doors, cloud-init's state and traces; each is named, and nothing else is."""
    report = verify_disk(used.booted)
    assert _ids(report) == _ALWAYS | _STATE | _RUNNING | {"machine-id"}
    assert _ids(report, Severity.FAIL) == _DOOR | {"machine-id", "net-bound", "cloud-init-state"}
    assert [each.check for each in report.not_observed] == ["ghost-data"]  # a mounted FAT's table is not believed
    (identity,) = [each for each in report.findings if each.check == "machine-id"]
    assert used.machine_id[:4] in identity.found
    assert f"/var/log/journal/{used.machine_id}" in _paths(report, "journal")
    assert _paths(report, "authorized-keys") == {"/home/debian/.ssh/authorized_keys", "/root/.ssh/authorized_keys"}
    assert [each.found for each in report.findings if each.check == "hostname"] == [f"names a machine: {NAME}"]
    assert "/home/debian/.bash_history" in _paths(report, "shell-history")
    assert _list_unexplained(template_disk, used.booted, report) == []
    assert PASSWORD not in repr(report)


def test_cloud_init_clean_is_partial(used: Used, template_disk: Path) -> None:
    """Its state and logs are gone; the id, the doors, the network file and every other trace are still there."""
    report = verify_disk(used.cleaned)
    assert set(report.passed) >= _STATE
    assert _ids(report) == _ALWAYS | _RUNNING | {"machine-id"}
    assert _list_unexplained(template_disk, used.cleaned, report) == []


def test_cloud_init_clean_of_the_machine_id(used: Used, template_disk: Path) -> None:
    """cloud-init 22.4.2 deletes the file, which is named as a failure; a machine that was shut down is clean there."""
    report = verify_disk(used.generalized)
    assert set(report.passed) >= _STATE | _RUNNING
    assert _ids(report) == _ALWAYS | {"machine-id", "cloud-init-version"}
    (identity,) = [each for each in report.findings if each.check == "machine-id"]
    assert (identity.severity, identity.found) == (Severity.FAIL, "there is no such file")
    assert report.not_observed == ()
    assert _list_unexplained(template_disk, used.generalized, report) == []
