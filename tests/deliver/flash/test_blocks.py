"""How a disk is cut: every byte in its place, and nothing outlives the block."""

import threading
from pathlib import Path

import pytest

from imagekit.deliver.flash.blocks import BLOCK_BYTES, open_lane, read_ahead, round_up
from imagekit.deliver.flash.device import Bus, Device, Partition
from imagekit.deliver.flash.lsblk import label_partitions
from imagekit.deliver.flash.sysfs import read_devices


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 9 * BLOCK_BYTES])
def test_blocks_come_in_order(size: int) -> None:
    """Offsets rise by whole blocks, only the last is shorter, and the buffer is not used again before its turn."""

    def read(offset: int, target: memoryview) -> int:
        count = max(0, min(len(target), size - offset))
        target[:1] = bytes([offset // BLOCK_BYTES])
        return count

    found = []
    with open_lane("test") as lane:
        for offset, buffer, count in read_ahead(lane, read):
            assert buffer[0] == offset // BLOCK_BYTES
            found.append((offset, count))
    assert [offset for offset, _ in found] == list(range(0, size, BLOCK_BYTES))
    assert sum(count for _, count in found) == size


def test_error_while_reading_is_raised_in_its_place() -> None:
    """Blocks before the error are given first; no thread is left."""

    def read(offset: int, target: memoryview) -> int:
        if offset == 2 * BLOCK_BYTES:
            raise OSError("rotten")
        return len(target)

    found = []
    with pytest.raises(OSError, match="rotten"), open_lane("test") as lane:
        found += [offset for offset, _, _ in read_ahead(lane, read)]
    assert not [one for one in threading.enumerate() if one.name.startswith("imagekit-test")]


def test_rounding_is_up() -> None:
    """A sector that has begun counts as a whole one."""
    assert [round_up(count, 512) for count in (0, 1, 512, 513)] == [0, 512, 512, 1024]


def test_labels_are_only_decoration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Partitions that lsblk does not know stay as they are; without lsblk nothing is missing."""
    parts = (Partition("imagekit-none1", 1 << 20),)
    device = Device("imagekit-none", "240:0", 1 << 30, 512, Bus.USB, True, False, "", "", None, parts)
    assert label_partitions((device,)) == (device,)
    assert len(label_partitions(read_devices())) == len(read_devices())
    monkeypatch.setattr("imagekit.deliver.flash.lsblk.find_tool", lambda name, required: "")
    assert label_partitions((device,)) == (device,)
