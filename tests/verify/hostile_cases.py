"""Hostile disks by name: each takes the clean disk and makes one thing of it that could eat time, memory or trust."""

import io
import os
import struct
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backports import zstd

from imagekit.host import run
from tests.disk.made_lvm import DATA_START, EXTENT, Lv, write_physical, write_text
from tests.verify import initrd
from tests.verify.clean_tree import ESP_OFFSET, MIB, ROOT_OFFSET, link, make_root_filesystem, write
from tests.verify.made_disks import put_root

GIB = 1 << 30


@dataclass(frozen=True)
class Hostile:
    """``make(disk, tree, work)`` changes the disk, or returns another file; ``said`` is a pattern of the answer."""

    name: str
    make: Callable[[Path, Path, Path], Path | None]
    said: str


def _debugfs(disk: Path, *commands: str) -> str:
    said = ""
    for command in commands:
        said += run(["debugfs", "-w", "-R", command, f"{disk}?offset={ROOT_OFFSET}"]).output.decode()
    return said


def _patch(disk: Path, at: int, data: bytes) -> None:
    with disk.open("r+b") as file:
        file.seek(at)
        file.write(data)


def _size(path: str, size: int) -> Callable[[Path, Path, Path], None]:
    """Return what makes a file of the root claim a size."""

    def make(disk: Path, tree: Path, work: Path) -> None:
        _debugfs(disk, f"sif {path} size {size:#x}")

    return make


def _change_tree(change: Callable[[Path], None]) -> Callable[[Path, Path, Path], None]:
    """Return what makes the root's filesystem again from a changed tree."""

    def make(disk: Path, tree: Path, work: Path) -> None:
        change(tree)
        make_root_filesystem(tree, work / "root.ext4")
        put_root(disk, work / "root.ext4")

    return make


def _loop_links(tree: Path) -> None:
    (tree / "etc/passwd").unlink()
    link(tree, "/etc/passwd", "group")
    (tree / "etc/group").unlink()
    link(tree, "/etc/group", "passwd")


def _cycle_directories(disk: Path, tree: Path, work: Path) -> None:
    _debugfs(disk, "mkdir /etc/netplan/a", "ln /etc/netplan /etc/netplan/a/b", "ln /var/log /var/log/loop")


def _superblock(offset: int, value: int) -> Callable[[Path, Path, Path], None]:
    return lambda disk, tree, work: _patch(disk, ROOT_OFFSET + 1024 + offset, struct.pack("<I", value))


def _loop_extents(disk: Path, tree: Path, work: Path) -> None:
    """Let the file's extent tree lead to a node that says of itself that it is one level up, and leads to itself."""
    block = int(_debugfs(disk, "blocks /etc/passwd").split()[0])
    node = struct.pack("<HHHHIIIHH", 0xF30A, 1, 4, 1, 0, 0, block, 0, 0)
    _patch(disk, ROOT_OFFSET + block * 1024, node)
    words = struct.unpack("<6I", node)
    imap = _debugfs(disk, "imap /etc/passwd").replace(",", " ").split()
    inode = int(imap[imap.index("located") + 3]) * 1024 + int(imap[-1], 16)
    _patch(disk, ROOT_OFFSET + inode + 40, struct.pack("<6I", *words))


def _claim_gpt_entries(disk: Path, tree: Path, work: Path) -> None:
    size = disk.stat().st_size
    for at in (512, size - 512):
        with disk.open("rb") as file:
            file.seek(at)
            header = bytearray(file.read(92))
        struct.pack_into("<I", header, 80, 0xFFFFFFFF)
        struct.pack_into("<I", header, 16, 0)
        struct.pack_into("<I", header, 16, zlib.crc32(header))
        _patch(disk, at, bytes(header))


def _loop_clusters(disk: Path, tree: Path, work: Path) -> None:
    """Let every cluster of the ESP's table follow itself."""
    with disk.open("rb") as file:
        file.seek(ESP_OFFSET)
        boot = file.read(512)
    reserved, sectors = struct.unpack_from("<H", boot, 14)[0], struct.unpack_from("<H", boot, 22)[0]
    entries = sectors * 512 * 2 // 3
    table = bytearray()
    for cluster in range(0, entries - 1, 2):
        table += (cluster | cluster + 1 << 12).to_bytes(3, "little")
    table[:3] = b"\xf8\xff\xff"
    _patch(disk, ESP_OFFSET + reserved * 512, bytes(table))


