"""VMDK and VHDX made by qemu-img: the same bytes as the raw disk, and nothing that names another file."""

import os
import shutil
import struct
from contextlib import suppress
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.disk.child.library import Library, LibraryFailed
from imagekit.disk.containers.libyal import open_vhdx, open_vmdk
from imagekit.disk.containers.open import open_disk
from imagekit.disk.containers.raw import NotADisk
from imagekit.errors import ImageDamaged, ImageNamesHostFile, VerificationFailed
from imagekit.host import run

MIB = 1 << 20
SIZE = 40 * MIB + 512 * 7
KINDS = {
    "sparse.vmdk": ("vmdk", "subformat=monolithicSparse"),
    "stream.vmdk": ("vmdk", "subformat=streamOptimized"),
    "dynamic.vhdx": ("vhdx", "subformat=dynamic"),
    "fixed.vhdx": ("vhdx", "subformat=fixed"),
}


@pytest.fixture(scope="module")
def disks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with one disk in every format: data at the ends, in the middle, and much nothing."""
    place = tmp_path_factory.mktemp("disks")
    raw = place / "disk.raw"
    with raw.open("wb") as file:
        random = Random(3)
        for offset in (0, MIB - 100, 7 * MIB + 5, 20 * MIB, SIZE - 5000):
            file.seek(offset)
            file.write(random.randbytes(5000))
        file.truncate(SIZE)
    for name, (kind, option) in KINDS.items():
        run(["qemu-img", "convert", "-f", "raw", "-O", kind, "-o", option, os.fspath(raw), os.fspath(place / name)])
    return place


def change(source: Path, target: Path, old: bytes, new: bytes) -> Path:
    """Copy a file with some bytes replaced by as many others."""
    data = source.read_bytes()
    assert old in data
    assert len(old) == len(new)
    target.write_bytes(data.replace(old, new, 1))
    return target


@pytest.mark.parametrize("name", KINDS)
def test_same_bytes_as_the_raw_disk(name: str, disks: Path) -> None:
    """Every byte is the raw disk's, read whole and in awkward pieces."""
    expected = (disks / "disk.raw").read_bytes()
    with open_disk(disks / name) as disk:
        assert (disk.format, disk.path) == (name.partition(".")[2], disks / name)
        assert disk.size == SIZE or name == "sparse.vmdk"
        assert disk.read(0, SIZE) == expected
        for offset, length in ((0, 0), (MIB - 3, 6), (SIZE - 1, 1), (3 * MIB - 1, 2 * MIB + 2)):
            assert disk.read(offset, length) == expected[offset : offset + length]
        assert disk.window(7 * MIB, 1000).read(5, 10) == expected[7 * MIB + 5 : 7 * MIB + 15]
        assert list(disk.data_ranges()) == [(0, disk.size)]
        with pytest.raises(ImageDamaged, match="outside"):
            disk.read(disk.size - 1, 2)


@pytest.mark.parametrize(
    ("old", "new", "said", "kind"),
    [
        (b'SPARSE "', b'FLAT   "', "not a VMDK disk of one sparse file", ImageNamesHostFile),
        (b"monolithicSparse", b"twoGbMaxExtentSp", "not a VMDK disk of one sparse file", ImageNamesHostFile),
        (b"parentCID=ffffffff", b"parentCID=12345678", "difference to another", ImageNamesHostFile),
        (b"# Extent description", b'parentFileNameHint="', "difference to another", ImageNamesHostFile),
        (b"# Extent description", b'RW 8 FLAT "/etc/pas"', "of 2 files", ImageNamesHostFile),
        (b"\nRW ", b"\n# ", "of 0 files", ImageNamesHostFile),
        (b"\nRW ", b"\nRW 9", "in its description", ImageDamaged),
    ],
)
def test_vmdk_that_names_other_files(
    old: bytes, new: bytes, said: str, kind: type[VerificationFailed], disks: Path, tmp_path: Path
) -> None:
    """A description that leads to another file is refused before the library sees it."""
    if len(new) != len(old):
        data = (disks / "sparse.vmdk").read_bytes()
        path = tmp_path / "disk.vmdk"
        path.write_bytes(data.replace(old, new, 1)[: len(data)])
        place = data.index(b"ddb.") + len(new) - len(old)  # what was moved is given back, within the description
        moved = bytearray(path.read_bytes())
        del moved[place : place + len(new) - len(old)]
        if len(new) < len(old):
            moved[place:place] = b"#" * (len(old) - len(new))
        path.write_bytes(moved)
    else:
        path = change(disks / "sparse.vmdk", tmp_path / "disk.vmdk", old, new)
    with pytest.raises(kind, match=said):
        open_vmdk(path)


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (4, struct.pack("<I", 9), "version 9"),
        (12, struct.pack("<Q", 1 << 60), "claims a disk"),
        (12, struct.pack("<Q", 0), "claims a disk"),
        (20, struct.pack("<Q", 3), "in grains of 3"),
        (28, struct.pack("<Q", 0), "one of the files"),
        (28, struct.pack("<Q", 1 << 40), "where it cannot be"),
        (36, struct.pack("<Q", 1 << 40), "where it cannot be"),
    ],
)
def test_vmdk_header_that_lies(at: int, value: bytes, said: str, disks: Path, tmp_path: Path) -> None:
    """Every number of the header that is used is checked."""
    data = bytearray((disks / "sparse.vmdk").read_bytes())
    data[at : at + len(value)] = value
    path = tmp_path / "disk.vmdk"
    path.write_bytes(data)
    with pytest.raises(VerificationFailed, match=said):
        open_vmdk(path)


