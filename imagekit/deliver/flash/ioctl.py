"""What the kernel is asked about an open block device: ioctl(2) numbers of linux/fs.h.

The numbers are those of x86 and Arm, as on every architecture that imagekit knows.
"""

import array
import fcntl

_BLKROGET = 0x125E  # _IO(0x12, 94): an int, not 0 when writes are refused
_BLKRRPART = 0x125F  # _IO(0x12, 95): read the partition table again
_BLKFLSBUF = 0x1261  # _IO(0x12, 97): write back and forget what is cached; needs CAP_SYS_ADMIN
_BLKGETSIZE64 = 0x80081272  # _IOR(0x12, 114, size_t): bytes, eight of them on the wire
_BLKGETDISKSEQ = 0x80081280  # _IOR(0x12, 128, __u64): since Linux 5.15


def is_read_only(descriptor: int) -> bool:
    """Say whether the kernel refuses writes to the device."""
    value = array.array("i", [0])
    fcntl.ioctl(descriptor, _BLKROGET, value)
    return value[0] != 0


def read_size(descriptor: int) -> int:
    """Return the device's size in bytes."""
    value = array.array("Q", [0])
    fcntl.ioctl(descriptor, _BLKGETSIZE64, value)
    return value[0]


def read_sequence(descriptor: int) -> int | None:
    """Return the device's ``diskseq``; ``None`` on a kernel that has none."""
    value = array.array("Q", [0])
    try:
        fcntl.ioctl(descriptor, _BLKGETDISKSEQ, value)
    except OSError:
        return None
    return value[0] or None


def reread_partitions(descriptor: int) -> bool:
    """Let the kernel look at the partition table again; False when it cannot (a loop device without partitions)."""
    try:
        fcntl.ioctl(descriptor, _BLKRRPART)
    except OSError:
        return False
    return True


def drop_cache(descriptor: int) -> bool:
    """Write back and forget what is cached of the device; False when that is not allowed."""
    try:
        fcntl.ioctl(descriptor, _BLKFLSBUF)
    except OSError:
        return False
    return True
