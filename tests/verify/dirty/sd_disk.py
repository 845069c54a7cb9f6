"""Dirt on a NixOS card that only its image's bytes show: the table, the firmware's FAT, ids."""

import os
from collections.abc import Callable
from pathlib import Path

from imagekit.host import run
from imagekit.verify import Policy, Profile
from tests.verify import clean_card as card
from tests.verify.dirty.change import FAIL, INFO, Dirt, all_of
from tests.verify.dirty.disk import poke

CARD = Policy(profile=Profile.SD_IMAGE)
DEEP = Policy(profile=Profile.SD_IMAGE, deep=True)


def firmware_run(disk: Path, *argv: str) -> None:
    """Run an mtools program on the card's FAT."""
    run([argv[0], "-i", f"{disk}@@{card.FIRMWARE_OFFSET}", *argv[1:]])


def _without(name: str) -> Callable[[Path], None]:
    return lambda disk: firmware_run(disk, "mdel", f"::/{name}")


def _config(text: str) -> Callable[[Path], None]:
    """Return a change that replaces config.txt."""

    def change(disk: Path) -> None:
        config = disk.with_name("config.txt")
        config.write_text(text, encoding="utf-8")
        firmware_run(disk, "mcopy", "-o", os.fspath(config), "::/config.txt")

    return change


def _table(*lines: str) -> Callable[[Path], None]:
    return lambda disk: card.partition_card(disk, *lines)


def _grow(bytes_more: int) -> Callable[[Path], None]:
    return lambda disk: os.truncate(disk, disk.stat().st_size + bytes_more)


def _make_gpt(disk: Path) -> None:
    """Replace the MBR by a GPT with the same two partitions."""
    os.truncate(disk, card.DISK_BYTES + card.MIB)
    places = ((card.FIRMWARE_OFFSET, card.FIRMWARE_BYTES), (card.ROOT_OFFSET, card.ROOT_BYTES))
    lines = ["label: gpt", *(f"start={offset // 512}, size={size // 512}, type=L" for offset, size in places)]
    run(["sfdisk", "-q", "--no-reread", "--no-tell-kernel", os.fspath(disk)], stdin="\n".join(lines).encode())


def _add_behind(disk: Path) -> None:
    """Put a third partition behind the root."""
    behind = (card.ROOT_OFFSET + card.ROOT_BYTES) // 512
    os.truncate(disk, card.DISK_BYTES + card.MIB)
    card.partition_card(disk, "type=b", "type=83, bootable", f"start={behind}, size=1024, type=83")


_SHARED = (0x2178694E).to_bytes(4, "little")  # nixpkgs' firmwarePartitionID
_UUID = bytes.fromhex("44444444444444448888888888888888")  # and its root's UUID

SD_DISK_DIRT = (
    Dirt("sd-layout", "swapped", FAIL, "partition 1", _table("type=83", "type=b, bootable"), CARD),
    Dirt("sd-layout", "root-type", FAIL, "partition 2", _table("type=b", "type=82, bootable"), CARD),
    Dirt("sd-layout", "not-bootable", FAIL, "partition 2", _table("type=b, bootable", "type=83"), CARD),
    Dirt("sd-layout", "size", FAIL, "partition table", _grow(100), CARD),
    Dirt("sd-layout", "gpt", FAIL, "partition table", _make_gpt, CARD),
    Dirt("sd-layout", "behind", FAIL, "partition 3", _add_behind, CARD),
    Dirt(
        "sd-layout",
        "past-end",
        FAIL,
        "partition 1",
        lambda disk: poke(disk, 446 + 12, (card.DISK_BYTES // 512).to_bytes(4, "little")),
        CARD,
    ),
    Dirt(
        "sd-layout", "no-fat", FAIL, "partition table", lambda disk: poke(disk, card.FIRMWARE_OFFSET, bytes(4096)), CARD
    ),
    Dirt("sd-firmware", "config", FAIL, "config.txt", _without("config.txt"), CARD),
    Dirt("sd-firmware", "u-boot", FAIL, "u-boot-rpi4.bin", _without("u-boot-rpi4.bin"), CARD),
    Dirt("sd-firmware", "stub", FAIL, "armstub8-gic.bin", _without("armstub8-gic.bin"), CARD),
    Dirt("sd-firmware", "boot-code", FAIL, "bootcode.bin", _without("bootcode.bin"), CARD),
    Dirt("sd-firmware", "start", FAIL, "start.elf", _without("start.elf"), CARD),
    Dirt("sd-firmware", "start4", FAIL, "start4.elf", _without("start4.elf"), CARD),
    Dirt("sd-firmware", "tree", FAIL, "bcm2711", _without("bcm2711-rpi-4-b.dtb"), CARD),
    Dirt("sd-firmware", "no-kernel", FAIL, "config.txt", _config("arm_64bit=1\n"), CARD),
    Dirt(
        "sd-firmware",
        "no-boards",
        FAIL,
        "start4.elf",
        all_of(_config("kernel=u-boot-rpi4.bin\n"), _without("start.elf"), _without("start4.elf")),
        CARD,
    ),
    Dirt(
        "sd-shared-ids",
        "disk",
        INFO,
        "partition table",
        lambda disk: poke(disk, 440, _SHARED),
        CARD,
    ),
    Dirt(
        "sd-shared-ids", "fat", INFO, "partition 1", lambda disk: poke(disk, card.FIRMWARE_OFFSET + 39, _SHARED), CARD
    ),
    Dirt("sd-shared-ids", "root", INFO, "partition 2", lambda disk: poke(disk, card.ROOT_OFFSET + 1128, _UUID), CARD),
)
