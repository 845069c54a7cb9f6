"""qcow2 images with changed bytes: the reader ends in time and memory with bytes or with damage."""

import os
import time
import tracemalloc
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.disk.qcow2 import open_qcow2
from imagekit.disk.raw import RawDisk
from imagekit.errors import ImageDamaged, VerificationFailed
from imagekit.host import run

SECONDS = 2.0
MEMORY_BYTES = 96 << 20
WORDS = (0, 1, 511, 512, 4096, 1 << 16, 1 << 40, (1 << 56) - 512, 1 << 62, 1 << 63, (1 << 64) - 1)

# A change: region, where in it, how many bytes, and which value.
changes = st.lists(
    st.tuples(
        st.integers(0, 4),
        st.integers(0, 1 << 16),
        st.sampled_from((1, 4, 8)),
        st.one_of(st.sampled_from(WORDS), st.integers(0, (1 << 64) - 1), st.integers(0, 200).map(lambda n: n << 12)),
    ),
    min_size=1,
    max_size=6,
)

KINDS = {
    "plain": ([], "cluster_size=4k"),
    "version 2": ([], "cluster_size=4k,compat=0.10"),
    "zlib": (["-c"], "cluster_size=4k"),
    "zstd": (["-c"], "cluster_size=4k,compression_type=zstd"),
    "subclusters": ([], "cluster_size=16k,extended_l2=on"),
}


def open_memory(content: bytes) -> RawDisk:
    """Return a file in memory that holds ``content``."""
    descriptor = os.memfd_create("image")
    os.write(descriptor, content)
    return RawDisk(Path("image.qcow2"), descriptor, len(content))


@pytest.fixture(scope="module")
def image(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[bytes, list[tuple[int, int]]]:
    """Return an image and its regions: header, extensions, L1, L2, and some data."""
    work = tmp_path_factory.mktemp("hostile")
    raw, path = work / "raw", work / "qcow2"
    random = Random(3)
    pieces = [random.randbytes(600) * 7 if random.random() < 0.4 else bytes(4096) for _ in range(128)]
    raw.write_bytes(b"".join(piece[:4096].ljust(4096, b"x") for piece in pieces))
    compress, options = KINDS[request.param]
    run(
        [
            "qemu-img",
            "convert",
            "-t",
            "unsafe",
            "-O",
            "qcow2",
            *compress,
            "-o",
            options,
            os.fspath(raw),
            os.fspath(path),
        ]
    )
    data = path.read_bytes()
    l1 = int.from_bytes(data[40:48], "big")
    l2 = int.from_bytes(data[l1 : l1 + 8], "big") & 0x00FFFFFFFFFFFE00
    return data, [(0, 112), (0, 512), (l1, 16), (l2, 1024), (l2, len(data) - l2)]


@pytest.mark.parametrize("image", KINDS, indirect=True)
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(edits=changes)
def test_changed_bytes(edits: list[tuple[int, int, int, int]], image: tuple[bytes, list[tuple[int, int]]]) -> None:
    """Whatever is changed in header and tables, only operator's errors are raised, soon, and little memory is taken."""
    data, regions = image
    changed = bytearray(data)
    for which, place, width, value in edits:
        begin, length = regions[which]
        at = begin + place % length // width * width
        changed[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "big")
    started = time.process_time()
    tracemalloc.start()
    try:
        with suppress(VerificationFailed), open_qcow2(open_memory(bytes(changed))) as disk:
            for offset in (0, disk.size // 2, max(0, disk.size - 70_000)):
                with suppress(ImageDamaged):
                    length = min(70_000, disk.size - offset)
                    assert len(disk.read(offset, length)) == length
            end = 0
            with suppress(ImageDamaged):
                for offset, length in disk.data_ranges():
                    assert end <= offset < offset + length <= disk.size
                    end = offset + length
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_BYTES
    assert time.process_time() - started < SECONDS


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
