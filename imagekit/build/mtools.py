"""mtools writes the EFI system partition into the disk file: no loop device, no mount.

The firmware finds ``EFI/BOOT/BOOTX64.EFI`` by itself (UEFI specification 2.10, section 3.5), so a clone whose variables
were lost still boots. That file is Debian's signed shim; it loads GRUB from beside it, which reads ``EFI/debian``.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from imagekit.build.layout import SECTOR, DiskLayout
from imagekit.host import run

_FAT32_MINIMUM = 33 << 20
_ENTRY_OFFSET, _ENTRY_BYTES = 446, 64


def write_esp(disk: Path, layout: DiskLayout, files: Mapping[str, bytes], epoch: int) -> None:
    """Format the layout's ESP and write ``files`` (path on the ESP → content) into it; every time becomes ``epoch``."""
    drive = f"{os.fspath(disk)}@@{layout.esp_offset}"
    environment = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1", "MTOOLSRC": os.devnull, "TZ": "UTC"}
    kind = ["-F"] if layout.esp_size >= _FAT32_MINIMUM else []
    serial = layout.esp_id.replace("-", "")
    place = ["-T", str(layout.esp_size // SECTOR), "-h", "255", "-s", "63", "-H", str(layout.esp_offset // SECTOR)]
    run(["mformat", "-i", drive, *kind, "-v", "ESP", "-N", serial, *place, "::"], environment=environment)
    _clear_partition_entry(disk, layout)
    directories = sorted(
        {os.fspath(parent) for name in files for parent in Path(name).parents} - {".", "/"}, key=_depth
    )
    run(["mmd", "-i", drive, *(f"::{directory}" for directory in directories)], environment=environment)
    aside = disk.with_name("esp-file")
    for name, content in files.items():
        aside.write_bytes(content)
        os.utime(aside, (epoch, epoch))
        run(["mcopy", "-i", drive, "-m", os.fspath(aside), f"::{name}"], environment=environment)
    aside.unlink(missing_ok=True)


def _clear_partition_entry(disk: Path, layout: DiskLayout) -> None:
    """Empty the partition entry that mformat writes into the boot sector and its copy in sector 6 (FAT32).

    GRUB takes it for a partition inside the partition, and every update-grub of a clone would warn about it.
    """
    with disk.open("r+b") as file:
        for sector in (0, 6) if layout.esp_size >= _FAT32_MINIMUM else (0,):
            file.seek(layout.esp_offset + sector * SECTOR + _ENTRY_OFFSET)
            file.write(bytes(_ENTRY_BYTES))


def _depth(directory: str) -> tuple[int, str]:
    return directory.count("/"), directory
