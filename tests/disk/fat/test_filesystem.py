"""The FAT reader against mformat and mcopy."""

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.fat.directory import compute_checksum, read_entries
from imagekit.disk.fat.filesystem import Fat, open_fat
from imagekit.disk.probe import open_filesystem
from imagekit.disk.tree import FileTree
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged
from imagekit.host.local import run

# Sectors, mformat's options, and the width that comes out.
SHAPES = {
    "floppy": (2880, ("-f", "1440"), 12),
    "FAT12": (4096, ("-h", "2", "-s", "16"), 12),
    "FAT16": (40960, ("-c", "2", "-h", "16", "-s", "32"), 16),
    "FAT32": (70000, ("-F", "-c", "1", "-h", "16", "-s", "32"), 32),
}
MakeFat = Callable[[str], Path]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return files with long and short names, of one and of many clusters."""
    root = tmp_path_factory.mktemp("content")
    (root / "EFI/BOOT").mkdir(parents=True)
    (root / "EFI/BOOT/BOOTX64.EFI").write_bytes(os.urandom(300_000))
    (root / "EFI/debian").mkdir()
    (root / "EFI/debian/grub.cfg").write_text("search --fs-uuid\n")
    (root / "empty").write_bytes(b"")
    (root / "Mixed Case and spaces.longextension").write_text("long")
    (root / ("x" * 200 + ".txt")).write_text("sixteen parts")
    (root / "entries").mkdir()
    for index in range(150):
        (root / f"entries/loader entry {index}.conf").write_text(str(index))
    return root


@pytest.fixture(scope="module")
def make_fat(content: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeFat:
    """Return ``make(shape)`` → image with the content."""
    made: dict[str, Path] = {}

    def make(shape: str) -> Path:
        if shape not in made:
            sectors, options, _ = SHAPES[shape]
            image = tmp_path_factory.mktemp("fat") / "esp.raw"
            size = () if shape == "floppy" else ("-T", str(sectors))
            run(["mformat", "-C", "-i", os.fspath(image), *size, *options, "-v", "EFI SYS", "-N", "1234abcd", "::"])
            tops = sorted(os.fspath(path) for path in content.iterdir())
            run(["mcopy", "-s", "-i", os.fspath(image), *tops, "::/"])
            made[shape] = image
        return made[shape]

    return make


def open_copy(image: Path, memory: Callable[[bytes], Readable], **changes: tuple[int, bytes]) -> Fat:
    """Open the image with some bytes replaced."""
    data = bytearray(image.read_bytes())
    for at, replacement in changes.values():
        data[at : at + len(replacement)] = replacement
    return open_fat(memory(bytes(data)))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_width_reads_back_what_was_copied(shape: str, make_fat: MakeFat, content: Path) -> None:
    """Names, sizes and contents are the source's on FAT12, FAT16 and FAT32."""
    with open_raw(make_fat(shape)) as disk:
        fat = open_filesystem(disk)
        assert isinstance(fat, Fat)
        tree = FileTree(fat, ignore_case=True)
        found = {path: tree.read(path) for path, _ in tree.walk()}
        assert fat.bits == SHAPES[shape][2]
    expected = {
        f"/{path.relative_to(content)}": path.read_bytes() if path.is_file() else None for path in content.rglob("*")
    }
    assert found == expected


@pytest.mark.parametrize("shape", SHAPES)
def test_serial_and_label_are_those_that_mtools_shows(shape: str, make_fat: MakeFat) -> None:
    """Serial number and label are read from where this width keeps them."""
    image = make_fat(shape)
    shown = run(["mdir", "-i", os.fspath(image), "::/"]).output.decode()
    with open_raw(image) as disk:
        fat = open_fat(disk)
        assert (fat.serial, fat.label, fat.dirty) == ("1234-ABCD", "EFI SYS", False)
    assert "Volume Serial Number is 1234-ABCD" in shown
    assert "is EFI SYS" in shown


def test_lookup_ignores_case_and_keeps_the_stored_name(make_fat: MakeFat) -> None:
    """Firmware asks for \\EFI\\BOOT\\BOOTX64.EFI in any case; the canonical path shows how it is stored."""
    with open_raw(make_fat("FAT16")) as disk:
        fat = open_fat(disk)
        assert FileTree(fat, ignore_case=True).resolve("efi/Debian/GRUB.CFG") == "/EFI/debian/grub.cfg"
        assert FileTree(fat).resolve("efi/Debian/GRUB.CFG") is None


@pytest.mark.parametrize(
    ("shape", "at", "replacement"),
    [("FAT12", 37, b"\x01"), ("FAT16", 37, b"\x01"), ("FAT32", 65, b"\x01")],
)
def test_boot_sector_flag_says_dirty(
    shape: str, at: int, replacement: bytes, make_fat: MakeFat, memory: Callable[[bytes], Readable]
) -> None:
    """The flag that Linux sets while it is mounted is seen on every width."""
    assert open_copy(make_fat(shape), memory, flag=(at, replacement)).dirty


