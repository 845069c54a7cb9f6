"""What a block device is, as /sys shows it: on this machine, and on others."""

import os
from pathlib import Path

import pytest

from imagekit.deliver.flash.device import Bus, Device
from imagekit.deliver.flash.sysfs import find_device, find_number, read_devices, require_linux
from imagekit.errors import Refused
from tests.deliver.flash.machines import GIB, add_usb_reader, laptop, raspberry, server, virtual_machine


def _read(machine_sys: Path) -> dict[str, Device]:
    return {device.name: device for device in read_devices(machine_sys)}


def test_usb_card_is_described(tmp_path: Path) -> None:
    """A card in a USB reader has the reader's make, model and serial, and its partitions in order."""
    device = _read(raspberry(tmp_path).sys)["sdz"]
    assert (device.bus, device.removable, device.read_only) == (Bus.USB, True, False)
    assert (device.model, device.serial) == ("Generic STORAGE DEVICE", "000000001206")
    assert (device.number, device.size_bytes, device.block_bytes) == ("65:144", 32 * GIB, 512)
    assert [(part.name, part.size_bytes) for part in device.partitions] == [("sdz1", 256 << 20), ("sdz2", 4 * GIB)]
    assert device.title == "Generic STORAGE DEVICE, serial 000000001206"
    assert device.path == Path("/dev/sdz")


def test_every_bus_is_told(tmp_path: Path) -> None:
    """NVMe, ATA, MMC, USB, virtio, loop and the kernel's own devices are told apart."""
    found = _read(laptop(tmp_path / "a").sys)
    assert {name: found[name].bus for name in ("nvme0n1", "mmcblk0", "sda", "dm-0")} == {
        "nvme0n1": Bus.NVME, "mmcblk0": Bus.MMC, "sda": Bus.USB, "dm-0": Bus.VIRTUAL,
    }  # fmt: skip
    assert (found["mmcblk0"].model, found["mmcblk0"].serial) == ("EB1QT", "0x0badcafe")
    assert found["nvme0n1"].serial == "S4EWNX0R123456"
    found = _read(server(tmp_path / "b").sys)
    assert (found["sda"].bus, found["sdc"].bus, found["md127"].bus) == (Bus.ATA, Bus.USB, Bus.VIRTUAL)
    found = _read(virtual_machine(tmp_path / "c").sys)
    assert (found["vda"].bus, found["loop0"].bus, found["zram0"].bus) == (Bus.VIRTIO, Bus.LOOP, Bus.VIRTUAL)
    assert (found["vda"].serial, found["vda"].sequence) == ("overlayblk", 9)


def test_empty_slot_has_no_size(tmp_path: Path) -> None:
    """A reader without a card is listed, with size 0."""
    machine = virtual_machine(tmp_path)
    add_usb_reader(machine, size=0)
    assert _read(machine.sys)["sdz"].size_bytes == 0


def test_scsi_serial_is_a_page(tmp_path: Path) -> None:
    """A SCSI disk without a text attribute tells its serial in a binary page, behind a header of four bytes."""
    machine = virtual_machine(tmp_path)
    home = "pci0000:00/0000:00:05.0/host0/target0:0:0/0:0:0:0"
    machine.add("sdq", home, "65:0", GIB, {}, {home: "scsi"})
    page = machine.sys / "block/sdq/device/vpd_pg80"
    page.parent.mkdir()
    page.write_bytes(b"\x00\x80\x00\x0a  SER-1234 trailing")
    device = _read(machine.sys)["sdq"]
    assert (device.bus, device.serial) == (Bus.SCSI, "SER-1234")


def test_what_a_device_says_of_itself_is_text(tmp_path: Path) -> None:
    """Bytes that are no text do not stop the reading."""
    machine = virtual_machine(tmp_path)
    add_usb_reader(machine)
    (machine.sys / "block/sdz/device/model").write_bytes(b"\xff\x00evil\x1b[31m ")
    assert "evil" in _read(machine.sys)["sdz"].model


def test_partition_is_refused_and_its_disk_named(tmp_path: Path) -> None:
    """Who names a partition is told the disk."""
    machine = raspberry(tmp_path)
    with pytest.raises(Refused, match="is a partition of /dev/sdz") as caught:
        find_number("65:146", Path("/dev/sdz2"), machine.sys)
    assert "/dev/sdz" in (caught.value.hint or "")
    assert find_number("65:144", Path("/dev/disk/by-id/usb"), machine.sys).name == "sdz"
    with pytest.raises(Refused, match="which no disk of this machine has"):
        find_number("250:1", Path("/dev/odd"), machine.sys)


@pytest.mark.parametrize("kind", ["missing", "file", "directory", "character", "link to nothing"])
def test_what_is_no_block_device_is_refused_and_not_created(tmp_path: Path, kind: str) -> None:
    """A missing path stays missing; files, directories and character devices are named as such."""
    path = tmp_path / "sdz"
    match kind:
        case "file":
            path.write_bytes(b"mine")
        case "directory":
            path.mkdir()
        case "character":
            path = Path("/dev/null")
        case "link to nothing":
            path.symlink_to("gone")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Refused) as caught:
        find_device(path)
    assert str(path) in caught.value.message
    assert sorted(tmp_path.iterdir()) == before
    if kind == "file":
        assert path.read_bytes() == b"mine"


def test_other_systems_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a Mac the disks are not recognised yet, and that is said rather than guessed."""
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(Refused, match="Linux only"):
        require_linux()


def test_this_machine_can_be_read() -> None:
    """The disks of the machine that runs the tests are read without being root and without opening any."""
    for device in read_devices():
        assert device.name
        assert os.sep not in device.number
        assert device.size_bytes % 512 == 0
