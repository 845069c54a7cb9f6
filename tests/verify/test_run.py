"""Running the checks: everything is counted, damage is a finding, nothing unseen passes."""

from pathlib import Path

from imagekit.verify import list_checks, render_text, verify_directory, verify_disk

NEED_A_DISK = {
    "uefi-fallback",
    "uefi-binary",
    "boot-references",
    "partition-table",
    "fs-clean",
    "disk-growth",
    "fstab-devices",
}


def test_clean_disk_passes_every_check(clean_disk: Path) -> None:
    """A clean template's disk has no finding, and every check has seen what it looks at."""
    report = verify_disk(clean_disk)
    assert report.findings == (), render_text(report)
    assert report.not_observed == ()
    assert set(report.passed) == {check.id for check in list_checks("template")}


def test_clean_directory_passes_what_it_shows(clean_tree: Path) -> None:
    """A clean directory has no finding, and checks that need a disk are not observed, never passed."""
    report = verify_directory(clean_tree)
    assert report.findings == (), render_text(report)
    assert {blind.check for blind in report.not_observed} == NEED_A_DISK
    assert not NEED_A_DISK & set(report.passed)
