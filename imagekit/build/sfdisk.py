"""sfdisk writes the partition table into the disk file; every identifier is given, so the bytes are always the same."""

import os
from pathlib import Path

from imagekit.build.layout import ESP_TYPE, SECTOR, DiskLayout
from imagekit.host import run


def write_table(disk: Path, layout: DiskLayout) -> None:
    """Write the GPT and its backup (sfdisk(8), UEFI specification 2.10 section 5)."""
    script = "\n".join(
        [
            "label: gpt",
            f"label-id: {layout.disk_uuid}",
            "unit: sectors",
            "first-lba: 34",
            f"1 : start={layout.esp_offset // SECTOR}, size={layout.esp_size // SECTOR}, type={ESP_TYPE}, "
            f'uuid={layout.esp_partition_uuid}, name="ESP"',
            f"2 : start={layout.root_offset // SECTOR}, size={layout.root_size // SECTOR}, type={layout.root_type}, "
            f'uuid={layout.root_partition_uuid}, name="root"',
            "",
        ]
    )
    run(["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", os.fspath(disk)], stdin=script.encode())
