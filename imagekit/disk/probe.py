"""What a partition holds, told by the magic numbers that libblkid(3) and file(1) look for, and the reader for it."""

from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from imagekit.disk.window import Readable
from imagekit.errors import VerificationFailed

if TYPE_CHECKING:
    from imagekit.disk.ext4.filesystem import Ext4
    from imagekit.disk.fat.filesystem import Fat
    from imagekit.disk.xfs.filesystem import Xfs

    Filesystem: TypeAlias = Ext4 | Fat | Xfs


class FilesystemKind(StrEnum):
    """What was recognised; ``ext4`` stands for ext2 and ext3 too."""

    EXT4 = "ext4"
    VFAT = "vfat"
    XFS = "xfs"
    BTRFS = "btrfs"
    BCACHEFS = "bcachefs"
    ZFS = "zfs"
    NTFS = "ntfs"
    EXFAT = "exfat"
    ISO9660 = "iso9660"
    SWAP = "swap"
    LUKS = "luks"
    LVM = "lvm"
    MD = "md"
    UNKNOWN = "unknown"


READ_KINDS = frozenset({FilesystemKind.EXT4, FilesystemKind.VFAT, FilesystemKind.XFS})

# What is not called by its own name.
_CALLED = {
    FilesystemKind.LUKS: "an encrypted volume (LUKS)",
    FilesystemKind.LVM: "an LVM physical volume",
    FilesystemKind.MD: "a member of a Linux software RAID (md)",
    FilesystemKind.SWAP: "swap space",
    FilesystemKind.ISO9660: "an iso9660 image",
    FilesystemKind.UNKNOWN: "nothing that is recognised",
}


class CannotRead(VerificationFailed):
    """A partition holds something that there is no reader for; ``kind`` says what."""

    def __init__(self, kind: FilesystemKind) -> None:
        super().__init__(
            f"the partition holds {describe_kind(kind)}, which cannot be read",
            hint="ext2, ext3, ext4, XFS and FAT filesystems are read, on partitions and on LVM",
        )
        self.kind = kind


_MD_MAGIC = b"\xfc\x4e\x2b\xa9"
_MAGIC = (
    (0, b"LUKS\xba\xbe", FilesystemKind.LUKS),
    (0, b"XFSB", FilesystemKind.XFS),
    (0x10040, b"_BHRfS_M", FilesystemKind.BTRFS),
    (0x438, b"\x53\xef", FilesystemKind.EXT4),
    *((sector * 512, b"LABELONE", FilesystemKind.LVM) for sector in range(4)),
    # The swap signature ends the first page, whose size is the machine's that made it.
    *((page - 10, b"SWAPSPACE2", FilesystemKind.SWAP) for page in (4096, 8192, 16384, 65536)),
    (3, b"NTFS    ", FilesystemKind.NTFS),
    (3, b"EXFAT   ", FilesystemKind.EXFAT),
    (4096 + 24, bytes.fromhex("c68573f666ce90a9d96a60cf803df7ef"), FilesystemKind.BCACHEFS),
    (4096 + 24, bytes.fromhex("c68573f64e1a45ca8265f57f48ba6d81"), FilesystemKind.BCACHEFS),
    (4096, _MD_MAGIC, FilesystemKind.MD),  # metadata 1.2, then 1.1
    (0, _MD_MAGIC, FilesystemKind.MD),
    (0x8001, b"CD001", FilesystemKind.ISO9660),
)
# The first label's ring of uberblocks (OpenZFS, vdev_impl.h); which of them are used depends on the past.
_ZFS_RING, _ZFS_SLOT = 128 << 10, 1 << 10
_ZFS_MAGIC = (b"\x0c\xb1\xba\0\0\0\0\0", b"\0\0\0\0\0\xba\xb1\x0c")


def describe_kind(kind: FilesystemKind) -> str:
    """Return what to call it in a sentence about what a partition holds."""
    return _CALLED.get(kind, kind.value)


def probe_filesystem(window: Readable) -> FilesystemKind:
    """Return what ``window`` holds; reads a few sectors and never raises for content that it does not know."""
    for offset, magic, kind in _MAGIC:
        if offset + len(magic) <= window.size and window.read(offset, len(magic)) == magic:
            return kind
    if _is_fat(window):
        return FilesystemKind.VFAT
    if _is_zfs(window):
        return FilesystemKind.ZFS
    return FilesystemKind.MD if _is_md_at_end(window) else FilesystemKind.UNKNOWN


def _is_fat(window: Readable) -> bool:
    """Say whether sector 0 is FAT's; a plain MBR ends with the same two bytes."""
    if window.size < 512:
        return False
    data = window.read(0, 512)
    if data[510:] != b"\x55\xaa":
        return False
    sector, per_cluster = int.from_bytes(data[11:13], "little"), data[13]
    jump = data[0] == 0xE9 or (data[0] == 0xEB and data[2] == 0x90)
    media = data[21] == 0xF0 or data[21] >= 0xF8
    return jump and media and sector in (512, 1024, 2048, 4096) and per_cluster != 0


def _is_zfs(window: Readable) -> bool:
    if window.size < 2 * _ZFS_RING:
        return False
    ring = window.read(_ZFS_RING, _ZFS_RING)
    return any(ring.startswith(_ZFS_MAGIC, slot) for slot in range(0, _ZFS_RING, _ZFS_SLOT))


def _is_md_at_end(window: Readable) -> bool:
    """Say whether a superblock of md's metadata 1.0 or 0.90 is near the end (md(4)), where neither is at the start."""
    sectors = window.size // 512
    places = (((sectors - 16) & ~7) * 512, ((window.size >> 16) - 1) << 16)
    return any(0 <= place <= window.size - 4 and window.read(place, 4) == _MD_MAGIC for place in places)


def open_filesystem(window: Readable) -> "Filesystem":
    """Open the filesystem in ``window``.

    Raises :class:`CannotRead` when there is no reader for it, :class:`imagekit.errors.ImageDamaged` when it is damaged.
    """
    kind = probe_filesystem(window)
    match kind:
        case FilesystemKind.EXT4:
            from imagekit.disk.ext4.filesystem import open_ext4

            return open_ext4(window)
        case FilesystemKind.VFAT:
            from imagekit.disk.fat.filesystem import open_fat

            return open_fat(window)
        case FilesystemKind.XFS:
            from imagekit.disk.xfs.filesystem import open_xfs

            return open_xfs(window)
        case _:
            raise CannotRead(kind)
