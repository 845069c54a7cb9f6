"""Partition tables with changed bytes: never silence and a lie. Every other reader's changes are in tests/fuzz."""

import os
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.disk.partitions.gpt import read_gpt
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged
from imagekit.host.local import run

Memory = Callable[[bytes], Readable]
INTERESTING = (0, 1, 2, 7, 8, 0x7F, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

# A change: where (as a share of the region), how many bytes, and which value.
changes = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.sampled_from((1, 2, 4)),
        st.one_of(st.sampled_from(INTERESTING), st.integers(0, 0xFFFFFFFF)),
    ),
    min_size=1,
    max_size=6,
)
quick = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def mutate(data: bytearray, regions: list[tuple[int, int]], which: int, edits: list[tuple[int, int, int]]) -> bytes:
    """Return the image with values written into one of its regions, each aligned to its width."""
    begin, length = regions[which % len(regions)]
    changed = bytearray(data)
    for place, width, value in edits:
        at = begin + place % length // width * width
        changed[at : at + width] = (value & (1 << 8 * width) - 1).to_bytes(width, "little")
    return bytes(changed)


@pytest.fixture(scope="module")
def gpt_image(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytearray, list[tuple[int, int]]]:
    """Return a partitioned disk and its regions: MBR, headers, entries."""
    path = tmp_path_factory.mktemp("gpt") / "disk.raw"
    path.touch()
    os.truncate(path, 2 << 20)
    script = b"label: gpt\nstart=64, size=64, type=U\nstart=128, size=512, type=L\n"
    run(["sfdisk", "-q", os.fspath(path)], stdin=script)
    data = bytearray(path.read_bytes())
    end = len(data)
    return data, [(0, 512), (512, 92), (1024, 384), (end - 512, 92), (end - 33 * 512, 384)]


@quick
@given(which=st.integers(0, 4), edits=changes)
def test_gpt_with_changed_bytes(
    which: int, edits: list[tuple[int, int, int]], gpt_image: tuple[bytearray, list[tuple[int, int]]], memory: Memory
) -> None:
    """A changed table gives the right partitions from the other copy, a problem, or damage; never silence and a lie."""
    data, regions = gpt_image
    right = read_gpt(memory(bytes(data)))
    changed = mutate(data, regions, which, edits)
    with suppress(ImageDamaged):
        table = read_gpt(memory(changed))
        assert table.problems or table.partitions == right.partitions
        for part in table.partitions:
            assert part.offset >= 0
            assert part.length > 0
