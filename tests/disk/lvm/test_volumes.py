"""LVM: logical volumes are the right bytes in the right order, and metadata that lies is damage."""

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import pyvslvm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.disk.lvm.metadata import compute_checksum, parse_text, read_group, read_label
from imagekit.disk.lvm.volumes import Lvm, open_lvm
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged
from imagekit.host import run
from tests.disk.made_lvm import AREA_SIZE, DATA_START, EXTENT, MIB, PV_UUID, Lv, make_uuid, write_physical, write_text

Memory = Callable[[bytes | bytearray], Readable]
SIZE = 12 * MIB
VOLUMES = (Lv("root", ((0, 4, 3), (0, 0, 2))), Lv("swap-1", ((0, 8, 1),)))


def write_marked(text: str, size: int = SIZE, *, uuid: str = PV_UUID, at: int = 512) -> bytearray:
    """Return a physical volume in which every extent is full of its own number."""
    data = write_physical(size, text, uuid=uuid, at=at)
    for number in range((size - DATA_START) // EXTENT):
        begin = DATA_START + number * EXTENT
        data[begin : begin + EXTENT] = bytes([number + 1]) * EXTENT
    return data


def open_one(text: str, memory: Memory, *, at: int = 512) -> Lvm:
    """Open one physical volume with this text."""
    return open_lvm([memory(write_marked(text, at=at))])


def expect_problem(text: str, said: str, memory: Memory) -> None:
    """Check that the first logical volume, or its physical one, has a problem."""
    lvm = open_one(text, memory)
    problem = lvm.logical[0].problem if lvm.logical else lvm.physical[0].problem
    assert said in problem
    assert not any(each.window for each in lvm.logical[:1])


@pytest.mark.parametrize("at", [512, 4096, AREA_SIZE - 512, AREA_SIZE - 3])
def test_segments_are_put_together(at: int, memory: Memory) -> None:
    """Extents come in the order of the segments, wherever in its ring the metadata begins."""
    lvm = open_one(write_text(VOLUMES, extents=11), memory, at=at)
    assert [(each.uuid, each.group, each.problem) for each in lvm.physical] == [(PV_UUID, "vg", "")]
    root, swap = lvm.logical
    assert (root.name, root.uuid, root.window and root.window.size) == ("root", make_uuid("a"), 5 * EXTENT)
    assert root.device_names == ("/dev/vg/root", "/dev/mapper/vg-root")
    assert swap.device_names == ("/dev/vg/swap-1", "/dev/mapper/vg-swap--1")
    assert root.window is not None
    assert [root.window.read(number * EXTENT, 1)[0] for number in range(5)] == [5, 6, 7, 1, 2]
    assert root.window.read(3 * EXTENT - 2, 4) == b"\7\7\1\1"
    assert root.window.read(5 * EXTENT, 0) == b""
    with pytest.raises(ImageDamaged, match="outside this logical volume"):
        root.window.read(5 * EXTENT - 1, 2)


def test_the_library_reads_the_same_bytes(tmp_path: Path, memory: Memory) -> None:
    """libvslvm finds the same volumes with the same content; it knows neither two segments nor comments."""
    volumes = (Lv("root", ((0, 4, 3),)), Lv("swap-1", ((0, 8, 1),)))
    text = re.sub(r"\t+#[^\n]*", "", write_text(volumes, extents=11))
    data = write_marked(text)
    path = tmp_path / "pv"
    path.write_bytes(data)
    handle = pyvslvm.handle()
    handle.open(os.fspath(path))
    handle.open_physical_volume_files([os.fspath(path)])
    found = list(handle.get_volume_group().logical_volumes)
    lvm = open_lvm([memory(data)])
    assert [each.name for each in found] == [each.name for each in lvm.logical]
    for theirs, ours in zip(found, lvm.logical, strict=True):
        assert ours.window is not None
        assert theirs.size == ours.window.size
        assert theirs.read_buffer_at_offset(theirs.size, 0) == ours.window.read(0, ours.window.size)


def test_lvm_itself_accepts_what_the_tests_write(tmp_path: Path) -> None:
    """pvck(8) finds label, header and metadata where the tests put them, with right checksums, and the same text."""
    text = write_text(VOLUMES, extents=11)
    path = tmp_path / "pv"
    path.write_bytes(write_physical(SIZE, text, at=AREA_SIZE - 512))
    headers = run(["pvck", "--dump", "headers", os.fspath(path)])
    assert "vgname vg seqno 3" in headers.output.decode()
    for word in ("wrong", "invalid", "CHECK"):
        assert word not in headers.output.decode() + headers.errors.replace("Parent PID", "")
    said = run(["pvck", "--dump", "metadata", os.fspath(path)]).output.decode()
    assert text.strip() in said


def test_group_over_two_volumes(memory: Memory) -> None:
    """A volume may lie on two physical ones; the newer text counts, and a missing one is named."""
    uuids = (PV_UUID, make_uuid("Q"))
    text = write_text((Lv("data", ((1, 0, 2), (0, 3, 1))), Lv("old", ((0, 0, 1),))), extents=11, uuids=uuids, seqno=9)
    older = write_text((Lv("data", ((0, 0, 1),)),), extents=11, uuids=uuids, seqno=8)
    first, second = write_marked(older), write_marked(text, uuid=uuids[1])
    data, _ = open_lvm([memory(first), memory(second)]).logical
    assert data.window is not None
    assert [data.window.read(number * EXTENT, 1)[0] for number in range(3)] == [1, 2, 4]
    gone, there = open_lvm([memory(write_marked(text))]).logical
    assert "not on this disk" in gone.problem
    assert there.window is not None
    twice = open_lvm([memory(first), memory(first)])
    assert twice.logical == ()
    assert all("same UUID" in each.problem for each in twice.physical)


def test_kinds_that_are_not_read_are_named(memory: Memory) -> None:
    """A thin pool, a mirror and a stripe have a reason and no bytes; hidden volumes are not listed."""
    expect_problem(write_text((Lv("pool", ((0, 0, 1),), type="thin-pool"),)), "type 'thin-pool'", memory)
    striped = write_text((Lv("wide", ((0, 0, 1),)),)).replace('"pv0", 0\n', '"pv0", 0,\n"pv1", 0\n')
    expect_problem(striped, "striped over several volumes", memory)
    assert open_one(write_text((Lv("pool_tdata", ((0, 0, 1),), visible=False),)), memory).logical == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("start_extent = 0", "start_extent = 1"), "gap or an overlap"),
        (("extent_count = 3", "extent_count = 0"), "gap or an overlap"),
        (('"pv0", 4', '"pv0", 40'), "outside the physical volume"),
        (('"pv0", 4', '"pv7", 4'), "not on this disk"),
        (("pe_count = 11", "pe_count = 4"), "outside the physical volume"),
        (("pe_start = 2048", "pe_start = 204800"), "outside the physical volume"),
        (("extent_size = 2048", "extent_size = 281474976710655"), "outside the physical volume"),
        (("segment_count = 2", "segment_count = 3"), "lacks its segment 3"),
        (("segment_count = 2", "segment_count = -1"), "lacks the number segment_count"),
        (("root {", "../../etc {"), "cannot be understood"),
        (("root {", "-root {"), "no name for an LVM volume"),
        (("root {", ".. {"), "no name for an LVM volume"),
        (("seqno = 3", "seqno = 3\nseqno = 4"), "'seqno' twice"),
        (("vg {", "vg {\nbroken = "), "key without a value"),
        (("vg {", "vg { {"), "where it cannot be"),
        (("logical_volumes {", "logical_volumes"), "where it cannot be"),
        (("vg {", "other { }\nvg {"), "describes 2 volume groups"),
        ((f'id = "{PV_UUID}"', 'id = "short"'), "identifier"),
        (("extent_size", "size_of_extents"), "lacks the number extent_size"),
        (("stripes = [", "stripes = [ ["), "key without a value"),
    ],
)
def test_text_that_lies(change: tuple[str, str], said: str, memory: Memory) -> None:
    """A number or name that cannot be right is told, and no byte is read by it."""
    text = write_text(VOLUMES, extents=11)
    assert change[0] in text
    expect_problem(text.replace(*change, 1), said, memory)


