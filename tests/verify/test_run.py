"""Running the checks: everything is counted, damage is a finding, nothing unseen passes."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagekit.errors import DefinitionInvalid, ImageDamaged, VerificationFailed
from imagekit.image import Architecture, Firmware
from imagekit.progress import Event
from imagekit.report import Report, Severity
from imagekit.verify import (
    CannotSee,
    Check,
    Policy,
    Profile,
    Seen,
    Subject,
    View,
    catalogue,
    explain,
    list_checks,
    parse_profile,
    verify_directory,
    verify_disk,
)
from imagekit.verify import run as run_module
from imagekit.verify.formats.document import render_json
from imagekit.verify.formats.junit import render_junit
from imagekit.verify.formats.text import render_text
from tests.verify.clean_tree import (
    ESP_BYTES,
    ESP_OFFSET,
    ROOT_BYTES,
    ROOT_OFFSET,
    append,
    link,
    make_tree,
    partition,
    splice,
    write,
)
from tests.verify.dirty import ALL_DIRT, DISK_DIRT, ROOT_DIRT, TREE_DIRT
from tests.verify.dirty.change import HASH, PRIVATE_KEY, PUBLIC_KEY

ALL_SECRETS = {
    "account-backups", "cli-credentials", "cron-spool", "installer-secrets", "mail-spool", "network-secrets",
    "private-keys", "repo-credentials", "secret-strings", "shell-history", "tls-private-keys", "vcs-leftovers",
}  # fmt: skip
# A check that a directory can show dirty has dirt for one; the others need a disk.
NEED_A_DISK = {dirt.check for dirt in (*ROOT_DIRT, *DISK_DIRT)} - {dirt.check for dirt in TREE_DIRT}


def with_check(monkeypatch: pytest.MonkeyPatch, find: object) -> None:
    """Make one check of the test's own the only one there is."""
    check = Check("made-up", Severity.WARN, Subject.TRACES, "why", "fix", find)  # type: ignore[arg-type]
    monkeypatch.setattr(catalogue, "CHECKS", (check,))


def offline_checks(profile: Profile = Profile.TEMPLATE) -> set[str]:
    """Return the ids of a profile's checks that are about an image and not about a VM's configuration."""
    return {check.id for check in list_checks(profile) if check.subject is not Subject.VM_CONFIG}


def count_everything(report: Report) -> set[str]:
    """Return every id that the report mentions."""
    found = {finding.check for finding in report.findings}
    return found | set(report.passed) | {blind.check for blind in report.not_observed}


def test_clean_disk_passes_every_check(clean_disk: Path) -> None:
    """A clean template's disk has no finding, and every check has seen what it looks at."""
    report = verify_disk(clean_disk)
    assert report.findings == (), render_text(report)
    assert report.not_observed == ()
    assert set(report.passed) == offline_checks()


def test_clean_directory_passes_what_it_shows(clean_tree: Path) -> None:
    """A clean directory has no finding, and checks that need a disk are not observed, never passed."""
    report = verify_directory(clean_tree)
    assert report.findings == (), render_text(report)
    assert {blind.check for blind in report.not_observed} == NEED_A_DISK
    assert not NEED_A_DISK & set(report.passed)


def test_container_profile_leaves_machine_checks_out(clean_tree: Path) -> None:
    """A container has no boot, disk or agent, so those checks are not even counted."""
    report = verify_directory(clean_tree, Policy(profile=Profile.CONTAINER))
    # file-modes is about containers too, and needs owners that only a disk shows for certain
    machine_only = NEED_A_DISK - {"file-modes"} | {"qemu-guest-agent", "cloud-init-installed"}
    assert not count_everything(report) & machine_only
    assert "account-passwords" in report.passed


def test_unknown_profile_is_refused(clean_tree: Path) -> None:
    """A profile that does not exist is the operator's error, with the names that do."""
    with pytest.raises(DefinitionInvalid) as caught:
        parse_profile("templat")
    assert "template" in (caught.value.hint or "")