def test_vhdx_with_a_parent_or_a_log(disks: Path, tmp_path: Path) -> None:
    """A difference disk and one that was not closed are refused with what to do."""
    path = tmp_path / "disk.vhdx"
    data = bytearray((disks / "dynamic.vhdx").read_bytes())
    parameters = bytes.fromhex("3767a1ca36fa434db3b633f0aa44e76b")
    metadata = data.index(b"metadata")
    item = data.index(parameters, metadata)
    offset = metadata + struct.unpack_from("<I", data, item + 16)[0]
    data[offset + 4] |= 2
    path.write_bytes(data)
    with pytest.raises(ImageNamesHostFile, match="difference to another VHDX"):
        open_vhdx(path)
    data[offset + 4] &= ~2
    for header in (64 << 10, 128 << 10):
        data[header + 48] = 1
    path.write_bytes(data)
    with pytest.raises(VerificationFailed, match="not closed in order") as caught:
        open_vhdx(path)
    assert caught.value.hint == "qemu-img check -r all disk.vhdx"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b"head", b"hxxd", "VHDX header"),
        (b"regi", b"rxxi", "region table"),
        (b"metadata", b"metaxxxx", "metadata table"),
        (bytes.fromhex("06a27c8b90479a4bb8fe575f050f886e"), bytes(16), "no VHDX metadata"),
        (bytes.fromhex("2442a52f1bcd7648b2115dbed83bf4b8"), bytes(16), "lacks"),
    ],
)
def test_vhdx_header_that_lies(old: bytes, new: bytes, said: str, disks: Path, tmp_path: Path) -> None:
    """What is not where the format wants it is damage."""
    path = tmp_path / "disk.vhdx"
    path.write_bytes((disks / "dynamic.vhdx").read_bytes().replace(old, new))
    with pytest.raises(ImageDamaged, match=said):
        open_vhdx(path)


def test_files_that_are_no_disks(tmp_path: Path) -> None:
    """A missing file, and one that is too short, are told as such."""
    with pytest.raises(NotADisk):
        open_vmdk(tmp_path / "missing")
    for open_one, magic in ((open_vmdk, b"KDMV"), (open_vhdx, b"vhdxfile")):
        (tmp_path / "short").write_bytes(magic)
        with pytest.raises(ImageDamaged, match="too short"):
            open_one(tmp_path / "short")


def test_library_that_sees_another_disk(disks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A size that is not the header's, and a short answer, are not believed."""
    monkeypatch.setattr(Library, "ask", lambda *_, **__: (512, b""))
    with pytest.raises(LibraryFailed, match="sees another disk"):
        open_vmdk(disks / "stream.vmdk")
    monkeypatch.setattr(Library, "ask", lambda *_, **__: (SIZE, b"short"))
    with open_vhdx(disks / "dynamic.vhdx") as disk, pytest.raises(LibraryFailed, match="5 of 1048576 bytes"):
        disk.read(0, 1)


edits = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=8)


@pytest.mark.parametrize("name", ["sparse.vmdk", "stream.vmdk", "dynamic.vhdx"])
@settings(max_examples=12, deadline=20_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(edits=edits)
def test_changed_bytes_are_read_or_refused(
    name: str, edits: list[tuple[int, int]], disks: Path, used: dict[str, list[int]]
) -> None:
    """Whatever is changed in the metadata, there are bytes or an error of ours, in time."""
    path = disks / f"changed-{name}"
    if not path.exists():
        shutil.copy(disks / name, path)
    places = used.setdefault(name, find_used(path))
    kept = []
    with path.open("r+b") as file:
        for place, value in edits:
            at = places[place // 512 % len(places)] + place % 512
            file.seek(at)
            kept.append((at, file.read(1)))
            file.seek(at)
            file.write(bytes([value]))
    try:
        with suppress(VerificationFailed), open_disk(path) as disk:
            for offset in range(0, min(disk.size, SIZE) - MIB, 9 * MIB):
                with suppress(VerificationFailed):
                    assert len(disk.read(offset, MIB)) == MIB
    finally:
        with path.open("r+b") as file:
            for at, byte in reversed(kept):
                file.seek(at)
                file.write(byte)


@pytest.fixture(scope="module")
def used() -> dict[str, list[int]]:
    """Return a place to remember which sectors of each file are used."""
    return {}


def find_used(path: Path) -> list[int]:
    """Return the offsets of the first 200 sectors that are not empty: the metadata is at the beginning."""
    data = path.read_bytes()
    return [place for place in range(0, len(data) - 512, 512) if any(data[place : place + 512])][:200]
