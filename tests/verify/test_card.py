"""A NixOS card as a whole: a fresh one passes, each kind of dirt is reported, and hostile ones end in a report."""

import os
import shutil
from pathlib import Path

import pytest

from imagekit.report import Severity
from imagekit.verify import Policy, Profile, list_checks, verify_directory, verify_disk
from imagekit.verify.disk_view import open_disk_view
from imagekit.verify.formats.text import render_text
from tests.verify.clean_card import (
    ROOT_BYTES,
    ROOT_OFFSET,
    make_card,
    make_card_root,
    make_card_tree,
    partition_card,
)
from tests.verify.clean_tree import splice, write
from tests.verify.dirty.change import Dirt
from tests.verify.dirty.disk import poke
from tests.verify.dirty.sd_disk import CARD, DEEP, SD_DISK_DIRT
from tests.verify.dirty.sd_image import HOUSE, SD_KIN, SD_ROOT_DIRT


@pytest.fixture(scope="session")
def clean_card_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean card's root tree; do not change it."""
    return make_card_tree(tmp_path_factory.mktemp("card-tree") / "root")


@pytest.fixture(scope="session")
def clean_card(clean_card_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean card's image; do not change it."""
    work = tmp_path_factory.mktemp("card")
    make_card(clean_card_tree, work / "card.img", work)
    return work / "card.img"


@pytest.fixture
def card(clean_card: Path, tmp_path: Path) -> Path:
    """A copy of the clean card to make dirty."""
    return Path(shutil.copy(clean_card, tmp_path / "card.img"))


@pytest.fixture
def card_tree(clean_card_tree: Path, tmp_path: Path) -> Path:
    """A copy of the clean card's tree to make dirty."""
    return Path(shutil.copytree(clean_card_tree, tmp_path / "root", symlinks=True))


def assert_card_reported(card: Path, dirt: Dirt) -> None:
    """Assert that the dirt's check speaks, with its severity, about its path, and that only its kin speaks too."""
    report = verify_disk(card, dirt.policy)
    found = [finding for finding in report.findings if finding.check == dirt.check]
    assert any(each.severity is dirt.severity and dirt.path in each.path for each in found), render_text(report)
    others = {finding.check for finding in report.findings} - {dirt.check}
    assert others <= SD_KIN.get(dirt.check, set()), render_text(report)
    assert "canary" not in "".join(finding.found for finding in report.findings).lower()


@pytest.mark.parametrize("dirt", SD_ROOT_DIRT, ids=str)
def test_dirty_root_of_a_card_is_reported(dirt: Dirt, card_tree: Path, card: Path, tmp_path: Path) -> None:
    """A change to the card's root makes its check report it, without the secret."""
    dirt.change(card_tree)
    make_card_root(card_tree, tmp_path / "card.ext4")
    splice(card, ROOT_OFFSET, tmp_path / "card.ext4")
    assert_card_reported(card, dirt)


@pytest.mark.parametrize("dirt", SD_DISK_DIRT, ids=str)
def test_dirty_card_is_reported(dirt: Dirt, card: Path) -> None:
    """A change to the card's own bytes makes its check report it."""
    dirt.change(card)
    assert_card_reported(card, dirt)


def test_clean_card_passes_every_check(clean_card: Path) -> None:
    """A card that nixpkgs has just made has no finding, and everything that concerns it is observed."""
    report = verify_disk(clean_card, CARD)
    assert not report.findings, render_text(report)
    assert not report.not_observed
    assert {check.id for check in list_checks("sd-image") if check.id.startswith("sd-")} <= set(report.passed)


def test_clean_card_passes_a_deep_verification(clean_card: Path) -> None:
    """What packages bring, examples and libraries, is no secret of the build."""
    assert not verify_disk(clean_card, DEEP).findings


def test_card_of_its_house_passes(clean_card: Path) -> None:
    """A card with the name, address, router, keys and services that its definition names is clean."""
    report = verify_disk(clean_card, HOUSE)
    assert report.findings == ()
    assert "sd-site" in report.passed


def test_directory_of_a_fresh_card_is_judged(clean_card_tree: Path) -> None:
    """A store without /etc is a system; what is on the image alone is not observed."""
    report = verify_directory(clean_card_tree, CARD)
    assert not report.findings, render_text(report)
    unseen = {each.check for each in report.not_observed if each.check.startswith("sd-")}
    assert unseen == {"sd-layout", "sd-firmware", "sd-shared-ids"}


def test_ids_that_nixpkgs_gives_are_no_failure(card: Path) -> None:
    """The ids that every image of nixpkgs has are told, and fail nothing."""
    for dirt in SD_DISK_DIRT:
        if dirt.check == "sd-shared-ids":
            dirt.change(card)
    report = verify_disk(card, CARD)
    assert [finding.check for finding in report.findings] == ["sd-shared-ids"] * 3
    assert {finding.severity for finding in report.findings} == {Severity.INFO}


def test_system_is_preferred_to_a_store(clean_card_tree: Path, card: Path, tmp_path: Path) -> None:
    """A second filesystem with a store is data where another one holds an operating system."""
    behind = ROOT_OFFSET + ROOT_BYTES
    os.truncate(card, behind + ROOT_BYTES)
    partition_card(card, "type=b", "type=83, bootable", f"start={behind // 512}, type=83")
    shutil.copytree(clean_card_tree, tmp_path / "root", symlinks=True)
    write(tmp_path / "root", "/etc/os-release", "ID=nixos\n")
    make_card_root(tmp_path / "root", tmp_path / "card.ext4")
    splice(card, behind, tmp_path / "card.ext4")
    with open_disk_view(card) as view:
        assert view.root_volume().device == "partition 3"


def test_card_is_no_template(clean_card: Path) -> None:
    """Judged as a template, a card is opened, and checks of cards are not made."""
    report = verify_disk(clean_card, Policy(profile=Profile.TEMPLATE))
    assert not any(finding.check.startswith("sd-") for finding in report.findings)


@pytest.mark.parametrize("seed", range(40))
def test_garbled_card_ends_in_a_report(seed: int, card: Path) -> None:
    """Bytes that are no longer what they were are findings, or refused as no system; nothing else escapes."""
    import random

    from imagekit.errors import ImagekitError

    random_source = random.Random(seed)
    size = card.stat().st_size
    for _ in range(200):
        poke(card, random_source.randrange(size), random_source.randbytes(random_source.randrange(1, 9)))
    try:
        report = verify_disk(card, CARD)
    except ImagekitError:
        return
    assert len(report.passed) + len(report.not_observed) + len({each.check for each in report.findings}) > 0
