"""What a partition holds, told by the magic numbers that libblkid(3) and file(1) look for, and the reader for it."""

from enum import StrEnum
from typing import TYPE_CHECKING

from imagekit.disk.raw import Readable
from imagekit.errors import VerificationFailed

if TYPE_CHECKING:
    from imagekit.disk.ext4 import Ext4
    from imagekit.disk.fat import Fat


class FilesystemKind(StrEnum):
    """What was recognised; ``ext4`` stands for ext2 and ext3 too."""

    EXT4 = "ext4"
    VFAT = "vfat"
    XFS = "xfs"
    BTRFS = "btrfs"
    SWAP = "swap"
    LUKS = "luks"
    LVM = "lvm"
    UNKNOWN = "unknown"


class CannotRead(VerificationFailed):
    """A partition holds something that there is no reader for; ``kind`` says what."""

    def __init__(self, kind: FilesystemKind) -> None:
        what = "nothing that is recognised" if kind is FilesystemKind.UNKNOWN else kind.value
        super().__init__(
            f"the partition holds {what}, which cannot be read", hint="ext2, ext3, ext4 and FAT filesystems are read"
        )
        self.kind = kind


_MAGIC = (
    (0, b"LUKS\xba\xbe", FilesystemKind.LUKS),
    (0, b"XFSB", FilesystemKind.XFS),
    (0x10040, b"_BHRfS_M", FilesystemKind.BTRFS),
    (0x438, b"\x53\xef", FilesystemKind.EXT4),
    *((sector * 512, b"LABELONE", FilesystemKind.LVM) for sector in range(4)),
    # The swap signature ends the first page, whose size is the machine's that made it.
    *((page - 10, b"SWAPSPACE2", FilesystemKind.SWAP) for page in (4096, 8192, 16384, 65536)),
)


def probe_filesystem(window: Readable) -> FilesystemKind:
    """Return what ``window`` holds; reads a few sectors and never raises for content that it does not know."""
    for offset, magic, kind in _MAGIC:
        if offset + len(magic) <= window.size and window.read(offset, len(magic)) == magic:
            return kind
    return FilesystemKind.VFAT if _is_fat(window) else FilesystemKind.UNKNOWN


def _is_fat(window: Readable) -> bool:
    """Say whether sector 0 is FAT's; exFAT, NTFS and a plain MBR end with the same two bytes."""
    if window.size < 512:
        return False
    data = window.read(0, 512)
    if data[510:] != b"\x55\xaa" or data[3:11] in (b"EXFAT   ", b"NTFS    "):
        return False
    sector, per_cluster = int.from_bytes(data[11:13], "little"), data[13]
    jump = data[0] == 0xE9 or (data[0] == 0xEB and data[2] == 0x90)
    media = data[21] == 0xF0 or data[21] >= 0xF8
    return jump and media and sector in (512, 1024, 2048, 4096) and per_cluster != 0


def open_filesystem(window: Readable) -> "Ext4 | Fat":
    """Open the filesystem in ``window``.

    Raises :class:`CannotRead` when there is no reader for it, :class:`imagekit.errors.ImageDamaged` when it is damaged.
    """
    kind = probe_filesystem(window)
    match kind:
        case FilesystemKind.EXT4:
            from imagekit.disk.ext4 import open_ext4

            return open_ext4(window)
        case FilesystemKind.VFAT:
            from imagekit.disk.fat import open_fat

            return open_fat(window)
        case _:
            raise CannotRead(kind)
