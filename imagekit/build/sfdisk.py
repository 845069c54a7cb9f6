"""sfdisk writes the partition table into the disk file; every identifier is given, so the bytes are always the same."""

import os
from pathlib import Path

from imagekit.build.layout import ESP_TYPE, SECTOR, DiskLayout
from imagekit.host import run


def write_table(disk: Path, layout: DiskLayout) -> None:
    """Write the GPT and its backup (sfdisk(8), UEFI specification 2.10 section 5)."""
    esp = f"start={layout.esp_offset // SECTOR}, size={layout.esp_size // SECTOR}, type={ESP_TYPE}"
    root = f"start={layout.root_offset // SECTOR}, size={layout.root_size // SECTOR}, type={layout.root_type}"
    lines = [
        "label: gpt",
        f"label-id: {layout.disk_uuid}",
        "unit: sectors",
        "first-lba: 34",
        f'1 : {esp}, uuid={layout.esp_partition_uuid}, name="ESP"',
        f'2 : {root}, uuid={layout.root_partition_uuid}, name="root"',
        "",
    ]
    script = "\n".join(lines)
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", os.fspath(disk)], stdin=script.encode())
