"""Every check can fail: for each id, changes to a clean template that must make it appear, and nothing else but kin."""

import contextlib
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree
from imagekit.progress import silent
from imagekit.report import Report
from imagekit.verify import Policy, Profile, View, list_checks, verify_directory, verify_disk
from imagekit.verify.formats.text import render_text
from imagekit.verify.live import LiveFacts
from imagekit.verify.run import verify_view
from imagekit.verify.view import ViewKind
from tests.verify.clean_tree import ROOT_OFFSET, make_root_filesystem, splice
from tests.verify.dirty import ALL_DIRT, DISK_DIRT, KIN, ROOT_DIRT, TREE_DIRT
from tests.verify.dirty.change import Dirt
from tests.verify.dirty.live import CLEAN_ANSWERS, LIVE_DIRT, LiveDirt
from tests.verify.dirty.sd_image import SD_DIRT
from tests.verify.dirty.vm_config import VM_DIRT

# Each check and severity that some dirt shows, whatever kind of target it is dirt of.
SHOWN = (
    {(dirt.check, dirt.severity) for dirt in ALL_DIRT}
    | {(dirt.check, dirt.severity) for dirt in VM_DIRT}
    | {(dirt.check, dirt.severity) for dirt in LIVE_DIRT}
    | {(dirt.check, dirt.severity) for dirt in SD_DIRT}
)


def assert_reported(report: Report, dirt: Dirt) -> None:
    """Assert that the dirt's check speaks, with its severity, about its path, and that only its kin speaks too."""
    found = [finding for finding in report.findings if finding.check == dirt.check]
    assert any(finding.severity is dirt.severity and dirt.path in finding.path for finding in found), render_text(
        report
    )
    assert dirt.check not in report.passed
    others = {finding.check for finding in report.findings} - {dirt.check}
    assert others <= KIN.get(dirt.check, set()), render_text(report)


@pytest.mark.parametrize("dirt", TREE_DIRT, ids=str)
def test_dirty_tree_is_reported(dirt: Dirt, tree: Path) -> None:
    """A change to the tree makes its check report it."""
    dirt.change(tree)
    assert_reported(verify_directory(tree, dirt.policy), dirt)


@pytest.mark.parametrize("dirt", ROOT_DIRT, ids=str)
def test_dirty_root_is_reported_on_a_disk(dirt: Dirt, tree: Path, disk: Path, tmp_path: Path) -> None:
    """A change to the tree that only a disk can judge makes its check report it."""
    dirt.change(tree)
    make_root_filesystem(tree, tmp_path / "root.ext4")
    splice(disk, ROOT_OFFSET, tmp_path / "root.ext4")
    assert_reported(verify_disk(disk, dirt.policy), dirt)


@pytest.mark.parametrize("dirt", DISK_DIRT, ids=str)
def test_dirty_disk_is_reported(dirt: Dirt, disk: Path) -> None:
    """A change to the disk's own bytes makes its check report it."""
    dirt.change(disk)
    assert_reported(verify_disk(disk, dirt.policy), dirt)


def verify_live(tree: Path, answers: LiveFacts) -> Report:
    """Verify a tree as the files of a running machine that gives these answers."""
    with Directory(tree) as source:
        view = View(ViewKind.SSH, FileTree(source), live=answers)
        policy = Policy(profile=Profile.CLONE)
        return verify_view(contextlib.nullcontext(view), ViewKind.SSH, "clone", policy, silent)


@pytest.mark.parametrize("dirt", LIVE_DIRT, ids=str)
def test_dirty_machine_is_reported(dirt: LiveDirt, clean_tree: Path) -> None:
    """An answer of a running machine makes its check report it, and no check that the clean answers did not."""
    clean = {finding.check for finding in verify_live(clean_tree, CLEAN_ANSWERS).findings}
    assert dirt.check not in clean
    report = verify_live(clean_tree, dirt.answers)
    found = [finding for finding in report.findings if finding.check == dirt.check]
    assert any(finding.severity is dirt.severity and dirt.path in finding.path for finding in found), render_text(
        report
    )
    assert dirt.check not in report.passed
    assert {finding.check for finding in report.findings} - clean == {dirt.check}


def test_every_check_has_dirt() -> None:
    """A check that was never seen to fail does not exist."""
    assert {check.id for check in list_checks()} == {check for check, _ in SHOWN}


def test_every_severity_of_a_check_is_proven() -> None:
    """Each check's own severity is among those its dirt shows."""
    for check in list_checks():
        assert (check.id, check.severity) in SHOWN, check.id
