"""What is asked of the readers of containers, partition tables and volume groups when their bytes were changed."""

import tempfile
from contextlib import suppress
from pathlib import Path

from imagekit.disk.block_map import list_free_ranges, map_disk
from imagekit.disk.containers.open import open_disk
from imagekit.disk.containers.qcow2 import open_qcow2
from imagekit.disk.containers.stream import read_stream
from imagekit.disk.containers.vhdx import check_vhdx
from imagekit.disk.containers.vmdk import check_vmdk
from imagekit.disk.lvm.metadata import parse_text, read_group, read_label
from imagekit.disk.lvm.volumes import open_lvm
from imagekit.disk.partitions.gpt import PartitionTable, read_gpt
from imagekit.disk.partitions.mbr import read_mbr
from imagekit.disk.partitions.table import read_partition_table
from imagekit.disk.tree import FileTree
from imagekit.disk.volume import Volume, open_volumes
from imagekit.errors import ImagekitError
from tests.disk.made_lvm import DATA_START, MIB, write_physical
from tests.fuzz.filesystem_targets import read_everything
from tests.fuzz.memory import Padded, open_bytes

_PIECE = 70_000
_MOST_STREAM = 16 << 20
_MOST_RANGES = 100_000


def fuzz_gpt(data: bytes) -> None:
    """Read a GUID partition table."""
    disk = Padded(data, 64 << 10)
    with suppress(ImagekitError):
        _check_table(read_gpt(disk))


def fuzz_mbr(data: bytes) -> None:
    """Read an MBR with its chain of logical partitions, by itself and as what a disk without a GPT has."""
    disk = Padded(data, 64 << 10)
    with suppress(ImagekitError):
        _check_table(read_mbr(disk))
    with suppress(ImagekitError):
        _check_table(read_partition_table(disk))


def _check_table(table: PartitionTable) -> None:
    for part in table.partitions:
        assert part.offset >= 0
        assert part.length > 0 or table.problems
        assert part.is_esp in (True, False)
    assert list(table.own_ranges) == sorted(table.own_ranges)
    assert all(isinstance(problem, str) for problem in table.problems)


def fuzz_volumes(data: bytes) -> None:
    """Find what a whole disk holds, partitions and logical volumes, read all of it, and map its blocks.

    XFS is left out: its library answers from a process of its own.
    """
    with open_bytes(data.ljust(512, b"\0"), "disk.raw") as disk:
        with suppress(ImagekitError):
            table = None
            with suppress(ImagekitError):
                table = read_partition_table(disk)
            with open_volumes(disk, table) as volumes:
                for volume in volumes:
                    _read_volume(volume)
        with suppress(ImagekitError):
            end = 0
            for extent in map_disk(disk):
                assert extent.offset == end
                end += extent.length
            assert end == disk.size
        with suppress(ImagekitError):
            list_free_ranges(disk)


def _read_volume(volume: Volume) -> None:
    assert volume.device
    assert volume.contents
    with suppress(ImagekitError):
        if volume.filesystem is not None and volume.kind.value in ("ext4", "vfat"):
            read_everything(FileTree(volume.filesystem))


def fuzz_qcow2(data: bytes) -> None:
    """Open a qcow2 image, read pieces of the disk in it, and list its data."""
    with suppress(ImagekitError), open_bytes(data, "image.qcow2") as file, open_qcow2(file) as disk:
        for offset in (0, disk.size // 2, max(0, disk.size - _PIECE)):
            with suppress(ImagekitError):
                length = min(_PIECE, disk.size - offset)
                assert len(disk.read(offset, length)) == length
        end = 0
        with suppress(ImagekitError):
            for count, (offset, length) in enumerate(disk.data_ranges()):
                assert end <= offset < offset + length <= disk.size
                end = offset + length
                if count > _MOST_RANGES:
                    break


def fuzz_stream(data: bytes) -> None:
    """Unpack a disk that was packed by zstd, xz, gzip or bzip2, as far as the first 16 MiB."""
    total = 0
    with suppress(ImagekitError), open_bytes(data, "image.zst") as file:
        for piece in read_stream(file):
            assert 0 < len(piece) <= 1 << 20
            total += len(piece)
            if total >= _MOST_STREAM:
                break


def fuzz_container(data: bytes) -> None:
    """Open a file by its content; formats that a library reads go as far as the checks before the library."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "image")
        path.write_bytes(data)
        if data.startswith((b"KDMV", b"vhdxfile")):
            fuzz_vmdk(data)
            fuzz_vhdx(data)
            return
        with suppress(ImagekitError), open_disk(path) as disk:
            assert disk.format
            disk.read(0, min(disk.size, _PIECE))
            disk.window(0, min(disk.size, 512))
            for count, (offset, length) in enumerate(disk.data_ranges()):
                assert 0 <= offset < offset + length <= disk.size
                if count > _MOST_RANGES:
                    break


def fuzz_vmdk(data: bytes) -> None:
    """Check a VMDK file before a library would see it."""
    with suppress(ImagekitError):
        assert 0 < check_vmdk(Padded(data, len(data)), "image.vmdk") <= 64 << 40


def fuzz_vhdx(data: bytes) -> None:
    """Check a VHDX file before a library would see it; what is not in the seed is zero, as in most of such a file."""
    with suppress(ImagekitError):
        assert 0 < check_vhdx(Padded(data, 4 << 20), "image.vhdx") <= 64 << 40


def fuzz_lvm(data: bytes) -> None:
    """Read a physical volume; its checksums stop most changes, which :func:`fuzz_lvm_text` goes around."""
    disk = Padded(data, DATA_START + 4 * MIB)
    with suppress(ImagekitError):
        read_label(disk)
    with suppress(ImagekitError):
        for volume in open_lvm([disk]).logical:
            assert volume.window is None or volume.window.size <= disk.size


def fuzz_lvm_text(data: bytes) -> None:
    """Read the text of LVM's metadata, by itself and with right checksums around it."""
    text = data.decode("utf-8", "surrogateescape")
    for parse in (parse_text, read_group):
        with suppress(ImagekitError):
            parse(text)
    with suppress(ImagekitError, UnicodeEncodeError):
        disk = Padded(bytes(write_physical(DATA_START + 4 * MIB, text)), 0)
        for volume in open_lvm([disk]).logical:
            if volume.window is not None:
                assert 0 < volume.window.size <= disk.size
                volume.window.read(0, min(volume.window.size, 4096))
