"""The partition table, read back by our own reader."""

from pathlib import Path

from imagekit.build.layout import ESP_TYPE, plan_layout
from imagekit.build.sfdisk import write_table
from imagekit.definition.model import ImageDefinition
from imagekit.disk.containers.raw import open_raw
from imagekit.disk.partitions.gpt import read_gpt
from imagekit.host import run


def test_table_is_whole_and_always_the_same(definition: ImageDefinition, tmp_path: Path) -> None:
    """Both copies are right, every identifier is the layout's, and a second run gives the same bytes."""
    layout = plan_layout(definition)
    disks = [tmp_path / "a.raw", tmp_path / "b.raw"]
    for disk in disks:
        with disk.open("wb") as file:
            file.truncate(layout.size)
        write_table(disk, layout)
    assert run(["cmp", *map(str, disks)], check=False).status == 0
    with open_raw(disks[0]) as raw:
        table = read_gpt(raw)
    assert table.problems == ()
    assert table.disk_guid == layout.disk_uuid.upper()
    esp, root = table.partitions
    assert (esp.number, esp.name, esp.type_guid) == (1, "ESP", ESP_TYPE)
    assert (esp.offset, esp.length, esp.guid) == (layout.esp_offset, layout.esp_size, layout.esp_partition_uuid.upper())
    assert (root.number, root.name, root.type_guid) == (2, "root", layout.root_type)
    assert (root.offset, root.length) == (layout.root_offset, layout.root_size)
    assert root.guid == layout.root_partition_uuid.upper()
