"""Images read piece by piece: whatever the pieces are, the bytes are the disk's."""

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagekit.deliver.flash.source import open_source, require_image_path
from imagekit.disk.containers.raw import NotADisk
from imagekit.errors import ImageDamaged, Refused
from imagekit.host import find_tool, run

MIB = 1 << 20
CONTENT = random.Random(3).randbytes(3 * MIB + 700)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the same disk raw, and packed four ways."""
    place = tmp_path_factory.mktemp("images")
    raw = place / "disk.raw"
    raw.write_bytes(CONTENT)
    made = {"raw": raw}
    for program in ("zstd", "xz", "gzip", "bzip2"):
        made[program] = place / f"disk.{program}"
        made[program].write_bytes(run([find_tool(program), "-1", "-c", str(raw)]).output)
    return made


@pytest.mark.parametrize("kind", ["raw", "zstd", "xz", "gzip", "bzip2"])
@given(sizes=st.lists(st.integers(1, 2 * MIB), min_size=1, max_size=6))
@settings(max_examples=10, deadline=None)
def test_pieces_add_up(images: dict[str, Path], kind: str, sizes: list[int]) -> None:
    """Read in buffers of any size, each is full up to the last one, and together they are the disk."""
    found = bytearray()
    with open_source(images[kind]) as source:
        assert source.size_bytes == (len(CONTENT) if kind == "raw" else None)
        for number in range(10_000):
            target = memoryview(bytearray(sizes[number % len(sizes)] + 4096))
            count = source.read_into(target)
            found += target[:count]
            if count < len(target):
                break
        assert source.read_into(memoryview(bytearray(512))) == 0
    assert found == CONTENT


def test_file_that_shrinks_is_an_error(images: dict[str, Path], tmp_path: Path) -> None:
    """A raw image that becomes shorter while it is read is damage, not the end."""
    path = tmp_path / "disk.raw"
    path.write_bytes(CONTENT)
    with open_source(path) as source:
        source.read_into(memoryview(bytearray(MIB)))
        with path.open("r+b") as file:
            file.truncate(2 * MIB)
        with pytest.raises(ImageDamaged, match="became shorter"):
            source.read_into(memoryview(bytearray(2 * MIB)))


def test_names_mean_nothing(images: dict[str, Path], tmp_path: Path) -> None:
    """A packed image that is called .img is unpacked; a raw one that is called .zst is read as it is."""
    (tmp_path / "a.img").write_bytes(images["zstd"].read_bytes())
    (tmp_path / "b.zst").write_bytes(CONTENT)
    for name in ("a.img", "b.zst"):
        target = memoryview(bytearray(len(CONTENT)))
        with open_source(tmp_path / name) as source:
            assert source.read_into(target) == len(CONTENT)
        assert target == CONTENT


def test_packed_nothing_and_packed_archives_are_refused(tmp_path: Path) -> None:
    """What unpacks to nothing, or to something that is no disk, is found out before anything is written."""
    for name, content, said in (("empty", b"", "unpacks to nothing"), ("zip", b"PK\x03\x04" * 200, "holds a zip")):
        (tmp_path / name).write_bytes(content)
        packed = tmp_path / f"{name}.gz"
        packed.write_bytes(run([find_tool("gzip"), "-c", str(tmp_path / name)]).output)
        with pytest.raises(NotADisk, match=said):
            open_source(packed)


def test_device_is_no_image(tmp_path: Path) -> None:
    """A card is not read as an image; a file is left alone."""
    require_image_path(tmp_path / "missing.img")
    devices = [path for path in Path("/dev").iterdir() if path.is_block_device()]
    for path in devices[:1]:
        with pytest.raises(Refused, match="not an image"):
            require_image_path(path)
