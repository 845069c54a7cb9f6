"""qcow2 images made by qemu-img: every byte as qemu-img reads it, holes told from the tables, other files refused."""

import functools
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from imagekit.disk.containers.open import Disk, open_disk
from imagekit.disk.containers.qcow2 import Qcow2Disk
from imagekit.disk.containers.raw import NotADisk
from imagekit.errors import ImageDamaged, ImagekitError, ImageNamesHostFile, VerificationFailed
from imagekit.host import run

SIZE = (12 << 20) + 512  # not a whole number of clusters
MakeQcow2 = Callable[..., Path]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sparse raw disk of random pieces: noise, repetition, zeros between."""
    path = tmp_path_factory.mktemp("raw") / "disk.raw"
    random = Random(11)
    with path.open("wb") as file:
        for _ in range(40):
            length = random.choice((512, 4096, 66_048))
            file.seek(random.randrange(SIZE - length) // 512 * 512)
            file.write(
                random.randbytes(length) if random.random() < 0.5 else bytes([random.randrange(1, 256)]) * length
            )
        file.truncate(SIZE)
        file.seek(SIZE - 512)
        file.write(b"e" * 512)
    return path


@pytest.fixture(scope="module")
def make_qcow2(content: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeQcow2:
    """Return ``make(*options, compress=False)`` → the raw disk converted, once for one set of arguments."""

    @functools.cache
    def make(*options: str, compress: bool = False) -> Path:
        path = tmp_path_factory.mktemp("qcow2") / "disk.qcow2"
        wishes = ["-o", ",".join(options)] if options else []
        compressed = ["-c"] if compress else []
        run(
            [
                "qemu-img",
                "convert",
                "-t",
                "unsafe",
                "-O",
                "qcow2",
                *compressed,
                *wishes,
                os.fspath(content),
                os.fspath(path),
            ]
        )
        return path

    return make


def check_against(disk: Disk, right: bytes, seed: int = 5) -> None:
    """Compare everything, pieces at odd places, and what the ranges leave out."""
    assert disk.size == len(right)
    assert disk.read(0, disk.size) == right
    random = Random(seed)
    for _ in range(200):
        offset = random.randrange(disk.size)
        length = min(random.choice((0, 1, 700, 70_000)), disk.size - offset)
        assert disk.read(offset, length) == right[offset : offset + length]
    shown = bytearray(disk.size)
    end = 0
    for offset, length in disk.data_ranges():
        assert offset >= end
        assert length > 0
        end = offset + length
        assert end <= disk.size
        shown[offset:end] = right[offset:end]
    assert bytes(shown) == right


@pytest.mark.parametrize(
    ("options", "compress"),
    [
        ((), False),
        ((), True),
        (("compat=0.10",), False),
        (("compat=0.10",), True),
        (("compression_type=zstd",), True),
        (("cluster_size=512",), False),
        (("cluster_size=512",), True),
        (("cluster_size=512", "compression_type=zstd"), True),
        (("cluster_size=4k", "compat=0.10"), True),
        (("cluster_size=2M",), False),
        (("cluster_size=2M",), True),
        (("cluster_size=2M", "compression_type=zstd"), True),
        (("extended_l2=on",), False),
        (("extended_l2=on",), True),
        (("extended_l2=on", "cluster_size=16k"), False),
        (("extended_l2=on", "cluster_size=2M"), False),
        (("preallocation=metadata",), False),
        (("preallocation=falloc",), False),
        (("preallocation=full",), False),
        (("preallocation=metadata", "extended_l2=on"), False),
        (("lazy_refcounts=on", "refcount_bits=64"), False),
    ],
)
def test_reads_what_was_converted(
    make_qcow2: MakeQcow2, content: Path, options: tuple[str, ...], compress: bool
) -> None:
    """Whatever kind of qcow2 qemu-img makes of a disk, the disk is read from it byte for byte."""
    with open_disk(make_qcow2(*options, compress=compress)) as disk:
        assert disk.format == "qcow2"
        check_against(disk, content.read_bytes())


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "options",
    [(), ("compat=0.10",), ("cluster_size=4k",), ("extended_l2=on",), ("extended_l2=on", "cluster_size=16k")],
)
def test_reads_what_a_guest_wrote(tmp_path: Path, options: tuple[str, ...], seed: int) -> None:
    """After random writes, zero writes and discards by QEMU, QEMU and this reader see the same disk."""
    random = Random(seed)
    image, raw = tmp_path / "disk.qcow2", tmp_path / "disk.raw"
    wishes = ["-o", ",".join(options)] if options else []
    run(["qemu-img", "create", "-q", "-f", "qcow2", *wishes, os.fspath(image), "4M"])
    # QEMU compresses only into clusters that nothing was written to yet.
    places = random.sample(range(64), 8)
    commands = [part for place in places for part in ("-c", f"write -c -P {place + 1} {place * 65_536} 65536")]
    for _ in range(60):
        length = random.choice((512, 4096, 65_536, 200_192))
        offset = random.randrange((4 << 20) - length) // 512 * 512
        command = random.choice((f"write -P {random.randrange(1, 256)}",) * 3 + ("write -z", "write -z -u", "discard"))
        commands += ["-c", f"{command} {offset} {length}"]
    run(["qemu-io", "-t", "unsafe", "-f", "qcow2", *commands, os.fspath(image)])
    run(["qemu-img", "convert", "-t", "unsafe", "-O", "raw", os.fspath(image), os.fspath(raw)])
    with open_disk(image) as disk:
        check_against(disk, raw.read_bytes(), seed)


def test_snapshots_are_counted_and_not_read(tmp_path: Path) -> None:
    """An internal snapshot does not change what the disk is; how many there are is told."""
    image = os.fspath(tmp_path / "disk.qcow2")
    run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"])
    run(["qemu-io", "-t", "unsafe", "-f", "qcow2", "-c", "write -P 1 0 128k", image])
    run(["qemu-img", "snapshot", "-c", "before", image])
    run(["qemu-io", "-t", "unsafe", "-f", "qcow2", "-c", "write -P 2 64k 64k", image])
    with open_disk(Path(image)) as disk:
        assert isinstance(disk, Qcow2Disk)
        assert disk.header.snapshots == 1
        assert disk.read(0, 131_072) == b"\1" * 65_536 + b"\2" * 65_536


def test_holes_are_told_without_reading_data(make_qcow2: MakeQcow2) -> None:
    """Unallocated and zero clusters are no data, and neighbours are one range."""
    with open_disk(make_qcow2("cluster_size=4k")) as disk:
        ranges = list(disk.data_ranges())
    assert sum(length for _, length in ranges) < 3 << 20
    assert all(first + length < second for (first, length), (second, _) in pairwise(ranges))


def test_reads_outside_are_damage(make_qcow2: MakeQcow2) -> None:
    """Nothing outside the disk is read, and a window is as closed as a raw disk's."""
    with open_disk(make_qcow2()) as disk:
        for offset, length in ((SIZE - 3, 4), (SIZE, 1), (-1, 1), (0, -1), (1 << 63, 1)):
            with pytest.raises(ImageDamaged, match="outside"):
                disk.read(offset, length)
        assert disk.read(SIZE, 0) == b""
        assert disk.window(SIZE - 512, 512).read(0, 512) == b"e" * 512
        with pytest.raises(ImageDamaged, match="not inside"):
            disk.window(SIZE, 1)