def _chain_mbr(disk: Path, tree: Path, work: Path) -> Path:
    """Make a disk without a root whose extended boot record leads to itself."""
    path = work / "mbr.raw"
    data = bytearray(MIB)
    struct.pack_into("<B3xB3xII", data, 446, 0, 5, 64, 1024)
    struct.pack_into("<B3xB3xII", data, 64 * 512 + 446, 0, 0x83, 1, 8)
    struct.pack_into("<B3xB3xII", data, 64 * 512 + 462, 0, 5, 0, 1024)
    data[510:512] = data[64 * 512 + 510 : 64 * 512 + 512] = b"\x55\xaa"
    path.write_bytes(data)
    return path


def _make_lvm(text: str, size: int = DATA_START + 8 * EXTENT) -> Callable[[Path, Path, Path], None]:
    """Return what puts a physical volume with this metadata in place of the root."""

    def make(disk: Path, tree: Path, work: Path) -> None:
        (work / "pv").write_bytes(write_physical(size, text))
        put_root(disk, work / "pv")

    return make


_SELF = write_text((Lv("root", ((0, 0, 4),)),), extents=8).replace('"pv0", 0', '"root", 0')
_HUGE = write_text((Lv("root", ((0, 0, 4),)),), extents=8).replace("extent_count = 4", f"extent_count = {1 << 40}")


def _nest_lvm(disk: Path, tree: Path, work: Path) -> None:
    """Put a physical volume into a logical one of the same name."""
    text = write_text((Lv("root", ((0, 0, 8),)),), extents=8)
    data = write_physical(DATA_START + 8 * EXTENT, text)
    data[DATA_START : DATA_START + 2 * MIB] = data[: 2 * MIB]
    (work / "pv").write_bytes(data)
    put_root(disk, work / "pv")


def _fill_laughs(tree: Path) -> None:
    lines = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 60)]
    write(tree, "/etc/cloud/cloud.cfg", "\n".join([*lines, "users: *a59", ""]))


def _write_initrd(content: bytes) -> Callable[[Path, Path, Path], None]:
    return _change_tree(lambda tree: write(tree, f"/boot/initrd.img-{initrd.KERNEL}", content))


def _claim_cpio_sizes() -> bytes:
    archive = bytearray(initrd.make_cpio({"init": b"#!/bin/sh\n"}))
    archive[54:62] = b"FFFFFFFF"
    return bytes(archive)


def _pack_zeros(gibibytes: int) -> bytes:
    packer = zstd.ZstdCompressor()
    piece = bytes(64 << 20)
    return b"".join([packer.compress(piece) for _ in range(gibibytes << 4)]) + packer.flush()


def _bomb_initrd() -> bytes:
    """Return an archive with one file of 3 GiB of zeros before anything else, in 100 kB."""
    header = initrd.make_cpio({"init": b"#!/bin/sh\n"}, trailer=False)[:110].replace(b"0000000A", b"C0000000", 1)
    packer = zstd.ZstdCompressor()
    zeros = bytes(64 << 20)
    return packer.compress(header + b"init\0\0") + b"".join(packer.compress(zeros) for _ in range(48)) + packer.flush()


def _write_file(name: str, content: Callable[[Path], bytes]) -> Callable[[Path, Path, Path], Path]:
    """Return what makes another file than the disk to verify."""

    def make(disk: Path, tree: Path, work: Path) -> Path:
        path = work / name
        path.write_bytes(content(work))
        return path

    return make


def _make_qcow2(work: Path, *options: str) -> bytearray:
    path = work / "made.qcow2"
    run(["qemu-img", "create", "-q", "-f", "qcow2", *options, os.fspath(path), "64M"])
    return bytearray(path.read_bytes())


def _refer_to_itself(work: Path) -> bytes:
    """Let the first table's entries be the table itself."""
    data = _make_qcow2(work)
    table = int.from_bytes(data[40:48], "big")
    data[table : table + 8] = (table | 1 << 63).to_bytes(8, "big")
    return bytes(data)


def _claim_petabytes(work: Path) -> bytes:
    data = _make_qcow2(work)
    data[24:32] = (1 << 50).to_bytes(8, "big")
    data[36:40] = (1 << 28).to_bytes(4, "big")
    return bytes(data)


def _name_backing_file(work: Path) -> bytes:
    return bytes(_make_qcow2(work, "-u", "-b", "/etc/shadow", "-F", "raw"))


