"""What is on which disk: by partition, volume, RAID, btrfs, swap and loop device."""

from pathlib import Path

from imagekit.deliver.flash.usage import Mount, Node, Usage, read_mounts, read_swaps, read_usage
from tests.deliver.flash.machines import Machine, add_usb_reader, laptop, raspberry, server, virtual_machine


def _read(machine: Machine) -> Usage:
    return read_usage(machine.sys, machine.proc)


def test_volumes_are_followed_to_the_disk(tmp_path: Path) -> None:
    """The root on LVM on LUKS on a partition is on the disk around that partition; so is its swap."""
    usage = _read(laptop(tmp_path))
    assert usage.find_disks("dm-1") == {"nvme0n1"}
    assert usage.list_system_uses("nvme0n1", {}) == ("/", "/boot/efi")
    assert usage.list_swaps("nvme0n1") == ("/dev/dm-2",)
    assert [node.title for node in usage.list_holders("nvme0n1")] == ["cryptroot"]
    assert usage.list_system_uses("mmcblk0", {}) == ()


def test_raid_and_btrfs_have_several_disks(tmp_path: Path) -> None:
    """Both disks of a RAID and both of a btrfs carry what is mounted from it, whichever was named."""
    usage = _read(server(tmp_path))
    assert usage.list_system_uses("sda", {}) == usage.list_system_uses("sdb", {}) == ("/",)
    assert usage.list_system_uses("sdc", {}) == usage.list_system_uses("sdd", {}) == ("/nix",)
    assert usage.list_swaps("sde") == ("/dev/sde2",)
    assert usage.list_mounts("sde") == ()


def test_paths_are_followed_to_the_disk(tmp_path: Path) -> None:
    """A file is on the disk whose filesystem is mounted nearest to it; names with blanks too."""
    usage = _read(laptop(tmp_path))
    assert usage.find_disks_of_path("/home/me/store") == {"nvme0n1"}
    assert usage.find_disks_of_path("/media/me/my card/image.img") == {"mmcblk0"}
    assert usage.find_disks_of_path("/media/me/my cards") == {"nvme0n1"}
    kept = {"the store": "/media/me/my card/store"}
    assert usage.list_system_uses("mmcblk0", kept) == ("the store",)


def test_loop_devices_are_followed_both_ways(tmp_path: Path) -> None:
    """What is on a loop device is on the disk with its file; a loop device on a partition holds that disk."""
    machine = raspberry(tmp_path)
    machine.add("loop1", "virtual", "7:1", 1 << 30, {"loop/backing_file": "/srv/disk.img"})
    machine.add("loop2", "virtual", "7:2", 1 << 30, {"loop/backing_file": "/dev/sdz2"})
    machine.mount("7:1", "/mnt", "ext4", "/dev/loop1")
    usage = _read(machine)
    assert usage.find_disks("loop1") == {"loop1", "mmcblk0"}
    assert [node.name for node in usage.list_holders("sdz")] == ["loop2"]
    assert usage.list_holders("mmcblk0") == ()
    assert [mount.point for mount in usage.list_mounts("loop1")] == ["/mnt"]


def test_a_loop_that_seems_to_hold_itself_is_no_endless_loop() -> None:
    """A filesystem mounted over the directory of its own file makes the file seem to be on it."""
    nodes = {"loop0": Node("loop0", "7:0", backing_file="/mnt/a.img")}
    usage = Usage(nodes, (Mount("7:0", "/mnt", "ext4", "/dev/loop0"),), ())
    assert usage.find_disks("loop0") == {"loop0"}


def test_later_mounts_hide_earlier_ones() -> None:
    """Of two filesystems at one point, a path is on the one that was mounted last."""
    nodes = {name: Node(name, number) for name, number in (("sda", "8:0"), ("sdb", "8:16"))}
    mounts = (Mount("8:0", "/mnt", "ext4", "/dev/sda"), Mount("8:16", "/mnt", "ext4", "/dev/sdb"))
    assert Usage(nodes, mounts, ()).find_disks_of_path("/mnt/x") == {"sdb"}


def test_odd_lines_are_passed_over() -> None:
    """Lines that are no mounts, and escapes of any byte, do no harm."""
    text = b"junk\n1 2 8:1 / /a\\134b\\012c rw - ext4 /dev/x\\040y rw\n3 4 8:2 / - ext4\n"
    assert read_mounts(text) == (Mount("8:1", "/a\\b\nc", "ext4", "/dev/x y"),)
    assert read_swaps(b"Filename Type\n/swap\\040file file 1 0 -2\n\n") == ("/swap file",)


def test_swap_file_is_on_the_disk_of_its_filesystem(tmp_path: Path) -> None:
    """A swap file counts for the disk that it is on."""
    machine = virtual_machine(tmp_path)
    add_usb_reader(machine)
    machine.mount("65:146", "/srv", "ext4", "/dev/sdz2")
    machine.swap("/srv/swapfile")
    assert _read(machine).list_swaps("sdz") == ("/srv/swapfile",)


def test_machine_without_swap_support_is_read(tmp_path: Path) -> None:
    """A kernel without swap has no /proc/swaps."""
    machine = virtual_machine(tmp_path)
    (machine.proc / "swaps").unlink()
    assert _read(machine).swaps == ()
