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


def write_esp(disk: Path, layout: DiskLayout, files: Mapping[str, Path], epoch: int) -> None:
    """Format the layout's ESP and copy ``files`` (path on the ESP → file here) into it, with ``epoch`` as every time."""
    drive = f"{os.fspath(disk)}@@{layout.esp_offset}"
    environment = {"SOURCE_DATE_EPOCH": str(epoch), "MTOOLS_SKIP_CHECK": "1", "TZ": "UTC"}
    kind = ["-F"] if layout.esp_size >= _FAT32_MINIMUM else []
    serial = layout.esp_id.replace("-", "")
    run(["mformat", "-i", drive, *kind, "-v", "ESP", "-N", serial, "-T", str(layout.esp_size // SECTOR),
         "-h", "255", "-s", "63", "-H", str(layout.esp_offset // SECTOR), "::"], environment=environment)  # fmt: skip
    directories = sorted({os.fspath(parent) for name in files for parent in Path(name).parents} - {".", "/"}, key=len)
    run(["mmd", "-i", drive, *(f"::{directory}" for directory in directories)], environment=environment)
    for name, source in files.items():
        os.utime(source, (epoch, epoch))
        run(["mcopy", "-i", drive, "-m", os.fspath(source), f"::{name}"], environment=environment)
