"""A machine that runs: what it does not say is not observed, and what is normal passes."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree
from imagekit.progress import silent
from imagekit.report import Report
from imagekit.verify import Policy, Profile, View, verify_directory
from imagekit.verify.live import LiveFacts
from imagekit.verify.run import verify_view
from imagekit.verify.view import ViewKind
from tests.verify.clean_tree import write
from tests.verify.dirty.live import CLEAN_ANSWERS

OURS = {"failed-units", "cloud-init-status", "disk-grown", "sshd-in-effect"}


def verify_answers(tree: Path, answers: LiveFacts) -> Report:
    """Verify a tree as the files of a running machine that gives these answers."""
    with Directory(tree) as source:
        view = View(ViewKind.SSH, FileTree(source), live=answers)
        opening = contextlib.nullcontext(view)
        return verify_view(opening, ViewKind.SSH, "clone", Policy(profile=Profile.CLONE), silent)


def test_healthy_machine_passes(clean_tree: Path) -> None:
    """A machine that is up, finished and grown passes every live check."""
    assert set(verify_answers(clean_tree, CLEAN_ANSWERS).passed) >= OURS


def test_silence_is_not_observed(clean_tree: Path) -> None:
    """Nothing was asked successfully, so nothing has passed."""
    silence = LiveFacts((), "", "", None, 0, 0)
    report = verify_answers(clean_tree, silence)
    assert {blind.check for blind in report.not_observed} >= OURS
    assert not OURS & {finding.check for finding in report.findings}


def test_disk_at_rest_is_not_asked(clean_tree: Path) -> None:
    """Files alone do not tell what runs: judged as a clone, a directory leaves these checks unobserved."""
    report = verify_directory(clean_tree, Policy(profile=Profile.CLONE))
    assert {blind.check for blind in report.not_observed} >= OURS


@pytest.mark.parametrize(("root", "disk"), [(11 << 30, 20 << 30), (500 << 20, 1 << 30), (19 << 30, 19 << 30)])
def test_other_partitions_are_no_missing_growth(clean_tree: Path, root: int, disk: int) -> None:
    """A root of half the disk, or a disk so small that partitions of boot weigh, is no alarm."""
    report = verify_answers(clean_tree, replace(CLEAN_ANSWERS, root_bytes=root, disk_bytes=disk))
    assert "disk-grown" in report.passed


def test_disabled_cloud_init_is_no_trouble(clean_tree: Path) -> None:
    """Many operators turn cloud-init off after the first boot."""
    assert "cloud-init-status" in verify_answers(clean_tree, replace(CLEAN_ANSWERS, cloud_init="disabled")).passed


def test_what_the_files_say_is_not_reported_twice(tree: Path) -> None:
    """Where the files themselves allow passwords, their own check speaks and this one does not."""
    write(tree, "/etc/ssh/sshd_config.d/00-policy.conf", "PasswordAuthentication yes\nPermitRootLogin no\n")
    answers = replace(CLEAN_ANSWERS, sshd_config=("passwordauthentication yes", "permitrootlogin no"))
    assert "sshd-in-effect" in verify_answers(tree, answers).passed