def test_volume_larger_than_its_disk(memory: Memory) -> None:
    """The same extents used again and again do not make a volume larger than what it lies on."""
    expect_problem(write_text((Lv("root", ((0, 0, 9), (0, 0, 9))),), extents=11), "larger than what it lies on", memory)


def test_two_groups_of_one_name(memory: Memory) -> None:
    """Two groups called alike are not told apart by guessing."""
    first = write_marked(write_text(VOLUMES, extents=11))
    text = write_text(VOLUMES, extents=11, uuids=(make_uuid("Q"),)).replace(make_uuid("V"), make_uuid("W"))
    lvm = open_lvm([memory(first), memory(write_marked(text, uuid=make_uuid("Q")))])
    assert len(lvm.logical) == 4
    assert all("two volume groups are called vg" in each.problem for each in lvm.logical)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (512 + 8, "unknown kind"),
        (512 + 16, "wrong checksum"),
        (4096 + 4, "wrong header"),
        (4096 + 41, "wrong checksum"),
    ],
)
def test_headers_that_lie(at: int, said: str, memory: Memory) -> None:
    """Label, header and text are believed only with their checksums."""
    data = write_physical(SIZE, write_text(VOLUMES))
    data[at] ^= 0xFF
    assert said in open_lvm([memory(data)]).physical[0].problem


