"""Reading the archives of an initial RAM disk: every compression, every way to join them, and every way to be wrong."""

import bz2
import gzip
import lzma
from collections.abc import Callable

import pytest
from backports import zstd
from hypothesis import given, settings
from hypothesis import strategies as st

from imagekit.disk.cpio import ArchiveUnread, Limits, Member, read_initrd
from imagekit.disk.tree import ReadPart
from imagekit.errors import ImageDamaged
from tests.verify.initrd import make_cpio, make_initrd

FIRST = make_cpio({"kernel": None, "kernel/x86/microcode": b"c" * 5000})
MAIN = make_cpio({".": None, "./etc/shadow": b"root:*:\n", "init": b"#!/bin/sh\n", "usr/module.ko": b"m" * 300_000})
LATER = make_cpio({"later": b"x"})


def serve(data: bytes) -> ReadPart:
    """Return the function that reads parts of ``data``."""
    return lambda offset, length: data[offset : offset + length]


def read(data: bytes, want: int = 0, limits: Limits | None = None) -> list[Member]:
    """Return all members, with ``want`` bytes of each file."""
    return list(read_initrd(serve(data), lambda _: want, limits))


@pytest.mark.parametrize(
    "compress",
    [bytes, gzip.compress, lzma.compress, bz2.compress, zstd.compress],
    ids=["plain", "gzip", "xz", "bzip2", "zstd"],
)
def test_members_of_every_compression_are_read(compress: Callable[[bytes], bytes]) -> None:
    """Names, sizes and wanted content are the same however the main archive is kept, behind a plain one with zeros."""
    members = read(FIRST + bytes(512) + compress(MAIN) + bytes(8), want=8)
    assert [(member.name, member.size, member.content) for member in members] == [
        ("kernel", 0, b""),
        ("kernel/x86/microcode", 5000, b"cccccccc"),
        (".", 0, b""),
        ("etc/shadow", 8, b"root:*:\n"),
        ("init", 10, b"#!/bin/s"),
        ("usr/module.ko", 300_000, b"mmmmmmmm"),
    ]
    assert members[0].archive < members[2].archive


def test_archives_follow_one_another() -> None:
    """After a compressed part comes the next one, compressed or not, and one part may hold several archives."""
    names = [
        member.name for member in read(gzip.compress(FIRST + bytes(12) + LATER, mtime=0) + lzma.compress(MAIN) + LATER)
    ]
    assert names == ["kernel", "kernel/x86/microcode", "later", ".", "etc/shadow", "init", "usr/module.ko", "later"]


def test_content_of_a_plain_archive_is_not_read() -> None:
    """What nobody wants of a plain archive is passed over: only headers are asked for."""
    data = make_cpio({f"module{number}.ko": bytes(100_000) for number in range(20)})
    asked: list[int] = []

    def count(offset: int, length: int) -> bytes:
        asked.append(length)
        return data[offset : offset + length]

    assert len(list(read_initrd(count, lambda _: 0))) == 20
    assert sum(asked) < len(data) // 10


def test_reading_stops_when_nobody_asks() -> None:
    """A reader that stops early has not unpacked the rest."""
    data = gzip.compress(MAIN + make_cpio({"big": bytes(30 << 20)}), mtime=0)
    members = read_initrd(serve(data), lambda _: 0, Limits(output=2 << 20))
    assert next(members).name == "."


@pytest.mark.parametrize("magic", [b"\x02\x21\x4c\x18", b"\x04\x22\x4d\x18", b"\x89LZO\0\r"])
def test_compressions_without_a_reader_are_unread_not_damaged(magic: bytes) -> None:
    """lz4 and lzo are honest initrds that cannot be read here."""
    with pytest.raises(ArchiveUnread, match="lz"):
        read(FIRST + magic + bytes(64))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (bytes(9000), "empty"),
        (b"initrd", "neither"),
        (b"070701" + b"z" * 200, "hexadecimal"),
        (b"070701" + b"-0000001" * 13 + b"name" * 9, "hexadecimal"),
        (MAIN[:-200_000], "trailer"),
        (FIRST[:60], "trailer"),
        (gzip.compress(MAIN, mtime=0)[:-400], "too early"),
        (b"\x1f\x8b" + bytes(40), "cannot be decompressed"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 40, "cannot be decompressed"),
        (b"\xfd7zXZ\0" + b"\xff" * 40, "cannot be decompressed"),
        (b"BZh9" + b"\xff" * 40, "cannot be decompressed"),
        (gzip.compress(b"no archive at all", mtime=0), "no cpio"),
        (b"070701" + b"00000000" * 11 + b"00000000" * 2, "name of 0 bytes"),
        (b"070701" + b"00000000" * 11 + b"FFFFFFFF" * 2, "name of"),
    ],
)
def test_what_is_no_initrd_is_damaged(data: bytes, message: str) -> None:
    """Bytes that contradict themselves are named, whatever they claim."""
    with pytest.raises(ImageDamaged, match=message):
        read(data)


def test_limits_end_the_reading() -> None:
    """More names or bytes than the limits are an answer, not an endless work."""
    with pytest.raises(ArchiveUnread, match="names"):
        read(MAIN, limits=Limits(members=2))
    with pytest.raises(ArchiveUnread, match="larger"):
        read(gzip.compress(make_cpio({"zeros": bytes(4 << 20)}), mtime=0), limits=Limits(output=1 << 20))
    with pytest.raises(ArchiveUnread, match="zeros"):
        list(read_initrd(lambda _, length: bytes(length), lambda _: 0))


def test_time_can_run_out() -> None:
    """The caller's clock is looked at while reading."""

    def alive() -> None:
        raise TimeoutError

    data = make_cpio({f"file{number}": b"" for number in range(200)})
    with pytest.raises(TimeoutError):
        list(read_initrd(serve(data), lambda _: 0, alive=alive))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=6), st.booleans())
def test_hostile_bytes_raise_nothing_else(changes: list[tuple[int, int]], compressed: bool) -> None:
    """Whatever is changed, the reader ends: with members, or with one of its two errors."""
    data = bytearray(make_initrd() if compressed else make_cpio({"a": b"b" * 40, "init": b"x", "usr/x.ko": b"y" * 900}))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        members = read(bytes(data), want=64)
    except (ImageDamaged, ArchiveUnread):
        members = []
    assert len(members) <= 100