def test_file_is_closed_at_the_end(make_qcow2: MakeQcow2, tmp_path: Path) -> None:
    """No descriptor is left behind, whether opening worked or not."""
    path = make_qcow2()
    broken = tmp_path / "broken.qcow2"
    broken.write_bytes(b"QFI\xfb\0\0\0\3")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_disk(path) as disk:
        disk.read(0, 1)
    disk.close()
    with pytest.raises(ImageDamaged, match="ends within the header"):
        open_disk(broken)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # fewer: another test's was collected meanwhile


@pytest.fixture
def patch(make_qcow2: MakeQcow2, tmp_path: Path) -> Callable[..., Path]:
    """Return ``patch(offset, bytes, ...)`` → a copy of an image with these bytes changed."""

    def patch_image(*changes: tuple[int, bytes], options: tuple[str, ...] = (), compress: bool = False) -> Path:
        data = bytearray(make_qcow2(*options, compress=compress).read_bytes())
        for offset, new in changes:
            data[offset : offset + len(new)] = new
        path = tmp_path / "changed.qcow2"
        path.write_bytes(data)
        return path

    return patch_image


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """Return a file of this machine that must never be read; its name drives a terminal."""
    path = tmp_path / "base\x1b[31m\n.raw"
    path.write_bytes(b"CANARY" * 100_000)
    return path


def test_backing_file_is_refused(tmp_path: Path, secret: Path) -> None:
    """An image with a backing file is refused by name, escaped, with the command that flattens it."""
    image = tmp_path / "disk.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", os.fspath(secret), os.fspath(image)])
    with pytest.raises(ImageNamesHostFile, match="backing file") as caught:
        open_disk(image)
    assert isinstance(caught.value, VerificationFailed)
    assert "base\\x1b[31m\\n.raw" in caught.value.message
    assert "\x1b" not in caught.value.message
    assert "qemu-img convert" in (caught.value.hint or "")


def test_data_file_is_refused(tmp_path: Path, secret: Path) -> None:
    """An image that keeps its content in another file is refused by name, escaped."""
    image = tmp_path / "disk.qcow2"
    options = f"data_file={secret},data_file_raw=on"
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", options, os.fspath(image), "512K"])
    with pytest.raises(ImageNamesHostFile, match="in another file") as caught:
        open_disk(image)
    assert "base\\x1b[31m\\n.raw" in caught.value.message


