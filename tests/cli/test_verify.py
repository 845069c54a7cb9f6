"""verify: findings as text, JSON or JUnit on standard output, and exit 5 when a check fails."""

import json
import os
import shutil
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from imagekit.host import run
from imagekit.image import Architecture, BuiltImage, Digest, DiskImage, Firmware
from imagekit.report import VerifiedImage
from imagekit.settings import read_settings
from imagekit.store import open_store
from tests.cli.conftest import Program
from tests.store.samples import at, make_provenance, make_report
from tests.verify.clean_tree import ROOT_OFFSET


@pytest.fixture
def dirty_disk(clean_disk: Path, tmp_path: Path) -> Path:
    """Return a disk with a machine id left in it, in a file whose name holds an escape."""
    disk = Path(shutil.copy(clean_disk, tmp_path / "dirty\x1b[31m.raw"))
    given = tmp_path / "machine-id"
    given.write_text("0123456789abcdef0123456789abcdef\n")
    link = tmp_path / "disk.raw"
    link.symlink_to(disk)
    script = f"rm /etc/machine-id\nwrite {given} /etc/machine-id\n"
    run(["debugfs", "-w", "-f", "-", f"{link}?offset={ROOT_OFFSET}"], stdin=script.encode())
    return disk


def test_clean_disk_passes(program: Program, clean_disk: Path) -> None:
    """A fit disk ends with 0 and a line that counts the checks."""
    said = program("verify", os.fspath(clean_disk))
    assert said.errors == ""
    assert ": 0 fail, 0 warn" in said.output.splitlines()[-1]


def test_unfit_disk_is_exit_5(program: Program, dirty_disk: Path) -> None:
    """A finding that fails ends with 5; its line names check, file and remedy, and no escape of a file's name."""
    said = program("verify", os.fspath(dirty_disk), status=5)
    assert said.errors == ""
    first, _, third, *_ = said.output.splitlines()
    assert first.split()[:3] == ["fail", "machine-id", "/etc/machine-id"]
    assert third.strip().startswith("fix: ")


def test_findings_as_a_document(program: Program, dirty_disk: Path) -> None:
    """``--json`` and ``--format json`` are the same one document, with the exit code of the text."""
    document = program("verify", os.fspath(dirty_disk), "--json", status=5).json()
    assert document["failed"] is True
    (finding,) = [each for each in document["findings"] if each["severity"] == "fail"]
    assert set(finding) == {"check", "severity", "path", "found", "why", "fix"}
    assert finding["check"] == "machine-id"
    again = program("verify", os.fspath(dirty_disk), "--format", "json", status=5).json()
    assert again["findings"] == document["findings"]


def test_findings_for_ci(program: Program, dirty_disk: Path, clean_disk: Path) -> None:
    """``--format junit`` is XML with a failure for each failed check, and a case for each check that was made."""
    suites = Xml.fromstring(program("verify", os.fspath(dirty_disk), "--format", "junit", status=5).output)
    failed = [case.get("name") for case in suites.iter("testcase") if case.find("failure") is not None]
    assert failed == ["machine-id"]
    suites = Xml.fromstring(program("verify", os.fspath(clean_disk), "--format", "junit").output)
    assert len(list(suites.iter("testcase"))) > 40
    assert not list(suites.iter("failure"))


def test_stored_version_is_checked_by_its_own_definition(program: Program, clean_disk: Path, tmp_path: Path) -> None:
    """A reference means the stored disk; what the report calls its target is the whole reference."""
    copy = Path(shutil.copy(clean_disk, tmp_path / "copy.raw"))
    digest = Digest.parse(f"sha256:{run(['sha256sum', os.fspath(copy)]).output.decode().split()[0]}")
    disk = DiskImage(copy, copy.stat().st_size, digest, Architecture.AMD64, Firmware.OVMF)
    store = open_store(read_settings({}).store)
    store.add(VerifiedImage(BuiltImage(disk, make_provenance()), make_report()), promote_to="stable", clock=at(5))
    for reference in ("template", "template@stable", "template@20260705-1"):
        document = program("verify", reference, "--json").json()
        assert document["target"] == "template@20260705-1"
        assert document["failed"] is False


def test_directory_is_a_target(program: Program, tmp_path: Path) -> None:
    """A directory without a system in it is told as such, not as a missing reference."""
    (tmp_path / "project" / "root").mkdir()
    assert "no operating system" in program("verify", "root", status=5).errors


def test_checks_are_listed_and_explained(program: Program) -> None:
    """``--list-checks`` names each check once, in both forms; ``--explain`` says why one exists."""
    checks = program("verify", "--list-checks", "--json").json()["checks"]
    table = program("verify", "--list-checks").output.splitlines()
    assert [line.split()[0] for line in table[1:]] == [check["check"] for check in checks]
    assert {"machine-id", "ssh-host-keys"} <= {check["check"] for check in checks}
    assert "machine-id (fail" in program("verify", "--explain", "machine-id").output


def test_document_is_whole_on_one_stream(program: Program, clean_disk: Path) -> None:
    """Nothing but the document is printed, so that a program may read it."""
    said = program("verify", os.fspath(clean_disk), "--json")
    assert said.errors == ""
    assert json.loads(said.output)["counts"]["fail"] == 0
