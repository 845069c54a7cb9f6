"""Every reason not to write to a disk, on machines that are not this one."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.deliver.flash.device import Bus, Device
from imagekit.deliver.flash.refuse import LARGE_BYTES, Reason, Refusal, list_refusals, require_flashable
from imagekit.deliver.flash.sysfs import read_devices
from imagekit.deliver.flash.usage import read_usage
from imagekit.errors import Refused
from tests.deliver.flash.machines import GIB, Machine, add_usb_reader, laptop, raspberry, server, virtual_machine

CARD = Device("sdz", "65:144", 32 * GIB, 512, Bus.USB, True, False, "Reader", "0042", 7)


def _judge(machine: Machine, name: str, **more: object) -> tuple[Refusal, ...]:
    (device,) = (one for one in read_devices(machine.sys) if one.name == name)
    kept = more.pop("kept", {"the store": "/var/lib/imagekit"})
    return list_refusals(device, read_usage(machine.sys, machine.proc), kept=kept, **more)  # type: ignore[arg-type]


def _reasons(machine: Machine, name: str, **more: object) -> list[Reason]:
    return [one.reason for one in _judge(machine, name, **more)]


def test_card_in_a_reader_may_be_written(tmp_path: Path) -> None:
    """Nothing speaks against a card that nobody uses, on USB or in a slot."""
    assert _judge(raspberry(tmp_path), "sdz", needed_bytes=4 * GIB) == ()


@pytest.mark.parametrize(
    ("layout", "name", "carries"),
    [
        (virtual_machine, "vda", "it carries / and the store"),
        (raspberry, "mmcblk0", "it carries /, /boot/firmware and the store"),
        (laptop, "nvme0n1", "it carries /, /boot/efi and the store"),
        (server, "sda", "it carries / and the store"),
        (server, "sdb", "it carries / and the store"),
        (server, "sdc", "it carries /nix"),
        (server, "sdd", "it carries /nix"),
    ],
)
def test_disks_of_the_system_are_refused(tmp_path: Path, layout: object, name: str, carries: str) -> None:
    """However the system lies on it, its disk is refused; neither a serial number nor --unmount changes that."""
    machine = layout(tmp_path)  # type: ignore[operator]
    (device,) = (one for one in read_devices(machine.sys) if one.name == name)
    for more in ({}, {"unmount": True}, {"serial": device.serial}):
        (refusal,) = _judge(machine, name, **more)
        assert refusal.reason is Reason.SYSTEM
        assert refusal.sentence.endswith(carries)


def test_card_with_the_store_or_the_image_is_refused(tmp_path: Path) -> None:
    """A card is a disk of this run when the store or the image is on it, also with --unmount."""
    machine = laptop(tmp_path)
    kept = {"the image": "/media/me/my card/image.img"}
    (refusal,) = _judge(machine, "mmcblk0", kept=kept, unmount=True)
    assert refusal.reason is Reason.SYSTEM
    assert "the image" in refusal.sentence


def test_mounted_card_wants_unmounting(tmp_path: Path) -> None:
    """A mounted card is refused with where it is mounted; --unmount lets it pass."""
    machine = laptop(tmp_path)
    (refusal,) = _judge(machine, "mmcblk0")
    assert (refusal.reason, refusal.sentence) == (Reason.MOUNTED, "is mounted at /media/me/my card")
    assert "--unmount" in refusal.hint
    assert _judge(machine, "mmcblk0", unmount=True) == ()


def test_swap_and_volumes_are_refused(tmp_path: Path) -> None:
    """Swap, a volume and a loop device on a partition are refused by name, with the command that releases them."""
    machine = server(tmp_path)
    (refusal,) = _judge(machine, "sde", unmount=True)
    assert (refusal.reason, refusal.hint) == (Reason.SWAP, "swapoff /dev/sde2")
    add_usb_reader(machine, "sdf", "8:80")
    machine.build("dm-3", "254:3", ("sdf2",), {"dm/name": "backup-vault"})
    machine.add("loop2", "virtual", "7:2", 1 << 30, {"loop/backing_file": "/dev/sdf1"})
    first, second = _judge(machine, "sdf", unmount=True)
    assert (first.reason, first.sentence) == (Reason.HELD, "is part of /dev/dm-3 (backup-vault)")
    assert second.sentence == "is part of /dev/loop2"
    assert "losetup -d /dev/loop2" in second.hint


def test_disk_that_is_built_in_is_refused(tmp_path: Path) -> None:
    """An ATA disk that nobody uses is no card."""
    machine = raspberry(tmp_path)
    home = "pci0000:00/0000:00:17.0/ata3/host3/target3:0:0/3:0:0:0"
    machine.add("sdq", home, "65:0", 64 * GIB, {"device/model": "Spare"}, {home: "scsi"})
    assert _reasons(machine, "sdq") == [Reason.NOT_REMOVABLE]
    assert "(ata)" in _judge(machine, "sdq")[0].sentence


@pytest.mark.parametrize("name", ["dm-0", "md127", "sr0", "zram0", "nbd0", "mmcblk0boot0", "mmcblk1rpmb"])
def test_what_is_no_disk_is_refused(tmp_path: Path, name: str) -> None:
    """Volumes, RAIDs, optical drives, memory, network disks and an eMMC's boot areas are no cards."""
    machine = raspberry(tmp_path)
    machine.add(name, "virtual", "240:0", GIB, {"removable": "1"})
    assert _reasons(machine, name) == [Reason.KIND]