def test_table_flag_says_dirty(make_fat: MakeFat, memory: Callable[[bytes], Readable]) -> None:
    """The clean bit in entry 1 of the table, which Windows clears while it is mounted, is seen on FAT16 and FAT32."""
    for shape, width, value in (("FAT16", 2, 0x7FFF), ("FAT32", 4, 0x07FFFFFF)):
        image = make_fat(shape)
        reserved = int.from_bytes(image.read_bytes()[14:16], "little")
        entry = (reserved * 512 + width, value.to_bytes(width, "little"))
        assert open_copy(image, memory, entry=entry).dirty


@pytest.mark.parametrize("shape", ["FAT16", "FAT32"])
@pytest.mark.parametrize(("link", "sentence"), [(None, "comes back"), (1, "leads to 1"), (0, "leads to 0")])
def test_impossible_cluster_chain_is_damage(
    shape: str, link: int | None, sentence: str, make_fat: MakeFat, memory: Callable[[bytes], Readable]
) -> None:
    """A chain that loops, or leads to a free or reserved cluster, is damage."""
    image = make_fat(shape)
    with open_raw(image) as disk:
        node = FileTree(open_fat(disk)).stat("EFI/BOOT/BOOTX64.EFI")
    assert node is not None
    first = node.handle
    assert isinstance(first, int)
    width = 2 if shape == "FAT16" else 4
    at = int.from_bytes(image.read_bytes()[14:16], "little") * 512 + width * first
    value = (first if link is None else link).to_bytes(width, "little")
    fat = open_copy(image, memory, link=(at, value))
    with pytest.raises(ImageDamaged, match=sentence):
        FileTree(fat).read("EFI/BOOT/BOOTX64.EFI")


def test_chain_that_is_too_short_is_damage(make_fat: MakeFat, memory: Callable[[bytes], Readable]) -> None:
    """A file with fewer clusters than its size needs is damage, not a shorter file."""
    image = make_fat("FAT16")
    with open_raw(image) as disk:
        node = FileTree(open_fat(disk)).stat("EFI/BOOT/BOOTX64.EFI")
    assert node is not None
    assert isinstance(node.handle, int)
    at = int.from_bytes(image.read_bytes()[14:16], "little") * 512 + 2 * node.handle
    with pytest.raises(ImageDamaged, match="has clusters for 1024 only"):
        FileTree(open_copy(image, memory, link=(at, b"\xff\xff"))).read("EFI/BOOT/BOOTX64.EFI")


@pytest.mark.parametrize(
    ("at", "replacement"),
    [
        (11, b"\x00\x01"),
        (13, b"\x00"),
        (13, b"\x03"),
        (14, b"\x00\x00"),
        (16, b"\x09"),
        (19, b"\xff\xff"),
        (510, b"\0\0"),
    ],
)
def test_impossible_boot_sector_is_damage(
    at: int, replacement: bytes, make_fat: MakeFat, memory: Callable[[bytes], Readable]
) -> None:
    """Sector and cluster sizes, tables and totals that cannot be are refused when it is opened."""
    with pytest.raises(ImageDamaged, match="FAT"):
        open_copy(make_fat("FAT12"), memory, field=(at, replacement))


def _short(name: bytes, attributes: int = 0x20, case: int = 0, cluster: int = 0) -> bytes:
    return struct.pack("<11sBB7xHHHHI", name, attributes, case, 0, 0, 0x21, cluster, 0)


def _part(order: int, text: str, checksum: int) -> bytes:
    units = (text + "\0").encode("utf-16-le").ljust(26, b"\xff")[:26]
    return bytes([order]) + units[:10] + bytes([0x0F, 0, checksum]) + units[10:22] + b"\0\0" + units[22:]


def test_names_are_joined_checked_and_bounded() -> None:
    """Long names need their parts in order, their checksum and at most 20 parts; otherwise the short name counts."""
    short = b"LONGNA~1TXT"
    right = compute_checksum(short)
    good = _part(0x42, "e.txt", right) + _part(0x01, "a longer name", right) + _short(short)
    wrong = _part(0x41, "other", right ^ 1) + _short(short)
    gap = _part(0x43, "x", right) + _part(0x01, "y", right) + _short(short)
    huge = _part(0x40 | 21, "x", right) + _short(short)
    lower = _short(b"README  TXT", case=0x18)
    kanji = _short(b"\x05BC        ")
    names = [entry.name for entry in read_entries(good + wrong + gap + huge + lower + kanji + bytes(64) + good)]
    assert names == ["a longer namee.txt", "LONGNA~1.TXT", "LONGNA~1.TXT", "LONGNA~1.TXT", "readme.txt", "σBC"]


@pytest.mark.parametrize("name", [b"A/B     TXT", b"           ", b"\x01BC        "])
def test_impossible_name_is_damage(name: bytes) -> None:
    """A name with a slash, a control character or nothing in it is damage."""
    with pytest.raises(ImageDamaged, match="cannot be one"):
        list(read_entries(_short(name)))


def test_dates_are_seconds_and_nonsense_is_zero() -> None:
    """A date is taken as UTC; one that does not exist is the epoch."""
    entry = bytearray(_short(b"A          "))
    assert next(read_entries(bytes(entry))).mtime == 315_532_800
    entry[24:26] = struct.pack("<H", 40 << 9 | 2 << 5 | 30)
    assert next(read_entries(bytes(entry))).mtime == 0
