"""Linux's block devices, read from /sys (Documentation/ABI/stable/sysfs-block); nothing is opened, no root is needed.

``sys`` is where sysfs is mounted: tests give the trees of other machines.
"""

import contextlib
import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from imagekit.deliver.flash.device import Bus, Device, Partition
from imagekit.errors import Refused

SYS = Path("/sys")
_SECTOR_BYTES = 512  # the unit of `size` in sysfs, whatever the device's own sector is
_TEXT_BYTES = 4096
_UNIT_SERIAL_PAGE = 0x80  # SCSI Primary Commands: the vital product data page with the unit's serial number
_CARD_LIST = "see the disks of this machine: imagekit devices"


def require_linux() -> None:
    """Raise :class:`Refused` where block devices cannot be told apart yet."""
    if sys.platform != "linux":
        raise Refused(
            "cards are written on Linux only, so far; this system's disks are not recognised yet",
            hint="export the image and write it with your system's own tool, or run imagekit flash on a Linux machine",
        )


def read_devices(sys: Path = SYS) -> tuple[Device, ...]:
    """Return every disk of this machine by name; loop devices without a file and readers' empty slots too."""
    names = sorted(path.name for path in (sys / "block").iterdir())
    return tuple(device for name in names if (device := _read_device(sys, name)) is not None)


def find_device(path: Path, sys: Path = SYS) -> Device:
    """Return the whole disk that ``path`` names, through links such as those in ``/dev/disk/by-id``.

    Nothing is opened and never anything created. Raises :class:`Refused` when there is nothing, something else than a
    block device, or a partition.
    """
    try:
        status = path.stat()
    except OSError as problem:
        raise Refused(f"there is no device {path}: {problem.strerror}", hint=_CARD_LIST) from problem
    if not stat.S_ISBLK(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "a character device or a file"
        kind = "a file" if stat.S_ISREG(status.st_mode) else kind
        raise Refused(f"{path} is {kind}, not a block device; nothing was written", hint=_CARD_LIST)
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return find_number(number, path, sys)


def find_number(number: str, path: Path, sys: Path = SYS) -> Device:
    """Return the whole disk with device number ``MAJOR:MINOR``; ``path`` is only for the sentences. As above."""
    for device in read_devices(sys):
        if device.number == number:
            return device
        for part in device.partitions:
            if _read(sys / "block" / device.name / part.name / "dev") == number:
                raise Refused(
                    f"{path} is a partition of {device.path}; an image is written to the whole disk",
                    hint=f"if this is the card, name {device.path}",
                )
    raise Refused(f"{path} has number {number}, which no disk of this machine has", hint=_CARD_LIST)


def _read_device(sys: Path, name: str) -> Device | None:
    """Return the disk ``name``; ``None`` when it vanished meanwhile."""
    place = sys / "block" / name
    number = _read(place / "dev")
    if not number:
        return None
    bus = _find_bus(place)
    device = Device(
        name=name,
        number=number,
        size_bytes=_read_number(place / "size") * _SECTOR_BYTES,
        block_bytes=_read_number(place / "queue/logical_block_size") or _SECTOR_BYTES,
        bus=bus,
        removable=_read(place / "removable") == "1",
        read_only=_read(place / "ro") == "1",
        model=_read_model(place),
        serial=_read_serial(place),
        sequence=_read_number(place / "diskseq") or None,
        backing_file=_read(place / "loop/backing_file") if bus is Bus.LOOP else "",
    )
    return replace(device, partitions=tuple(_read_partitions(place)))


def _read_partitions(place: Path) -> Iterator[Partition]:
    """Yield the partitions of the disk at ``place`` in their order."""
    with contextlib.suppress(OSError):
        parts = [child for child in place.iterdir() if (child / "partition").is_file()]
        for part in sorted(parts, key=lambda child: _read_number(child / "partition")):
            yield Partition(part.name, _read_number(part / "size") * _SECTOR_BYTES)


def _find_bus(place: Path) -> Bus:
    """Return where the disk is plugged in: the first bus that is met on the way up to the machine.

    SCSI is what USB and ATA disks speak too, so it counts only when nothing else is met.
    """
    if re.fullmatch(r"loop[0-9]+", place.name):
        return Bus.LOOP
    home = place.resolve()
    scsi = False
    for parent in (home / "device", *home.parents):
        match _read_link_name(parent / "subsystem"):
            case "usb":
                return Bus.USB
            case "mmc":
                return Bus.MMC
            case "virtio":
                return Bus.VIRTIO
            case "nvme" | "nvme-subsystem":
                return Bus.NVME
            case "scsi":
                scsi = True
            case _:
                if re.fullmatch(r"ata[0-9]+", parent.name):
                    return Bus.ATA
        if parent.name == "virtual":
            return Bus.VIRTUAL
    return Bus.SCSI if scsi else Bus.OTHER


def _read_model(place: Path) -> str:
    """Return make and model: SCSI and USB say both, MMC cards their name, NVMe disks the model."""
    words = (_read(place / "device/vendor"), _read(place / "device/model") or _read(place / "device/name"))
    # A virtio disk's `vendor` is a PCI number.
    return " ".join(word for word in words if word and not word.startswith("0x"))


def _read_serial(place: Path) -> str:
    """Return the serial number: of the disk itself, else of the USB device that it is in; empty when there is none."""
    for name in ("serial", "device/serial"):
        if serial := _read(place / name):
            return serial
    for parent in place.resolve().parents:
        if (parent / "idVendor").is_file():  # Documentation/ABI/testing/sysfs-bus-usb
            return _read(parent / "serial")
    with contextlib.suppress(OSError):
        page = (place / "device/vpd_pg80").read_bytes()[:_TEXT_BYTES]
        if len(page) > 4 and page[1] == _UNIT_SERIAL_PAGE:
            return _clean(page[4 : 4 + int.from_bytes(page[2:4], "big")])
    return ""


def _read(path: Path) -> str:
    """Return an attribute's text; empty when it is not there or cannot be read."""
    try:
        with path.open("rb") as file:
            return _clean(file.read(_TEXT_BYTES))
    except OSError:
        return ""


def _clean(data: bytes) -> str:
    """Return what a device says of itself as text: firmware pads with blanks and zeros."""
    return data.replace(b"\0", b" ").decode(errors="replace").strip()


def _read_number(path: Path) -> int:
    text = _read(path)
    return int(text) if text.isdecimal() else 0


def _read_link_name(path: Path) -> str:
    try:
        return path.readlink().name
    except OSError:
        return ""