def test_medium_has_to_fit(tmp_path: Path) -> None:
    """An empty slot, a lock and a card that is too small are each said; sizes that look equal are in bytes."""
    machine = virtual_machine(tmp_path)
    add_usb_reader(machine, size=4 * GIB)
    (refusal,) = _judge(machine, "sdz", needed_bytes=4 * GIB + 1)
    assert refusal.reason is Reason.TOO_SMALL
    assert f"{4 * GIB} bytes, and the image has {4 * GIB + 1}" in refusal.sentence
    assert _judge(machine, "sdz", needed_bytes=4 * GIB) == ()
    usage = read_usage(machine.sys, machine.proc)
    empty, locked = replace(CARD, size_bytes=0), replace(CARD, read_only=True)
    assert [one.reason for one in list_refusals(empty, usage, kept={})] == [Reason.NO_MEDIUM]
    assert [one.reason for one in list_refusals(locked, usage, kept={})] == [Reason.READ_ONLY]


def test_serial_number_has_to_be_the_disks(tmp_path: Path) -> None:
    """A serial that is given is compared, whatever else holds."""
    machine = raspberry(tmp_path)
    assert _reasons(machine, "sdz", serial="000000001206") == []
    (refusal,) = _judge(machine, "sdz", serial="000000001207")
    assert refusal.sentence == "has serial 000000001206, not 000000001207"


def test_large_disk_wants_its_serial_number(tmp_path: Path) -> None:
    """A disk larger than cards are is refused until it is named by its serial number: it is somebody's archive."""
    machine = laptop(tmp_path)
    (refusal,) = _judge(machine, "sda")
    assert refusal.reason is Reason.LARGE
    assert "--serial 575836314" in refusal.hint
    assert _judge(machine, "sda", serial="575836314") == ()
    usage = read_usage(machine.sys, machine.proc)
    assert list_refusals(replace(CARD, size_bytes=LARGE_BYTES), usage, kept={}) == ()


def test_loop_device_is_a_card_unless_its_file_is_ours(tmp_path: Path) -> None:
    """A loop device on a file may be written; on a disk, on the image or in the store it may not."""
    machine = raspberry(tmp_path)
    image = tmp_path / "image.img"
    image.write_bytes(b"x")
    (tmp_path / "same.img").hardlink_to(image)
    for number, backing in enumerate(
        ("/tmp/card.img", "/dev/sdz", "/var/lib/imagekit/images/pihole/1/disk.raw", str(tmp_path / "same.img"))
    ):
        machine.add(f"loop{number}", "virtual", f"7:{number}", GIB, {"loop/backing_file": backing})
    kept = {"the store": "/var/lib/imagekit", "the image": str(image)}
    assert _judge(machine, "loop0", kept=kept) == ()
    for name, said in (("loop1", "another name for /dev/sdz"), ("loop2", "is the store"), ("loop3", "is the image")):
        (refusal,) = _judge(machine, name, kept=kept)
        assert refusal.reason is Reason.BACKING
        assert said in refusal.sentence


def test_all_reasons_are_said_at_once() -> None:
    """The error has every reason, and the hint of the first."""
    reasons = (Refusal(Reason.MOUNTED, "is mounted at /a", "unmount it"), Refusal(Reason.READ_ONLY, "is locked", "x"))
    with pytest.raises(Refused) as caught:
        require_flashable(CARD, reasons)
    assert caught.value.message == "/dev/sdz is mounted at /a; is locked; nothing was written"
    assert caught.value.hint == "unmount it"
    require_flashable(CARD, ())
