"""Packed disks: real files of four tools, in one part or many, unpacked whole or not at all."""

import bz2
import gzip
import lzma
import os
import time
import zlib
from collections import namedtuple
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from backports import zstd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.disk.containers.open import open_disk
from imagekit.disk.containers.raw import NotADisk, open_file
from imagekit.disk.containers.stream import PIECE_BYTES, read_stream
from imagekit.errors import ImageDamaged, VerificationFailed
from imagekit.host import run
from imagekit.progress import Event

PACK: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstd.compress,
    "xz": lzma.compress,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
}
TOOLS = {
    "zstd": (["zstd", "-q", "-k"], ".zst"),
    "xz": (["xz", "-0", "-k"], ".xz"),
    "gzip": (["gzip", "-k"], ".gz"),
    "bzip2": (["bzip2", "-k"], ".bz2"),
}
SIZE = (5 << 20) + 700


@pytest.fixture(scope="module")
def content() -> bytes:
    """Return a disk of 5 MiB and a bit: noise at both ends and in the middle, zeros between."""
    random = Random(23)
    disk = bytearray(SIZE)
    for offset in (0, 2_500_000, SIZE - 700):
        disk[offset : offset + 700] = random.randbytes(700)
    disk[1 << 20 : 3 << 19] = random.randbytes(1 << 19)
    return bytes(disk)


@pytest.mark.parametrize("kind", PACK)
def test_tools_files_are_read(tmp_path: Path, content: bytes, kind: str) -> None:
    """What the tool packed is the disk, byte for byte, under any name; zeros become holes."""
    path = tmp_path / "disk.raw"
    path.write_bytes(content)
    command, ending = TOOLS[kind]
    run([*command, os.fspath(path)])
    packed = path.with_name(f"disk.raw{ending}").rename(tmp_path / "any-name")
    with open_disk(packed, directory=tmp_path) as disk:
        assert disk.format == kind
        assert disk.path == packed
        assert disk.size == SIZE
        assert disk.read(0, SIZE) == content
        assert disk.window(SIZE - 700, 700).read(0, 700) == content[-700:]
        shown = sum(length for _, length in disk.data_ranges())
    assert shown < 2 << 20


@pytest.mark.parametrize("kind", PACK)
def test_many_parts_are_one_disk(tmp_path: Path, content: bytes, kind: str) -> None:
    """Frames, streams and members follow one another, empty ones too."""
    pack = PACK[kind]
    cuts = [0, 1, 70_000, 70_000, 3 << 20, SIZE]
    path = tmp_path / "disk"
    path.write_bytes(b"".join(pack(content[begin:end]) for begin, end in pairwise(cuts)))
    pieces = list(read_stream(path))
    assert b"".join(pieces) == content
    assert all(len(piece) == PIECE_BYTES for piece in pieces[:-1])
    assert 0 < len(pieces[-1]) <= PIECE_BYTES


def test_open_file_is_read_and_left_open(tmp_path: Path, content: bytes) -> None:
    """A file that is open already is read from its beginning, as often as one likes."""
    path = tmp_path / "disk"
    path.write_bytes(zstd.compress(content))
    with open_file(path) as file:
        assert b"".join(read_stream(file)) == content
        assert b"".join(read_stream(file)) == content


def test_skippable_frames_are_skipped(tmp_path: Path, content: bytes) -> None:
    """zstd's skippable frames may stand anywhere, at the beginning too, as pzstd writes them."""
    skippable = b"\x5a\x2a\x4d\x18" + (5).to_bytes(4, "little") + b"other"
    path = tmp_path / "disk"
    path.write_bytes(skippable + zstd.compress(content[:100]) + skippable + zstd.compress(content[100:]) + skippable)
    assert b"".join(read_stream(path)) == content


@pytest.mark.parametrize(("kind", "padding"), [("xz", 4), ("xz", 400_000), ("gzip", 1), ("gzip", 400_001)])
def test_padding_is_skipped(tmp_path: Path, content: bytes, kind: str, padding: int) -> None:
    """Zeros between and after parts are allowed where the format or its tool allows them."""
    path = tmp_path / "disk"
    pack = PACK[kind]
    path.write_bytes(pack(content[:9]) + bytes(padding) + pack(content[9:]) + bytes(padding))
    assert b"".join(read_stream(path)) == content