def test_numbers_of_the_headers(memory: Memory) -> None:
    """Even with right checksums an area or a text outside is refused."""
    good = write_physical(SIZE, write_text(VOLUMES))
    for place, value, said in (
        (40, 1 << 40, "said to be"),
        (40, 100, "said to be"),
        (48, 1 << 40, "said to be"),
        (56, 0, "metadata has a wrong checksum"),
    ):
        data = bytearray(good)
        struct.pack_into("<Q" if place < 56 else "<I", data, 4096 + place, value)
        struct.pack_into("<I", data, 4096, compute_checksum(bytes(data[4100 : 4096 + 512])))
        with pytest.raises(ImageDamaged, match=said):
            read_label(memory(data))
    data = bytearray(good)
    data[544 + 40 : 1024] = b"\1" * (1024 - 584)  # no list has an end
    struct.pack_into("<I", data, 512 + 16, compute_checksum(bytes(data[532:1024])))
    with pytest.raises(ImageDamaged, match="no end"):
        read_label(memory(data))
    empty = read_label(memory(write_physical(SIZE, "")))
    assert (empty.uuid, empty.text) == (PV_UUID, "")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 4000), length=st.integers(0, 30), filling=st.text('{}[]=",0123456789pv \n#\\', max_size=30))
def test_changed_text_is_read_or_damage(at: int, length: int, filling: str, memory: Memory) -> None:
    """Whatever is changed in the text, there are volumes inside the disk, or problems, and nothing else."""
    text = write_text(VOLUMES, extents=11)
    at %= len(text)
    changed = text[:at] + filling + text[at + length :]
    lvm = open_lvm([memory(write_physical(SIZE, changed))])
    for each in lvm.logical:
        assert (each.window is None) == bool(each.problem)
        if each.window is not None:
            assert len(each.window.read(each.window.size - 1, 1)) == 1


def test_text_is_bounded() -> None:
    """Nests, endless texts and absurd numbers end soon."""
    for text in ("a {" * 100_000, "a = [" + "1," * 300_000, '"' + "x" * 1_000_000, "a = " + "9" * 100_000, "a {"):
        with pytest.raises(ImageDamaged):
            read_group(text)
    assert parse_text('a = "x\\"y" b = [1, "2"] 3c { d = -1 } # end') == {
        "a": 'x"y',
        "b": [1, "2"],
        "3c": {"d": -1},
    }
