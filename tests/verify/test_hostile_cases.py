"""Disks that were made to hurt, one by one: each ends soon, in little memory, and never as if nothing were wrong."""

import re
import shutil
from pathlib import Path

import pytest

from imagekit.errors import ImagekitError
from imagekit.report import Report
from imagekit.verify import verify_disk
from tests.fuzz.limits import limited_memory, limited_seconds
from tests.verify.hostile_cases import CASES, Hostile

SECONDS = 5.0  # of processor time
MEMORY_MIB = 256


def list_words(report: Report) -> set[str]:
    """Return what a report says: its findings, and what was not observed and why."""
    findings = {f"{each.check}: {each.path}: {each.found}" for each in report.findings}
    return findings | {f"{each.check} not observed: {each.reason}" for each in report.not_observed}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile_disk_is_told(case: Hostile, clean_disk: Path, clean_tree: Path, tmp_path: Path) -> None:
    """Verification ends within 5 seconds and 256 MiB, with a finding, something not observed, or an error of ours."""
    disk, tree, work = tmp_path / "disk.raw", tmp_path / "tree", tmp_path / "work"
    shutil.copy(clean_disk, disk)
    shutil.copytree(clean_tree, tree, symlinks=True)
    work.mkdir()
    target = case.make(disk, tree, work) or disk
    usual = list_words(verify_disk(clean_disk))
    with limited_memory(MEMORY_MIB), limited_seconds(SECONDS):
        try:
            words = list_words(verify_disk(target)) - usual
        except ImagekitError as problem:
            words = {problem.message}
    assert words, "nothing was said about it"
    assert any(re.search(case.said, word, re.DOTALL) for word in words), words
