"""Magic numbers, and the reader or the refusal that follows from them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.ext4.filesystem import Ext4
from imagekit.disk.fat.filesystem import Fat
from imagekit.disk.probe import CannotRead, FilesystemKind, describe_kind, open_filesystem, probe_filesystem
from imagekit.disk.window import Readable
from imagekit.disk.xfs.filesystem import Xfs
from imagekit.host.local import run
from tests.disk.made_xfs import make_xfs


@pytest.mark.parametrize(
    ("at", "magic", "kind"),
    [
        (0x10040, b"_BHRfS_M", FilesystemKind.BTRFS),
        (4086, b"SWAPSPACE2", FilesystemKind.SWAP),
        (65526, b"SWAPSPACE2", FilesystemKind.SWAP),
        (0, b"LUKS\xba\xbe", FilesystemKind.LUKS),
        (512, b"LABELONE", FilesystemKind.LVM),
        (3, b"NTFS    ", FilesystemKind.NTFS),
        (3, b"EXFAT   ", FilesystemKind.EXFAT),
        (4096 + 24, bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"), FilesystemKind.BCACHEFS),
        (4096 + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"), FilesystemKind.BCACHEFS),
        (0, b"\xfc\x4e\x2b\xa9", FilesystemKind.MD),
        (4096, b"\xfc\x4e\x2b\xa9", FilesystemKind.MD),
        ((512 << 10) - 8192, b"\xfc\x4e\x2b\xa9", FilesystemKind.MD),
        ((512 << 10) - 65536, b"\xfc\x4e\x2b\xa9", FilesystemKind.MD),
        (0x8001, b"CD001", FilesystemKind.ISO9660),
        ((128 << 10) + (37 << 10), b"\x0c\xb1\xba\0\0\0\0\0", FilesystemKind.ZFS),
        ((255 << 10), b"\0\0\0\0\0\xba\xb1\x0c", FilesystemKind.ZFS),
        (0, b"", FilesystemKind.UNKNOWN),
    ],
)
def test_kinds_without_a_reader_are_named(
    at: int, magic: bytes, kind: FilesystemKind, memory: Callable[[bytes], Readable]
) -> None:
    """What cannot be read is recognised by its magic and refused by its name."""
    data = bytearray(512 << 10)
    data[at : at + len(magic)] = magic
    window = memory(bytes(data))
    assert probe_filesystem(window) is kind
    with pytest.raises(CannotRead) as caught:
        open_filesystem(window)
    assert caught.value.kind is kind
    assert describe_kind(kind) in caught.value.message
    assert kind is FilesystemKind.UNKNOWN or kind.value in caught.value.message.lower()


def test_real_filesystems_get_their_reader(make_ext4: Callable[..., Path], tmp_path: Path) -> None:
    """ext2 to ext4, FAT and XFS are recognised and opened."""
    for type_ in ("ext2", "ext3", "ext4"):
        with open_raw(make_ext4(None, "4M", "-t", type_)) as disk:
            assert probe_filesystem(disk) is FilesystemKind.EXT4
            assert isinstance(open_filesystem(disk), Ext4)
    run(["mformat", "-C", "-i", os.fspath(tmp_path / "fat"), "-f", "1440", "::"])
    with open_raw(tmp_path / "fat") as disk:
        assert probe_filesystem(disk) is FilesystemKind.VFAT
        assert isinstance(open_filesystem(disk), Fat)
    (tmp_path / "source").mkdir()
    with open_raw(make_xfs(tmp_path / "source", tmp_path / "xfs")) as disk:
        assert probe_filesystem(disk) is FilesystemKind.XFS
        assert isinstance(open_filesystem(disk), Xfs)


@pytest.mark.parametrize("size", [0, 1, 511, 512, 1080, 4096])
def test_tiny_partitions_are_unknown(size: int, memory: Callable[[bytes], Readable]) -> None:
    """A partition too small for any magic is unknown, without a read outside."""
    assert probe_filesystem(memory(bytes(size))) is FilesystemKind.UNKNOWN


def test_boot_sector_of_a_disk_is_not_fat(memory: Callable[[bytes], Readable]) -> None:
    """An MBR ends with the same two bytes as FAT and is none."""
    data = bytearray(4096)
    data[0:3], data[510:512] = b"\xeb\x63\x90", b"\x55\xaa"
    assert probe_filesystem(memory(bytes(data))) is FilesystemKind.UNKNOWN
