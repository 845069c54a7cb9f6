"""The EFI system partition, read back by our own reader and checked by fsck.vfat."""

import os
import shutil
from pathlib import Path

import pytest

from imagekit.build.layout import plan_layout
from imagekit.build.mtools import write_esp
from imagekit.definition.model import MIB, ImageDefinition
from imagekit.disk.containers.raw import open_raw
from imagekit.disk.fat.filesystem import open_fat
from imagekit.disk.tree import FileTree
from imagekit.host import run
from tests.build.conftest import EPOCH

FILES = {
    "EFI/BOOT/BOOTX64.EFI": b"MZ" + bytes(70_000),
    "EFI/BOOT/grubx64.efi": b"MZ grub",
    "EFI/debian/grub.cfg": b"configfile\n",
}


def make_disk(path: Path, size: int) -> Path:
    """Return an empty disk file."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("esp", [16 * MIB, 40 * MIB])
def test_esp_holds_its_files(tmp_path: Path, esp: int) -> None:
    """What was asked for is there on FAT16 and FAT32, the boot sector holds no partition, fsck.vfat is content."""
    layout = plan_layout(ImageDefinition(name="tiny", size=160 * MIB, esp=esp))
    disk = make_disk(tmp_path / "disk.raw", layout.size)
    write_esp(disk, layout, FILES, EPOCH)
    with open_raw(disk) as raw:
        assert raw.read(layout.esp_offset + 446, 66) == bytes(64) + b"\x55\xaa"
        fat = open_fat(raw.window(layout.esp_offset, layout.esp_size))
        assert fat.serial == layout.esp_id
        assert fat.label == "ESP"
        tree = FileTree(fat, ignore_case=True)
        for name, content in FILES.items():
            assert tree.read(f"/{name}") == content
        times = {node.mtime for _, node in tree.walk()}
        assert times == {EPOCH}
    with disk.open("rb") as whole, (tmp_path / "esp.raw").open("wb") as part:
        whole.seek(layout.esp_offset)
        part.write(whole.read(layout.esp_size))
    said = run(["fsck.vfat", "-n", os.fspath(tmp_path / "esp.raw")], check=False)
    assert (said.status, said.errors) == (0, "")


def test_esp_is_always_the_same(definition: ImageDefinition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the clock, the order of the run, the zone of the machine nor its mtools.conf changes a byte."""
    layout = plan_layout(definition)
    first = make_disk(tmp_path / "a.raw", layout.size)
    write_esp(first, layout, FILES, EPOCH)
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    (Path(os.environ["HOME"]) / ".mtoolsrc").write_text("MTOOLS_LOWER_CASE=1\n")
    (tmp_path / "other").mkdir()
    second = make_disk(tmp_path / "other/b.raw", layout.size)
    write_esp(second, layout, FILES, EPOCH)
    assert run(["cmp", os.fspath(first), os.fspath(second)], check=False).status == 0


def test_disk_around_the_esp_is_untouched(definition: ImageDefinition, tmp_path: Path) -> None:
    """Nothing is written before or behind the partition, and no file is left beside the disk."""
    layout = plan_layout(definition)
    disk = make_disk(tmp_path / "disk.raw", layout.size)
    write_esp(disk, layout, FILES, EPOCH)
    with disk.open("rb") as file:
        assert file.read(layout.esp_offset).count(0) == layout.esp_offset
        file.seek(layout.root_offset)
        assert file.read(4 * MIB).count(0) == 4 * MIB
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]
    shutil.rmtree(tmp_path)