@pytest.mark.parametrize(
    ("kind", "tail"),
    [
        ("zstd", b"\0"),
        ("zstd", b"garbage"),
        ("xz", bytes(3)),
        ("xz", bytes(4) + b"garbage"),
        ("xz", bytes(2) + lzma.compress(b"more")),
        ("gzip", b"garbage"),
        ("gzip", bytes(5) + b"x"),
        ("bzip2", b"garbage"),
        ("bzip2", bytes(4)),
        ("gzip", zstd.compress(b"another kind")),
    ],
)
def test_something_else_at_the_end_is_damage(tmp_path: Path, content: bytes, kind: str, tail: bytes) -> None:
    """What follows the last part and is no part is damage that names the file."""
    path = tmp_path / "disk.packed"
    path.write_bytes(PACK[kind](content) + tail)
    with pytest.raises(ImageDamaged, match=r"disk\.packed .*after"):
        open_disk(path, directory=tmp_path)


@pytest.mark.parametrize("kind", PACK)
def test_truncated_file_is_damage(tmp_path: Path, content: bytes, kind: str) -> None:
    """A file that was cut anywhere is damage, in the first part or in a later one, and leaves nothing behind."""
    packed = PACK[kind](content) * 2
    path = tmp_path / "disk.packed"
    for length in (10, 30, len(packed) // 4, len(packed) // 2 - 1, len(packed) // 2 + 10, len(packed) - 1):
        path.write_bytes(packed[:length])
        with pytest.raises(ImageDamaged, match=r"disk\.packed (is cut short|cannot be unpacked)"):
            open_disk(path, directory=tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["disk.packed"]


@pytest.mark.parametrize("kind", PACK)
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(edits=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=4))
def test_changed_bytes(tmp_path: Path, kind: str, edits: list[tuple[int, int]]) -> None:
    """Whatever is changed in a packed file, it is unpacked or refused, soon; a checksum tells that it is not right."""
    content = bytes(100_000) + b"system" * 3000
    packed = bytearray(PACK[kind](content) + PACK[kind](content))
    for place, change in edits:
        packed[place % len(packed)] ^= change
    path = tmp_path / "disk"
    path.write_bytes(packed)
    started = time.process_time()
    with suppress(VerificationFailed):
        unpacked = b"".join(read_stream(path))
        # zstd frames made by the library carry no checksum, and headers have bytes that do not matter
        assert kind == "zstd" or unpacked == content * 2
    assert time.process_time() - started < 2.0


def test_zeros_take_no_room(tmp_path: Path) -> None:
    """2 GiB of zeros in 66 kB become one hole."""
    path = tmp_path / "disk"
    path.write_bytes(zstd.compress(bytes(128 << 20)) * 16)
    with open_disk(path, directory=tmp_path) as disk:
        assert disk.size == 2 << 30
        assert list(disk.data_ranges()) == []


def test_bomb_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros without end are no disk: above a size and a ratio that real disks do not reach, the file is refused."""
    monkeypatch.setattr("imagekit.disk.containers.stream._UNSUSPICIOUS_BYTES", 1 << 28)
    path = tmp_path / "disk"
    path.write_bytes(zstd.compress(bytes(64 << 20)) * 100)
    with pytest.raises(ImageDamaged, match="which no disk"):
        open_disk(path, directory=tmp_path)
    monkeypatch.setattr("imagekit.disk.containers.stream.MAX_DISK_BYTES", 1 << 27)
    with pytest.raises(ImageDamaged, match="64 TiB"):
        open_disk(path, directory=tmp_path)


@pytest.mark.parametrize("kind", PACK)
def test_countless_parts_are_given_up(tmp_path: Path, kind: str) -> None:
    """Tens of thousands of parts with a byte each cost more to start than any disk is worth."""
    path = tmp_path / "disk"
    path.write_bytes(PACK[kind](b"x") * 50_000)
    started = time.process_time()
    with pytest.raises(ImageDamaged, match="next to nothing"):
        open_disk(path, directory=tmp_path)
    assert time.process_time() - started < 4.0


def test_large_window_is_refused(tmp_path: Path) -> None:
    """A zstd frame that wants 256 MiB of memory is refused, one that wants 128 MiB is not."""
    for exponent, fits in ((27, True), (28, False)):
        path = tmp_path / "disk"
        frame = b"\x28\xb5\x2f\xfd\x00" + bytes([exponent - 10 << 3])
        path.write_bytes(frame + (512 << 3 | 1 << 1 | 1).to_bytes(3, "little") + b"z")  # one block: 512 times z
        if fits:
            assert b"".join(read_stream(path)) == b"z" * 512
        else:
            with pytest.raises(ImageDamaged, match="cannot be unpacked by zstd"):
                list(read_stream(path))


def test_large_xz_dictionary_is_refused(tmp_path: Path) -> None:
    """An xz stream that wants 1.5 GiB of memory is refused."""
    path = tmp_path / "disk"
    packed = bytearray(lzma.compress(b"x" * 512, check=lzma.CHECK_NONE))
    # The block header's only filter: its size, flags, id 0x21, one byte of properties that is the dictionary's size.
    assert packed[12:16] == b"\x02\x00\x21\x01"
    packed[16] = 39  # 3 GiB
    packed[20:24] = zlib.crc32(packed[12:20]).to_bytes(4, "little")
    path.write_bytes(packed)
    with pytest.raises(ImageDamaged, match="Memory usage limit"):
        list(read_stream(path))


Room = namedtuple("Room", "f_bavail f_blocks f_frsize")


def test_no_room_is_said_before_the_disk_is_full(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a disk would fill the filesystem it is not unpacked; the sentence says how much is free and what to do."""
    path = tmp_path / "disk.zst"
    path.write_bytes(zstd.compress(content))
    monkeypatch.setattr(os, "fstatvfs", lambda _: Room(20 << 8, 1 << 20, 4096))
    with pytest.raises(VerificationFailed, match=r"does not fit unpacked: 20 MiB are free") as caught:
        open_disk(path, directory=tmp_path)
    assert "TMPDIR" in (caught.value.hint or "")
    assert "zstd -d disk.zst" in (caught.value.hint or "")


def test_full_disk_is_a_sentence(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that fails all the same is told, not a traceback; so is a directory that is not there."""

    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    path = tmp_path / "disk.zst"
    path.write_bytes(zstd.compress(content))
    with pytest.raises(VerificationFailed, match="No such file"):
        open_disk(path, directory=tmp_path / "missing")
    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(VerificationFailed, match="No space left"):
        open_disk(path, directory=tmp_path)


def test_temporary_file_has_no_name(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """TMPDIR is where the disk goes; nothing is to be seen there, and every descriptor is closed at the end."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", os.fspath(tmp_path / "room"))
    (tmp_path / "room").mkdir()
    path = tmp_path / "disk.xz"
    path.write_bytes(lzma.compress(content))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_disk(path) as disk:
        assert len(list(Path("/proc/self/fd").iterdir())) == before + 1
        assert list((tmp_path / "room").iterdir()) == []
        assert disk.read(0, 700) == content[:700]
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_progress_counts_packed_bytes(tmp_path: Path) -> None:
    """Progress rises from nothing to the size of the file, in its bytes."""
    path = tmp_path / "disk.gz"
    path.write_bytes(gzip.compress(Random(1).randbytes(5 << 20), 1))
    events: list[Event] = []
    with open_disk(path, directory=tmp_path, progress=events.append):
        done = [event.done for event in events]
    size = path.stat().st_size
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, size)
    assert len(done) > 5
    assert {(event.stage, event.total, event.unit) for event in events} == {("unpacking disk.gz", size, "B")}


def test_what_is_not_packed_is_no_stream(tmp_path: Path) -> None:
    """A raw disk is not read as a stream."""
    path = tmp_path / "disk"
    path.write_bytes(bytes(512))
    with pytest.raises(NotADisk, match="not packed"):
        next(read_stream(path))
