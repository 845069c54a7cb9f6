"""Thin disks."""

import json
from pathlib import Path

import pytest

from imagekit.errors import HostFailed
from imagekit.host import run
from imagekit.machine.overlay import create_overlay


def test_overlay_names_its_backing_and_its_format(tmp_path: Path) -> None:
    """The overlay has the size asked for and records that its backing is raw, whatever that begins with."""
    backing = tmp_path / "disk, with comma.raw"
    backing.write_bytes(b"QFI\xfb" + bytes(4 << 20))  # a raw disk that looks like qcow2
    overlay = tmp_path / "overlay.qcow2"
    create_overlay(backing, overlay, 8 << 20)
    said = json.loads(run(["qemu-img", "info", "--output=json", str(overlay)]).output)
    assert said["virtual-size"] == 8 << 20
    assert said["backing-filename-format"] == "raw"
    assert said["full-backing-filename"] == str(backing)


def test_disk_never_shrinks(tmp_path: Path) -> None:
    """A clone smaller than its image would lose the end of its filesystem."""
    backing = tmp_path / "disk.raw"
    backing.write_bytes(bytes(1 << 20))
    with pytest.raises(HostFailed, match="cannot be made"):
        create_overlay(backing, tmp_path / "overlay.qcow2", 1 << 19)


def test_missing_backing_is_a_sentence(tmp_path: Path) -> None:
    """A disk that is not there is named."""
    with pytest.raises(HostFailed, match=r"gone\.raw"):
        create_overlay(tmp_path / "gone.raw", tmp_path / "overlay.qcow2", 1 << 20)
