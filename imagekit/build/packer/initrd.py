"""A small initrd with files of ours, which GRUB loads after an installer's own: the kernel unpacks both into one tree.

Format: the kernel's "initramfs buffer format" (Documentation/driver-api/early-userspace/buffer-format.rst), "newc".
"""

import gzip
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_DIRECTORY = 0o040755
_REGULAR = 0o100000
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class InitrdFile:
    """The bytes of one file and its permission bits; root owns it."""

    data: bytes
    mode: int = 0o644


def pack_initrd(files: Mapping[str, InitrdFile]) -> bytes:
    """Return a compressed archive of ``files`` by relative path, with their directories; the same bytes every time."""
    members: dict[str, tuple[int, bytes]] = {}
    for path, file in files.items():
        for parent in reversed(PurePosixPath(path).parents[:-1]):
            members.setdefault(str(parent), (_DIRECTORY, b""))
        members[path] = (_REGULAR | file.mode, file.data)
    members[_TRAILER] = (0, b"")
    packed = b"".join(_pack_member(number, name, *member) for number, (name, member) in enumerate(members.items(), 1))
    return gzip.compress(packed, mtime=0)


def _pack_member(number: int, name: str, mode: int, data: bytes) -> bytes:
    """Return header, name and content, each padded to a multiple of four bytes."""
    raw = name.encode() + b"\0"
    links = 2 if mode == _DIRECTORY else 1
    # inode, mode, owner, group, links, time, size, device (2), device of a node (2), name's length, checksum
    fields = (number, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(raw), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _pad(header + raw) + _pad(data)


def _pad(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)