def test_backing_file_with_an_impossible_name(patch: Callable[..., Path]) -> None:
    """A name outside the file, or longer than names are, is refused as well, without being read."""
    for place, length in ((1 << 62, 8), (64, 1 << 31), (1, 0xFFFFFFFF)):
        with pytest.raises(ImageNamesHostFile, match="cannot be read"):
            open_disk(patch((8, place.to_bytes(8, "big")), (16, length.to_bytes(4, "big"))))


def word(value: int) -> bytes:
    """Return 64 bits as qcow2 has them."""
    return value.to_bytes(8, "big")


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ([(4, b"\0\0\0\1")], NotADisk, "version 1"),
        ([(4, b"\0\0\0\4")], NotADisk, "version 4"),
        ([(20, b"\0\0\0\10")], ImageDamaged, "clusters of 2\\^8"),
        ([(20, b"\0\0\0\26")], ImageDamaged, "clusters of 2\\^22"),
        ([(20, b"\xff\xff\xff\xff")], ImageDamaged, "clusters of"),
        ([(24, word(0))], NotADisk, "no bytes"),
        ([(24, word(1 << 50))], ImageDamaged, "64 TiB"),
        ([(24, word((1 << 64) - 1))], ImageDamaged, "64 TiB"),
        ([(24, word(64 << 40))], ImageDamaged, "L1 table of 1 entries"),
        ([(32, b"\0\0\0\1")], NotADisk, "encrypted \\(AES\\)"),
        ([(32, b"\0\0\0\2")], NotADisk, "encrypted \\(LUKS\\)"),
        ([(36, b"\0\0\0\0")], ImageDamaged, "L1 table of 0 entries"),
        ([(40, word(0))], ImageDamaged, "where it cannot be"),
        ([(40, word(4096))], ImageDamaged, "where it cannot be"),
        ([(40, word(1 << 62))], ImageDamaged, "where it cannot be"),
        ([(79, b"\2")], ImageDamaged, "marked as corrupt"),
        ([(72, b"\x80"), (79, b"\x20")], NotADisk, "bit 5, bit 63"),
        ([(79, b"\x08")], ImageDamaged, "contradicts itself about how it is compressed"),
        ([(104, b"\1")], ImageDamaged, "contradicts itself about how it is compressed"),
        ([(79, b"\x08"), (104, b"\7")], NotADisk, "method 7"),
        ([(79, b"\x10"), (20, b"\0\0\0\x0d")], ImageDamaged, "too small for that"),
        ([(100, b"\0\0\0\x60")], ImageDamaged, "header of 96 bytes"),
        ([(100, b"\0\0\0\x69")], ImageDamaged, "header of 105 bytes"),
        # a table of more than 32 MiB for 64 TiB in clusters of 512 bytes
        ([(20, b"\0\0\0\x09"), (24, word(64 << 40)), (36, b"\xff\xff\xff\xff")], ImageDamaged, "32 MiB"),
    ],
)
def test_header_that_cannot_be_right(
    patch: Callable[..., Path], changes: list[tuple[int, bytes]], error: type[ImagekitError], said: str
) -> None:
    """Each field of the header is bounded, and the error says which one is not."""
    with pytest.raises(error, match=said):
        open_disk(patch(*changes))


def test_unknown_feature_has_the_name_that_the_image_gives(patch: Callable[..., Path]) -> None:
    """A feature that is not known is named by the image's own table, escaped."""
    table = b"\0\5" + b"time\x1btravel".ljust(46, b"\0")
    extension = (0x6803F857).to_bytes(4, "big") + len(table).to_bytes(4, "big") + table + bytes(8)
    with pytest.raises(NotADisk, match="bit 5 \\('time\\\\x1btravel'\\)"):
        open_disk(patch((79, b"\x20"), (112, extension)))


def test_dirty_image_is_read(patch: Callable[..., Path], content: Path) -> None:
    """Wrong reference counts do not matter to a reader: a dirty image is read, and says that it is dirty."""
    with open_disk(patch((79, b"\1"))) as disk:
        assert isinstance(disk, Qcow2Disk)
        assert disk.header.dirty
        check_against(disk, content.read_bytes())


def find_tables(path: Path) -> Iterator[tuple[int, int]]:
    """Yield place and number of each used L1 entry of a small image."""
    data = path.read_bytes()
    l1, entries = int.from_bytes(data[40:48], "big"), int.from_bytes(data[36:40], "big")
    for number in range(entries):
        if int.from_bytes(data[l1 + 8 * number : l1 + 8 * number + 8], "big"):
            yield l1 + 8 * number, number


