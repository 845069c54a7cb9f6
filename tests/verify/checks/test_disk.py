"""Partition tables and free blocks that are right although they are not those of the usual template."""

from pathlib import Path
from random import Random

import pytest

from imagekit.host import run
from imagekit.image import Firmware
from imagekit.verify import Policy, verify_disk
from imagekit.verify.check import Profile
from tests.verify.clean_tree import ROOT_OFFSET
from tests.verify.dirty.deep import write_and_delete
from tests.verify.dirty.disk import poke, relabel_as_mbr


def list_findings(disk: Path, check: str, policy: Policy) -> list[tuple[str, str]]:
    """Return severity and text of a check's findings; it must have been made."""
    report = verify_disk(disk, policy)
    assert check not in {each.check for each in report.not_observed}
    return [(each.severity.value, each.found) for each in report.findings if each.check == check]


def test_mbr_is_right_where_a_bios_starts(disk: Path) -> None:
    """With SeaBIOS an MBR is a table like any other; PARTUUID references to it are looked up."""
    relabel_as_mbr(disk)
    assert list_findings(disk, "partition-table", Policy(firmware=Firmware.SEABIOS)) == []
    assert list_findings(disk, "partition-table", Policy(firmware=Firmware.OVMF)) == [
        ("fail", "it is an MBR, and there is no GPT for the UEFI firmware")
    ]


def test_mbr_is_right_on_a_card(disk: Path) -> None:
    """A Raspberry Pi reads an MBR and does not look at the boot flag."""
    relabel_as_mbr(disk)
    poke(disk, 446 + 16, b"\0")
    assert list_findings(disk, "partition-table", Policy(profile=Profile.SD_IMAGE)) == []
    assert list_findings(disk, "partition-table", Policy(firmware=Firmware.SEABIOS)) == [
        ("info", "no partition is marked as bootable")
    ]


def test_esp_of_an_mbr_is_found(disk: Path) -> None:
    """The EFI system partition is known by its type there too."""
    relabel_as_mbr(disk)
    assert not [text for _, text in list_findings(disk, "uefi-fallback", Policy()) if "no EFI system partition" in text]


def test_clean_free_blocks_pass_deeply(disk: Path) -> None:
    """A fresh filesystem has nothing in its free blocks, and little old data is not worth a word."""
    assert list_findings(disk, "ghost-data", Policy(deep=True)) == []
    write_and_delete(Random(2).randbytes(200_000))(disk)
    assert list_findings(disk, "ghost-data", Policy()) == []
    assert list_findings(disk, "ghost-data", Policy(deep=True)) == []


def test_free_blocks_that_are_not_known_do_not_pass(disk: Path) -> None:
    """A filesystem that was in use does not say what is free: the check was not made, and says for which partition."""
    run(["debugfs", "-w", "-R", "set_super_value state 0", f"{disk}?offset={ROOT_OFFSET}"])
    report = verify_disk(disk, Policy(deep=True))
    assert [each.reason for each in report.not_observed if each.check == "ghost-data"] == [
        "which blocks are free is not known for partition 2"
    ]
    assert "ghost-data" not in report.passed


def test_deep_run_may_take_longer_on_a_larger_disk(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time for a quick run does not end a deep one, whose budget grows with the disk."""
    monkeypatch.setattr("imagekit.verify.run._SECONDS", 0.0)
    assert "image-too-slow" in {each.check for each in verify_disk(disk).findings}
    assert "ghost-data" in verify_disk(disk, Policy(deep=True)).passed