def test_allowed_user_is_no_finding(tree: Path) -> None:
    """A user whom the definition names may have an account, keys and a sudoers file of their own."""
    append(tree, "/etc/passwd", "ops:x:1000:1000::/home/ops:/bin/bash\n")
    append(tree, "/etc/shadow", "ops:*:1::::::\n")
    write(tree, "/home/ops/.ssh/authorized_keys", PUBLIC_KEY)
    write(tree, "/etc/sudoers.d/ops", "ops ALL=(ALL) NOPASSWD:ALL\n")
    assert {finding.check for finding in verify_directory(tree).findings} == {
        "build-user",
        "authorized-keys",
        "sudo-nopasswd",
    }
    assert verify_directory(tree, Policy(allow_users=("ops",))).findings == ()


def test_allowed_user_shares_no_sudoers_file(tree: Path) -> None:
    """A sudoers file that names somebody else beside the allowed user is reported."""
    write(tree, "/etc/sudoers.d/ops", "ops ALL=(ALL) NOPASSWD:ALL\npacker ALL=(ALL) NOPASSWD:ALL\n")
    report = verify_directory(tree, Policy(allow_users=("ops",)))
    assert [finding.check for finding in report.findings] == ["sudo-nopasswd"]


def test_allowed_user_still_needs_no_password(tree: Path) -> None:
    """The definition gives keys, never a password: a hash of an allowed user is a finding."""
    append(tree, "/etc/passwd", "ops:x:1000:1000::/home/ops:/bin/bash\n")
    append(tree, "/etc/shadow", f"ops:{HASH}:1::::::\n")
    report = verify_directory(tree, Policy(allow_users=("ops",)))
    assert [finding.check for finding in report.findings] == ["account-passwords"]


def test_seabios_image_has_no_uefi_checks(clean_disk: Path) -> None:
    """For SeaBIOS the EFI checks do not apply: they are not observed, not passed."""
    report = verify_disk(clean_disk, Policy(firmware=Firmware.SEABIOS))
    assert {blind.check for blind in report.not_observed} == {"uefi-fallback", "uefi-binary"}


def test_architecture_chooses_loader_and_console(clean_disk: Path) -> None:
    """An arm64 definition wants BOOTAA64.EFI and ttyAMA0."""
    report = verify_disk(clean_disk, Policy(architecture=Architecture.ARM64))
    assert {finding.check for finding in report.findings} == {"uefi-fallback", "serial-console"}


def test_disk_without_system_is_an_error(disk: Path) -> None:
    """A disk on which nobody is at home gives a sentence, not a report full of passes."""
    with disk.open("r+b") as file:
        file.seek(ROOT_OFFSET)
        file.write(bytes(ROOT_BYTES))
    with pytest.raises(VerificationFailed, match="no operating system"):
        verify_disk(disk)


def test_disk_with_two_systems_is_an_error(disk: Path, tmp_path: Path) -> None:
    """Which of two roots would be the template is not guessed."""
    root = disk.read_bytes()[ROOT_OFFSET : ROOT_OFFSET + ROOT_BYTES]
    (tmp_path / "root").write_bytes(root)
    second = ROOT_OFFSET + ROOT_BYTES
    with disk.open("r+b") as file:
        file.truncate(second + ROOT_BYTES + (1 << 20))
    places = [(ESP_OFFSET, ESP_BYTES, "U"), (ROOT_OFFSET, ROOT_BYTES, "L"), (second, ROOT_BYTES, "L")]
    partition(disk, places, disk.stat().st_size)
    splice(disk, second, tmp_path / "root")
    with pytest.raises(VerificationFailed, match="more than one operating system"):
        verify_disk(disk)


def test_damaged_root_is_a_finding(disk: Path) -> None:
    """A root whose superblock contradicts itself gives a failed report in which nothing passed."""
    with disk.open("r+b") as file:
        file.seek(ROOT_OFFSET + 1024 + 24)
        file.write(b"\xff\xff\xff\xff")
    report = verify_disk(disk)
    assert [finding.check for finding in report.findings] == ["image-damaged"]
    assert report.failed
    assert report.passed == ()
    assert len(report.not_observed) == len(offline_checks())