def test_tables_that_lead_astray(patch: Callable[..., Path]) -> None:
    """Tables outside the file, off their clusters or used twice are damage, and so are clusters outside the file."""
    (first, _), (second, _) = list(find_tables(patch(options=("cluster_size=4k",))))[:2]
    for entry, said in ((1 << 50, "outside"), (4096 + 512, "no cluster begins")):
        with open_disk(patch((first, word(entry)), options=("cluster_size=4k",))) as disk:
            with pytest.raises(ImageDamaged, match=said):
                disk.read(0, 1)
            with pytest.raises(ImageDamaged, match=said):
                list(disk.data_ranges())
    data = patch(options=("cluster_size=4k",)).read_bytes()
    table = data[first : first + 8]
    with (
        open_disk(patch((second, table), options=("cluster_size=4k",))) as disk,
        pytest.raises(ImageDamaged, match="for two parts"),
    ):
        list(disk.data_ranges())
    place = int.from_bytes(table, "big") & 0x00FFFFFFFFFFFE00
    for entry, said in ((1 << 50, "before a cluster"), (4096 + 512, "none begins"), (1 << 62 | 1 << 50, "outside")):
        with (
            open_disk(patch((place, word(entry)), options=("cluster_size=4k",))) as disk,
            pytest.raises(ImageDamaged, match=said),
        ):
            disk.read(0, 1)


def test_table_that_is_its_own_data(patch: Callable[..., Path]) -> None:
    """A table whose entry leads to itself ends: what it leads to is read as data."""
    (first, _), *_ = find_tables(patch(options=("cluster_size=4k",)))
    data = patch(options=("cluster_size=4k",)).read_bytes()
    place = int.from_bytes(data[first : first + 8], "big") & 0x00FFFFFFFFFFFE00
    with open_disk(patch((place, word(place)), options=("cluster_size=4k",))) as disk:
        assert disk.read(0, 8) == word(place)


def test_zero_flag_in_version_2_is_damage(patch: Callable[..., Path]) -> None:
    """Version 2 has no zero clusters."""
    options = ("cluster_size=4k", "compat=0.10")
    (first, _), *_ = find_tables(patch(options=options))
    place = int.from_bytes(patch(options=options).read_bytes()[first : first + 8], "big") & 0x00FFFFFFFFFFFE00
    with open_disk(patch((place, word(1)), options=options)) as disk, pytest.raises(ImageDamaged, match="version 2"):
        disk.read(0, 1)


def test_subcluster_that_is_two_things_is_damage(patch: Callable[..., Path]) -> None:
    """A part of a cluster cannot be both allocated and zero, nor be allocated in no cluster."""
    options = ("extended_l2=on", "cluster_size=16k")
    (first, _), *_ = find_tables(patch(options=options))
    place = int.from_bytes(patch(options=options).read_bytes()[first : first + 8], "big") & 0x00FFFFFFFFFFFE00
    for entry, parts in ((1 << 14, 1 << 32 | 1), (0, 1)):
        with (
            open_disk(patch((place, word(entry) + word(parts)), options=options)) as disk,
            pytest.raises(ImageDamaged, match="contradicts itself"),
        ):
            disk.read(0, 1)


@pytest.mark.parametrize("options", [("cluster_size=64k",), ("cluster_size=64k", "compression_type=zstd")])
def test_compressed_cluster_of_garbage_is_damage(patch: Callable[..., Path], options: tuple[str, ...]) -> None:
    """A cluster that cannot be unpacked, or unpacks to less than a cluster, is damage."""
    path = patch(options=options, compress=True)
    (first, _), *_ = find_tables(path)
    data = path.read_bytes()
    table = int.from_bytes(data[first : first + 8], "big") & 0x00FFFFFFFFFFFE00
    index, entry = next(
        (index, value)
        for index in range(8192)
        if (value := int.from_bytes(data[table + 8 * index : table + 8 * index + 8], "big")) >> 62 & 1
    )
    place = entry & (1 << 54) - 1
    for garbage in (b"\xff" * 64, bytes(64), b"\x03\0" + bytes(64)):
        with (
            open_disk(patch((place, garbage), options=options, compress=True)) as disk,
            pytest.raises(ImageDamaged, match="cannot be unpacked"),
        ):
            disk.read(index * 65_536, 1)


def test_truncated_image_is_damage(make_qcow2: MakeQcow2, tmp_path: Path) -> None:
    """An image whose end is missing is damage where the end is needed, never zeros."""
    data = make_qcow2("cluster_size=4k").read_bytes()
    path = tmp_path / "cut.qcow2"
    for length in (4, 60, 80, 5000, len(data) // 2, len(data) - 8192):
        path.write_bytes(data[:length])
        with pytest.raises(ImageDamaged), open_disk(path) as disk:
            disk.read(0, disk.size)
