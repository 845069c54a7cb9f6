"""Raw disks: every read inside, nothing but raw disks, holes told apart from data."""

import gzip
import os
from pathlib import Path

import pytest

from imagekit.disk.containers.raw import NotADisk, open_raw
from imagekit.disk.window import Window
from imagekit.errors import ExitCode, ImageDamaged, ImagekitError


@pytest.fixture
def disk_file(tmp_path: Path) -> Path:
    """Return a disk of 64 KiB whose bytes tell where they are."""
    path = tmp_path / "disk.raw"
    path.write_bytes(b"".join(index.to_bytes(4, "big") for index in range(16384)))
    return path


def test_reads_what_is_there(disk_file: Path) -> None:
    """Size and bytes are the file's, up to the very end."""
    with open_raw(disk_file) as disk:
        assert disk.size == 65536
        assert disk.read(400, 4) == (100).to_bytes(4, "big")
        assert disk.read(65532, 4) == (16383).to_bytes(4, "big")
        assert disk.read(65536, 0) == b""


@pytest.mark.parametrize(("offset", "length"), [(65533, 4), (65536, 1), (-1, 1), (0, -1), (1 << 63, 1), (0, 1 << 62)])
def test_read_outside_is_damage(disk_file: Path, offset: int, length: int) -> None:
    """Nothing outside is read, whatever the numbers."""
    with open_raw(disk_file) as disk, pytest.raises(ImageDamaged, match="outside"):
        disk.read(offset, length)


def test_enormous_read_is_refused(tmp_path: Path) -> None:
    """A length that no structure needs is refused before memory is taken for it."""
    path = tmp_path / "disk.raw"
    path.touch()
    os.truncate(path, 1 << 40)
    with open_raw(path) as disk, pytest.raises(ImageDamaged, match="more than any structure needs"):
        disk.read(0, 1 << 39)


def test_window_is_relative_and_closed(disk_file: Path) -> None:
    """A window begins at 0, ends at its length, and windows nest."""
    with open_raw(disk_file) as disk:
        window = disk.window(1024, 2048)
        assert window.size == 2048
        assert window.read(0, 4) == (256).to_bytes(4, "big")
        inner = Window(window, 1024, 1024)
        assert inner.read(1020, 4) == (256 + 511).to_bytes(4, "big")
        for outside in (window, inner):
            with pytest.raises(ImageDamaged, match="outside"):
                outside.read(outside.size - 3, 4)
        with pytest.raises(ImageDamaged, match="not inside"):
            disk.window(65536, 1)
        with pytest.raises(ImageDamaged, match="not inside"):
            Window(window, 1025, 1024)


def test_data_ranges_skip_holes(tmp_path: Path) -> None:
    """Ranges rise, cover every written byte, and leave out the holes that the filesystem knows."""
    path = tmp_path / "sparse.raw"
    with path.open("wb") as file:
        for place in (1 << 20, 5 << 20):
            file.seek(place)
            file.write(b"x" * 65536)
        file.truncate(64 << 20)
    with open_raw(path) as disk:
        ranges = list(disk.data_ranges())
    assert ranges == sorted(ranges)
    assert sum(length for _, length in ranges) < 4 << 20
    for place in (1 << 20, 5 << 20):
        assert any(offset <= place and place + 65536 <= offset + length for offset, length in ranges)


def test_data_ranges_without_support_are_one(disk_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the filesystem cannot tell holes, everything is data."""

    def refuse(*_: object) -> int:
        raise OSError(22, "Invalid argument")

    with open_raw(disk_file) as disk:
        monkeypatch.setattr(os, "lseek", refuse)
        assert list(disk.data_ranges()) == [(0, 65536)]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"QFI\xfb\0\0\0\3", "qcow2"),
        (b"KDMV\1\0\0\0", "VMDK"),
        (b"# Disk DescriptorFile\n", "VMDK descriptor"),
        (bytes(257) + b"ustar", "tar"),
        (b"vhdxfile", "VHDX"),
        (b"\xfd7zXZ\0", "xz"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (gzip.compress(b"disk", mtime=0), "gzip"),
        (b"<<< disk >>>".ljust(64) + b"\x7f\x10\xda\xbe", "VDI"),
    ],
)
def test_containers_are_refused_by_name(tmp_path: Path, content: bytes, name: str) -> None:
    """A container is named together with the command that makes it raw; nothing inside it is believed."""
    path = tmp_path / "disk.img"
    path.write_bytes(content.ljust(4096, b"\0"))
    with pytest.raises(NotADisk, match=f"is a {name} file") as caught:
        open_raw(path)
    assert caught.value.hint is not None
    assert "disk.img" in caught.value.hint
    assert caught.value.exit_code is ExitCode.VERIFICATION


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Missing files, directories, FIFOs and empty files are named; a FIFO does not block."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty").touch()
    for name, sentence in (
        ("missing", "No such file"),
        ("", "is a directory"),
        ("fifo", "is a device, FIFO or socket"),
        ("empty", "is empty"),
    ):
        with pytest.raises(ImagekitError, match=sentence):
            open_raw(tmp_path / name)


def test_reading_into_memory_is_the_same_read(disk_file: Path) -> None:
    """What is read into a buffer is what is read at all, within the same bounds."""
    with open_raw(disk_file) as disk:
        target = memoryview(bytearray(disk.size - 1))
        disk.read_into(1, target)
        assert target == disk.read(1, disk.size - 1)
        with pytest.raises(ImageDamaged):
            disk.read_into(2, target)


def test_shrinking_file_is_damage(disk_file: Path) -> None:
    """A file that is cut while it is read gives an error, not fewer bytes."""
    with open_raw(disk_file) as disk:
        os.truncate(disk_file, 1000)
        with pytest.raises(ImageDamaged, match="became shorter"):
            disk.read(0, 4096)


def test_file_is_closed_at_the_end(disk_file: Path) -> None:
    """No descriptor is left behind, whether opening worked or not."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_raw(disk_file) as disk:
        disk.read(0, 1)
    disk.close()
    with pytest.raises(NotADisk):
        open_raw(disk_file.parent)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # fewer: another test's was collected meanwhile