def _name_data_file(work: Path) -> bytes:
    data = _make_qcow2(work, "-o", f"data_file={work / 'data'}")
    return bytes(data.replace(os.fsencode(work / "data"), b"/etc/shadow".ljust(len(os.fsencode(work / "data")), b"x")))


def _pack_tar(_: Path) -> bytes:
    stored = io.BytesIO()
    with tarfile.open(fileobj=stored, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("disk.raw"), io.BytesIO())
    return stored.getvalue()


CASES = (
    Hostile("links that lead to each other", _change_tree(_loop_links), "more than 40"),
    Hostile("directories inside themselves", _cycle_directories, "image-damaged: .*more than one path"),
    Hostile("2^32 inodes", _superblock(0, 0xFFFFFFFF), "image-damaged: .*4294967295 inodes"),
    Hostile("2^32 inodes in a group", _superblock(0x28, 0xFFFFFFFF), "image-damaged: .*4294967295 inodes in a group"),
    Hostile("2^32 blocks", _superblock(4, 0xFFFFFFFF), "image-damaged: .*claims 4294967295 blocks"),
    Hostile("a block of 2^41 bytes", _superblock(0x18, 31), "image-damaged: .*block size"),
    Hostile("extents that lead to themselves", _loop_extents, "image-damaged: .*block map"),
    Hostile("a passwd of 2 GiB", _size("/etc/passwd", 2 * GIB), "/etc/passwd.*2147483648 bytes"),
    Hostile("a passwd of 2^60 bytes", _size("/etc/passwd", 1 << 60), f"/etc/passwd.*{1 << 60} bytes"),
    Hostile("a dpkg status of 4 GiB", _size("/var/lib/dpkg/status", 4 * GIB), "status is larger than 64 MiB"),
    Hostile("sudoers of 2^60 bytes", _size("/etc/sudoers", 1 << 60), f"/etc/sudoers.*{1 << 60} bytes"),
    Hostile(
        "a directory of 10^6 entries",
        _size("/etc/apt", 1_000_000 << 8),
        "image-damaged: .*directory .* 256000000 bytes",
    ),
    Hostile("a link of 2^31 bytes", _size("/etc/localtime", 1 << 31), "image-damaged: .*the symbolic link"),
    Hostile("billion laughs in cloud.cfg", _change_tree(_fill_laughs), "beyond reason"),
    Hostile("sizes of 2^32 in the initrd", _write_initrd(_claim_cpio_sizes()), "initrd"),
    Hostile("3 GiB in the initrd", _write_initrd(_bomb_initrd()), "the initrd is larger than what is read"),
    Hostile("2^32 entries in the GPT", _claim_gpt_entries, "4294967295 entries"),
    Hostile("clusters that follow themselves", _loop_clusters, "comes back to"),
    Hostile("logical partitions in a circle", _chain_mbr, "no operating system"),
    Hostile("a logical volume on itself", _make_lvm(_SELF), "LVM vg/root"),
    Hostile("a logical volume of 2^40 extents", _make_lvm(_HUGE), "LVM vg/root"),
    Hostile("a physical volume on its own volume", _nest_lvm, "LVM inside LVM"),
    Hostile("a qcow2 table that is its own entry", _write_file("d.qcow2", _refer_to_itself), "damage|no operating"),
    Hostile("a qcow2 of a petabyte", _write_file("d.qcow2", _claim_petabytes), "1125899906842624|claims"),
    Hostile("a qcow2 that backs onto a host's file", _write_file("d.qcow2", _name_backing_file), "/etc/shadow"),
    Hostile("a qcow2 whose data is a host's file", _write_file("d.qcow2", _name_data_file), "/etc/shadow"),
    Hostile(
        "a VMDK whose extent is a host's file",
        _write_file("d.vmdk", lambda _: b'# Disk DescriptorFile\nRW 1 FLAT "/etc/shadow" 0\n'),
        "in other files",
    ),
    Hostile("an archive for a disk", _write_file("d.tgz", _pack_tar), "holds a tar file"),
    Hostile("2 GiB of zeros in 65 kB", _write_file("d.zst", lambda _: _pack_zeros(2)), "no operating system"),
    Hostile(
        "a zstd window of 2 GiB",
        _write_file("d.zst", lambda _: b"\x28\xb5\x2f\xfd\x00\xa8" + bytes(64)),
        "d.zst",
    ),
    Hostile(
        "a million empty frames",
        _write_file("d.zst", lambda _: b"\x28\xb5\x2f\xfd\x20\x00\x01\x00\x00" * 1_000_000),
        "d.zst",
    ),
)