def test_damage_met_by_a_check_is_a_finding(monkeypatch: pytest.MonkeyPatch, clean_tree: Path) -> None:
    """Damage that a check meets is reported, what it had seen is kept, and the check did not pass."""

    def find(_view: View, _policy: Policy) -> Iterator[Seen]:
        yield Seen("/a", "seen before")
        raise ImageDamaged("the bytes are wrong")

    with_check(monkeypatch, find)
    report = verify_directory(clean_tree)
    assert [(finding.check, finding.severity) for finding in report.findings] == [
        ("image-damaged", Severity.FAIL),
        ("made-up", Severity.WARN),
    ]
    assert [blind.check for blind in report.not_observed] == ["made-up"]
    assert report.passed == ()


def test_blind_check_is_not_observed(monkeypatch: pytest.MonkeyPatch, clean_tree: Path) -> None:
    """A check that cannot see is recorded with its reason and never passes."""

    def find(_view: View, _policy: Policy) -> Iterator[Seen]:
        raise CannotSee("it is \x1b[31mdark")
        yield

    with_check(monkeypatch, find)
    report = verify_directory(clean_tree)
    assert report.passed == ()
    assert report.not_observed[0].reason == "it is \\x1b[31mdark"


def test_findings_are_capped_and_counted(monkeypatch: pytest.MonkeyPatch, clean_tree: Path) -> None:
    """At most 20 findings per check, one per path, and a last one that counts the rest."""

    def find(_view: View, _policy: Policy) -> Iterator[Seen]:
        for number in range(50):
            yield Seen(f"/{number % 30}", f"thing {number}")

    with_check(monkeypatch, find)
    findings = verify_directory(clean_tree).findings
    assert len(findings) == 21
    assert "thing 0; thing 30" in {finding.found for finding in findings}
    assert "and 10 more places" in {finding.found for finding in findings}


def test_endless_check_ends(monkeypatch: pytest.MonkeyPatch, clean_tree: Path) -> None:
    """A check that an image keeps busy for ever is stopped and says so."""

    def find(_view: View, _policy: Policy) -> Iterator[Seen]:
        while True:
            yield Seen("/same", "again")

    with_check(monkeypatch, find)
    monkeypatch.setattr(run_module, "_SECONDS", 0.001)
    report = verify_directory(clean_tree)
    assert {finding.check for finding in report.findings} == {"made-up", "image-too-slow"}
    assert report.failed
    assert report.passed == ()


