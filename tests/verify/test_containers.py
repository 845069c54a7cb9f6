"""A template is judged by what is on its disk, whatever the disk is kept in."""

import dataclasses
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from imagekit.errors import ImageNamesHostFile
from imagekit.host import run
from imagekit.progress import Event
from imagekit.report import Report
from imagekit.verify import verify_disk
from imagekit.verify.formats.text import render_text


def strip(report: Report) -> Report:
    """Return the report without what two runs over one disk do not share: name and time."""
    return dataclasses.replace(report, target="", started=datetime.fromtimestamp(0, UTC), duration_seconds=0.0)


@pytest.fixture(scope="module")
def raw_report(clean_disk: Path) -> Report:
    """The clean disk's report as a raw file."""
    return verify_disk(clean_disk)


@pytest.mark.parametrize(
    "options",
    [[], ["-c"], ["-c", "-o", "compression_type=zstd"], ["-o", "compat=0.10"], ["-o", "extended_l2=on"]],
    ids=["plain", "zlib", "zstd", "version 2", "subclusters"],
)
def test_qcow2_gives_the_same_report(clean_disk: Path, raw_report: Report, tmp_path: Path, options: list[str]) -> None:
    """A clean disk in a qcow2 image passes what it passes raw."""
    image = tmp_path / "disk.qcow2"
    run(["qemu-img", "convert", "-t", "unsafe", "-O", "qcow2", *options, os.fspath(clean_disk), os.fspath(image)])
    report = verify_disk(image)
    assert report.findings == (), render_text(report)
    assert strip(report) == strip(raw_report)


@pytest.mark.parametrize("tool", ["zstd", "xz", "gzip", "bzip2"])
def test_packed_disk_gives_the_same_report(disk: Path, raw_report: Report, tmp_path: Path, tool: str) -> None:
    """A clean disk that was packed passes what it passes raw, and unpacking shows its progress."""
    run([tool, os.fspath(disk)])  # every one of them puts its own ending after the name
    (packed,) = tmp_path.glob("disk.raw.*")
    events: list[Event] = []
    report = verify_disk(packed, progress=events.append)
    assert strip(report) == strip(raw_report)
    assert events[0].stage == f"unpacking {packed.name}"
    size = packed.stat().st_size
    assert Event(events[0].stage, size, size, "B") in events


def test_image_that_names_another_file_is_not_verified(clean_disk: Path, tmp_path: Path) -> None:
    """An overlay is refused with the command that makes it whole: its base could be any file of this machine."""
    overlay = tmp_path / "disk.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", os.fspath(clean_disk), os.fspath(overlay)])
    with pytest.raises(ImageNamesHostFile) as caught:
        verify_disk(overlay)
    assert "qemu-img convert" in (caught.value.hint or "")


def test_truncated_download_is_not_verified(disk: Path, tmp_path: Path) -> None:
    """A packed disk whose end is missing is reported as damaged, and nothing of it has passed."""
    run(["zstd", "-q", os.fspath(disk)])
    packed = tmp_path / "disk.raw.zst"
    os.truncate(packed, packed.stat().st_size - 100)
    report = verify_disk(packed)
    (finding,) = report.findings
    assert finding.check == "image-damaged"
    assert "cut short" in finding.found
    assert report.failed
    assert report.passed == ()
