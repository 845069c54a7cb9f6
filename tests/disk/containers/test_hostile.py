"""qcow2 images that were made to cost time or memory, case by case; changed bytes are in tests/fuzz."""

import os
import time
from pathlib import Path

import pytest

from imagekit.disk.containers.qcow2 import open_qcow2
from imagekit.disk.containers.raw import RawDisk
from imagekit.errors import ImageDamaged

SECONDS = 2.0


def open_memory(content: bytes) -> RawDisk:
    """Return a file in memory that holds ``content``."""
    descriptor = os.memfd_create("image")
    os.write(descriptor, content)
    return RawDisk(Path("image.qcow2"), descriptor, len(content))


def make_header(*, bits: int, size: int, l1_entries: int, l1_offset: int) -> bytearray:
    """Return a header of version 2 in its own cluster."""
    header = bytearray(1 << bits)
    header[:8] = b"QFI\xfb\0\0\0\2"
    header[20:32] = bits.to_bytes(4, "big") + size.to_bytes(8, "big")
    header[36:48] = l1_entries.to_bytes(4, "big") + l1_offset.to_bytes(8, "big")
    return header


def test_one_table_for_everything() -> None:
    """64 TiB whose every table is the same one: the map ends at the second use, and reading takes next to nothing."""
    bits, entries = 16, 131_072
    data = make_header(bits=bits, size=64 << 40, l1_entries=entries, l1_offset=1 << bits)
    table = (1 << bits) + 8 * entries
    data += table.to_bytes(8, "big") * entries
    data += table.to_bytes(8, "big") * 8192
    started = time.process_time()
    with open_qcow2(open_memory(bytes(data))) as disk:
        with pytest.raises(ImageDamaged, match="for two parts"):
            list(disk.data_ranges())
        for offset in range(0, 64 << 40, 1 << 38):
            assert disk.read(offset, 8) == table.to_bytes(8, "big")
    assert time.process_time() - started < SECONDS


def test_one_compressed_cluster_a_million_times() -> None:
    """One cluster of 2 MiB of zeros in 2 kB, mapped all over a disk, is unpacked once."""
    import zlib

    bits = 21
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    packed = packer.compress(bytes(1 << bits)) + packer.flush()
    x = 62 - (bits - 8)
    entry = 1 << 62 | (len(packed) // 512 + 1) << x | 3 << bits
    data = make_header(bits=bits, size=512 << 30, l1_entries=1, l1_offset=1 << bits)
    data += (2 << bits).to_bytes(8, "big").ljust(1 << bits, b"\0")
    data += entry.to_bytes(8, "big") * (1 << bits - 3)
    data += packed
    started = time.process_time()
    with open_qcow2(open_memory(bytes(data))) as disk:
        assert list(disk.data_ranges()) == [(0, 512 << 30)]
        for offset in range(0, 512 << 30, 1 << 28):
            assert disk.read(offset, 512) == bytes(512)
    assert time.process_time() - started < SECONDS


def test_cluster_of_countless_frames() -> None:
    """A compressed cluster of 200,000 empty zstd frames is given up, not unpacked for minutes."""
    frame = b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00"
    bits = 21
    x = 62 - (bits - 8)
    data = make_header(bits=bits, size=1 << bits, l1_entries=1, l1_offset=1 << bits)
    data[4:8] = b"\0\0\0\3"
    data[79], data[100:105] = 8, b"\0\0\0\x70\1"
    data += (2 << bits).to_bytes(8, "big").ljust(1 << bits, b"\0")
    data += (1 << 62 | 4095 << x | 3 << bits).to_bytes(8, "big").ljust(1 << bits, b"\0")
    data += frame * 200_000
    started = time.process_time()
    with open_qcow2(open_memory(bytes(data))) as disk, pytest.raises(ImageDamaged, match="cannot be unpacked"):
        disk.read(0, 1)
    assert time.process_time() - started < SECONDS