def test_unreadable_file_is_not_observed(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    """What this user may not read is not observed (the kernel's refusal is imitated: tests may run as root)."""
    real = os.open

    def refuse(path: object, *rest: Any, **options: Any) -> int:
        if path == "shadow":
            raise PermissionError(13, "Permission denied", "shadow")
        return real(path, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", refuse)
    report = verify_directory(tree)
    assert "account-passwords" in {blind.check for blind in report.not_observed}
    assert "account-passwords" not in report.passed


def test_progress_counts_to_the_end(clean_tree: Path) -> None:
    """Progress of a deep run names every check once and ends full."""
    events: list[Event] = []
    verify_directory(clean_tree, Policy(deep=True), progress=events.append)
    assert events[-1].done == events[-1].total == len(offline_checks())
    assert {event.detail for event in events[:-1]} == offline_checks()


def test_secrets_never_reach_any_output(tree: Path) -> None:
    """Hashes, key material and passwords of a thoroughly dirty image are in no rendering of its report."""
    for place in ("/root/.ssh/id_rsa", "/srv/a.key", "/etc/ssh/ssh_host_rsa_key", "/var/log/installer/x"):
        write(tree, place, PRIVATE_KEY)
    write(tree, "/root/.bash_history", "mysql --password=canarypassword\n")
    write(tree, "/etc/apt/auth.conf", "machine m login l password canarypassword\n")
    write(tree, "/etc/apt/sources.list.d/x.list", "deb https://u:canarypassword@h/ bookworm main\n")
    write(tree, "/etc/apt/apt.conf.d/p", 'Acquire::http::Proxy "http://u:canarypassword@h";\n')
    write(tree, "/etc/environment", "http_proxy=http://u:canarypassword@h\n")
    for dirt in TREE_DIRT:  # everything that the checks for credentials were made to find
        if dirt.check in ALL_SECRETS:
            dirt.change(tree)
    append(tree, "/etc/passwd", f"x:{HASH}:0:0::/root:/bin/bash\n")
    append(tree, "/etc/shadow", f"y:{HASH}:1::::::\nz:!{HASH}:1::::::\n")
    report = verify_directory(tree)
    outputs = (render_text(report), repr(render_json(report)), render_junit(report))
    assert {finding.check for finding in report.findings} >= ALL_SECRETS
    for output in outputs:
        assert "canary" not in output.lower()


def test_hostile_names_cannot_reach_the_terminal(tree: Path) -> None:
    """Escape sequences, newlines and direction marks in names and values are shown as escapes."""
    write(tree, "/tmp/\x1b[2Jx\n\u202egnp.exe", "x")
    write(tree, "/etc/hostname", "box\x1b]0;owned\x07\n")
    (tree / "tmp" / os.fsdecode(b"bad\xff")).write_bytes(b"x")
    report = verify_directory(tree)
    text = render_text(report)
    assert not any(ord(character) < 32 and character != "\n" for character in text)
    assert "\u202e" not in text
    assert "\\x1b[2Jx\\x0a\\u202egnp.exe" in text
    assert "bad\\xff" in text
    assert text.encode()


def test_explain_tells_why_and_how() -> None:
    """Every check explains itself: what it looks for, why it hurts, how to mend it."""
    for check in list_checks():
        text = explain(check.id)
        assert check.why in text
        assert check.fix in text
        assert check.find.__doc__


def test_explain_suggests_the_nearest_id() -> None:
    """A mistyped id gets a suggestion."""
    with pytest.raises(DefinitionInvalid) as caught:
        explain("machine-ids")
    assert caught.value.hint == "did you mean machine-id?"


def test_ids_are_unique_and_plain() -> None:
    """Ids are stable names in lower case, each used once."""
    ids = [check.id for check in list_checks()]
    assert len(ids) == len(set(ids))
    assert all(check_id.replace("-", "").isalnum() and check_id == check_id.lower() for check_id in ids)


def test_every_report_counts_every_check(tree: Path) -> None:
    """Whatever is wrong, no check is lost from the report."""
    for dirt in ALL_DIRT[:3]:
        dirt.change(tree)
    assert count_everything(verify_directory(tree)) == offline_checks()


def test_image_that_is_no_disk_is_an_error(tmp_path: Path) -> None:
    """A qcow2 file, or one that is missing, gives a sentence."""
    (tmp_path / "a.qcow2").write_bytes(b"QFI\xfb" + bytes(4096))
    for name in ("a.qcow2", "missing.raw"):
        with pytest.raises(VerificationFailed):
            verify_disk(tmp_path / name)


def test_directory_without_system_is_an_error(tmp_path: Path) -> None:
    """An empty directory is not a clean template."""
    with pytest.raises(VerificationFailed, match="no operating system"):
        verify_directory(tmp_path)


def test_verifying_changes_nothing(tmp_path: Path, disk: Path) -> None:
    """The disk's bytes and the directory's files are the same afterwards."""
    before = disk.read_bytes()
    verify_disk(disk)
    assert disk.read_bytes() == before
    root = make_tree(tmp_path / "again")
    files = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    verify_directory(root)
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == files


def test_walk_without_findings_ends_too(monkeypatch: pytest.MonkeyPatch, tree: Path) -> None:
    """A tree that yields nothing to report still cannot hold the verifier beyond its time."""
    monkeypatch.setattr(run_module, "_SECONDS", -1.0)
    report = verify_directory(tree)
    assert report.passed == ()
    assert len(report.not_observed) == len(offline_checks())


@pytest.mark.parametrize("profile", [Profile.TEMPLATE, Profile.CONTAINER])
def test_live_root_is_refused(profile: Profile) -> None:
    """The root of the machine itself is nobody's template, and the hint says how to ask about it."""
    with pytest.raises(VerificationFailed, match="machine that runs") as caught:
        verify_directory(Path("/"), Policy(profile=profile))
    assert "--profile clone" in (caught.value.hint or "")


def test_mounted_root_with_its_processes_is_refused(tree: Path) -> None:
    """A root somewhere else with a process table in it runs as well."""
    link(tree, "/proc/self", "1")
    with pytest.raises(VerificationFailed, match="machine that runs"):
        verify_directory(tree)
