"""Other machines, as far as /sys and /proc show them: laid out as the kernel's documents and its drivers do.

``virtual_machine`` was recorded; the others were put together from Documentation/ABI and from what such machines print.
"""

from collections.abc import Mapping
from pathlib import Path

GIB = 1 << 30


class Machine:
    """A tree with ``sys`` and ``proc`` that grows disk by disk."""

    def __init__(self, root: Path) -> None:
        self.sys, self.proc = root / "sys", root / "proc"
        (self.sys / "block").mkdir(parents=True)
        (self.proc / "self").mkdir(parents=True)
        self._write(self.proc / "self/mountinfo", "22 27 0:21 / /proc rw,relatime - proc proc rw\n")
        self._write(self.proc / "swaps", "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")

    def add(
        self, name: str, home: str, number: str, size: int, files: Mapping[str, str] | None = None,
        subsystems: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Add a disk whose directory is ``devices/HOME/block/NAME``; ``subsystems`` maps parents to their bus."""
        place = self.sys / "devices" / home / "block" / name
        if home == "virtual":
            place = self.sys / "devices/virtual/block" / name
        elif home.endswith(f"/{name}"):  # NVMe namespaces and MMC blocks have no directory "block" of their own here
            place = self.sys / "devices" / home
        for file, text in {
            "dev": number, "size": str(size // 512), "ro": "0", "removable": "0", "diskseq": "5",
            "queue/logical_block_size": "512", **(files or {}),
        }.items():  # fmt: skip
            self._write(place / file, text + "\n")
        for parent, bus in (subsystems or {}).items():
            link = self.sys / "devices" / parent / "subsystem"
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(f"/sys/bus/{bus}")
        (self.sys / "block" / name).symlink_to(place)

    def part(self, disk: str, number: int, device: str, size: int) -> None:
        """Add a partition to a disk."""
        name = f"{disk}p{number}" if disk[-1].isdigit() else f"{disk}{number}"
        for file, text in {"partition": str(number), "dev": device, "size": str(size // 512)}.items():
            self._write(self.sys / "block" / disk / name / file, text + "\n")

    def build(self, name: str, number: str, slaves: tuple[str, ...], files: Mapping[str, str]) -> None:
        """Add a volume made of other devices."""
        self.add(name, "virtual", number, 100 * GIB, files)
        for slave in slaves:
            self._write(self.sys / "block" / name / "slaves" / slave, "")

    def mount(self, number: str, point: str, filesystem: str, source: str) -> None:
        """Mount something."""
        with (self.proc / "self/mountinfo").open("a") as file:
            file.write(f"30 27 {number} / {point} rw,relatime shared:1 - {filesystem} {source} rw\n")

    def swap(self, path: str) -> None:
        """Swap to a partition or file."""
        with (self.proc / "swaps").open("a") as file:
            file.write(f"{path}                               partition\t1048572\t\t0\t\t-2\n")

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def add_usb_reader(machine: Machine, name: str = "sdz", number: str = "65:144", size: int = 32 * GIB) -> None:
    """Add a USB card reader with a card in it, two partitions, nothing mounted."""
    port = "pci0000:00/0000:00:14.0/usb1/1-2"
    home = f"{port}/1-2:1.0/host6/target6:0:0/6:0:0:0"
    files = {"device/vendor": "Generic ", "device/model": "STORAGE DEVICE  ", "device/type": "0", "removable": "1"}
    machine.add(name, home, number, size, files, {port: "usb", f"{port}/1-2:1.0": "usb", home: "scsi"})
    machine._write(machine.sys / "devices" / port / "idVendor", "05e3\n")
    machine._write(machine.sys / "devices" / port / "serial", "000000001206\n")
    major, minor = number.split(":")
    machine.part(name, 1, f"{major}:{int(minor) + 1}", 256 << 20)
    machine.part(name, 2, f"{major}:{int(minor) + 2}", 4 * GIB)


def virtual_machine(root: Path) -> Machine:
    """Return a virtual machine with one virtio disk, whose root filesystem has no partition table around it."""
    machine = Machine(root)
    home = "pci0000:00/0000:00:02.0/virtio1"
    machine.add("vda", home, "254:0", 256 * GIB, {"serial": "overlayblk", "diskseq": "9"}, {home: "virtio"})
    machine.mount("254:0", "/", "ext4", "/dev/vda")
    machine.add("zram0", "virtual", "253:0", 0)
    machine.add("loop0", "virtual", "7:0", 0)
    return machine


def raspberry(root: Path) -> Machine:
    """Return a Raspberry Pi 4 that runs from its SD card, with a USB reader."""
    machine = Machine(root)
    home = "platform/emmc2bus/fe340000.mmc/mmc_host/mmc0/mmc0:aaaa"
    card = {"device/name": "SC32G", "device/serial": "0x1a2b3c4d", "device/type": "SD"}
    machine.add("mmcblk0", home, "179:0", 32 * GIB, card, {home: "mmc"})
    machine.part("mmcblk0", 1, "179:1", 512 << 20)
    machine.part("mmcblk0", 2, "179:2", 31 * GIB)
    machine.mount("179:2", "/", "ext4", "/dev/root")
    machine.mount("179:1", "/boot/firmware", "vfat", "/dev/mmcblk0p1")
    add_usb_reader(machine)
    return machine


def laptop(root: Path) -> Machine:
    """Return a laptop: NVMe with LUKS and LVM, swap on a volume, a card reader on PCI, a large USB disk."""
    machine = Machine(root)
    nvme = "pci0000:00/0000:00:1d.0/0000:03:00.0/nvme/nvme0"
    files = {"device/model": "Fast SSD 1TB", "device/serial": "S4EWNX0R123456"}
    machine.add("nvme0n1", f"{nvme}/nvme0n1", "259:0", 953 * GIB, files, {nvme: "nvme"})
    machine.part("nvme0n1", 1, "259:1", GIB)
    machine.part("nvme0n1", 2, "259:2", 900 * GIB)
    machine.build("dm-0", "254:0", ("nvme0n1p2",), {"dm/name": "cryptroot"})
    machine.build("dm-1", "254:1", ("dm-0",), {"dm/name": "vg-root"})
    machine.build("dm-2", "254:2", ("dm-0",), {"dm/name": "vg-swap"})
    machine.mount("254:1", "/", "ext4", "/dev/mapper/vg-root")
    machine.mount("259:1", "/boot/efi", "vfat", "/dev/nvme0n1p1")
    machine.swap("/dev/dm-2")
    reader = "pci0000:00/0000:00:1c.0/0000:02:00.0/rtsx_pci_sdmmc.0/mmc_host/mmc0/mmc0:0001"
    card = {"device/name": "EB1QT", "device/serial": "0x0badcafe", "device/type": "SD"}
    machine.add("mmcblk0", reader, "179:0", 64 * GIB, card, {reader: "mmc"})
    machine.part("mmcblk0", 1, "179:1", 63 * GIB)
    machine.mount("179:1", "/media/me/my\\040card", "vfat", "/dev/mmcblk0p1")
    port = "pci0000:00/0000:00:14.0/usb2/2-1"
    disk = f"{port}/2-1:1.0/host7/target7:0:0/7:0:0:0"
    files = {"device/vendor": "WD", "device/model": "Elements 25A2"}
    machine.add("sda", disk, "8:0", 2000 * GIB, files, {port: "usb", disk: "scsi"})
    machine._write(machine.sys / "devices" / port / "idVendor", "1058\n")
    machine._write(machine.sys / "devices" / port / "serial", "575836314\n")
    return machine


def server(root: Path) -> Machine:
    """Return a NAS: the system on a RAID of two ATA disks, /nix on a btrfs of two USB disks, swap on a USB stick."""
    machine = Machine(root)
    for number, name in enumerate(("sda", "sdb")):
        home = f"pci0000:00/0000:00:17.0/ata{number + 1}/host{number}/target{number}:0:0/{number}:0:0:0"
        machine.add(name, home, f"8:{16 * number}", 4000 * GIB, {"device/model": "IronDisk"}, {home: "scsi"})
        machine.part(name, 1, f"8:{16 * number + 1}", 3999 * GIB)
    machine.build("md127", "9:127", ("sda1", "sdb1"), {"md/level": "raid1"})
    machine.mount("9:127", "/", "xfs", "/dev/md127")
    for number, name in enumerate(("sdc", "sdd", "sde"), 2):
        add_usb_reader(machine, name, f"8:{16 * number}", 128 * GIB)
    machine._write(machine.sys / "fs/btrfs/0b1c-uuid/devices/sdc1", "")
    machine._write(machine.sys / "fs/btrfs/0b1c-uuid/devices/sdd1", "")
    machine.mount("0:45", "/nix", "btrfs", "/dev/sdc1")
    machine.swap("/dev/sde2")
    return machine
