"""Real images to begin with, small enough to be changed a thousand times a second; made by the programs for it."""

import bz2
import gzip
import lzma
import os
import shutil
import sqlite3
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from backports import zstd

from imagekit.host import run
from tests.disk.made_lvm import DATA_START, MIB, Lv, write_physical, write_text
from tests.disk.made_xfs import make_xfs
from tests.verify import initrd

EXT4 = (
    ("-t", "ext2", "-b", "1024", "-I", "128", "-O", "^resize_inode"),
    ("-t", "ext4", "-b", "1024", "-O", "^has_journal,^resize_inode"),
    ("-t", "ext4", "-b", "1024", "-I", "256", "-O", "inline_data,64bit,^has_journal,^resize_inode"),
    ("-t", "ext4", "-b", "1024", "-g", "256", "-O", "meta_bg,ea_inode,large_dir,^has_journal,^resize_inode,^flex_bg"),
    ("-t", "ext4", "-b", "1024", "-O", "bigalloc,^metadata_csum,^has_journal,^resize_inode", "-C", "2048"),
)
_TABLES = (
    b"label: gpt\nfirst-lba: 34\nstart=40, size=8, type=U\nstart=48, size=40, type=L, name=root\n",
    b"label: dos\nstart=4, size=8, type=c, bootable\nstart=16, size=80, type=5\nstart=20, size=8\nstart=40, size=8\n",
)


def fill_tree(root: Path) -> Path:
    """Write few files that use every structure: a directory of two blocks, pieces, long names, links."""
    (root / "d/e").mkdir(parents=True)
    (root / "many").mkdir()
    for index in range(30):
        (root / f"many/a-somewhat-longer-name-{index}").write_text(str(index))
    with (root / "d/pieces").open("wb") as file:
        for index in range(12):
            file.seek(index * 2048)
            file.write(b"x" * 1024)
    (root / "d/e/plain").write_bytes(b"y" * 9_000)
    (root / "d/fast").symlink_to("../many")
    (root / "d/slow").symlink_to("/" + "z" * 100)
    return root


def make_ext4_seeds(work: Path) -> list[bytes]:
    """Return ext2 and ext4 of a few features, of 192 KiB."""
    tree = fill_tree(work / "tree")
    seeds = []
    for options in EXT4:
        path = work / "ext4.raw"
        path.unlink(missing_ok=True)
        run(["mke2fs", "-q", "-F", "-N", "64", *options, "-d", os.fspath(tree), os.fspath(path), "192k"])
        run(["debugfs", "-w", "-R", "ea_set /d/e/plain user.x hello", os.fspath(path)])
        seeds.append(path.read_bytes())
    return seeds


def make_fat_seeds(work: Path) -> list[bytes]:
    """Return a FAT12, a FAT16 and a FAT32; the last one is cut down to what is used of it, which Linux mounts."""
    tree = fill_tree(work / "fat-tree")
    seeds = []
    for options in (("-T", "256"), ("-T", "4400", "-c", "1"), ("-F", "-T", "70000", "-c", "1")):
        path = work / "fat.raw"
        path.unlink(missing_ok=True)
        run(["mformat", "-C", "-i", os.fspath(path), "-d", "1", "-h", "2", "-s", "16", *options, "-v", "EFI", "::"])
        for name in ("many", "d/e", "d/pieces"):
            run(["mcopy", "-s", "-i", os.fspath(path), os.fspath(tree / name), "::/"])
        seeds.append(_crop_fat(path.read_bytes()))
    return seeds


def _crop_fat(data: bytes) -> bytes:
    if any(data[22:24]):
        return data
    reserved, sectors = struct.unpack_from("<H", data, 14)[0], struct.unpack_from("<I", data, 36)[0]
    kept = 4  # sectors of the table: 512 clusters
    cropped = bytearray(data[: (reserved + kept) * 512] + data[(reserved + sectors) * 512 :])
    del cropped[(reserved + kept + 500) * 512 :]
    struct.pack_into("<I", cropped, 36, kept)
    struct.pack_into("<I", cropped, 32, len(cropped) // 512)
    return bytes(cropped)


def make_xfs_seeds(work: Path) -> list[bytes]:
    """Return the place of an XFS's log, its first sector, and 8 KiB of the log."""
    data = make_xfs(fill_tree(work / "xfs-tree"), work / "xfs.raw").read_bytes()
    block, start = struct.unpack_from(">I", data, 4)[0], struct.unpack_from(">Q", data, 48)[0]
    group_blocks, logarithm = struct.unpack_from(">I", data, 84)[0], data[124]
    log = ((start >> logarithm) * group_blocks + (start & (1 << logarithm) - 1)) * block
    return [struct.pack("<Q", log) + data[:512] + data[log : log + 8192]]


def make_table_seeds(work: Path) -> list[bytes]:
    """Return a disk with a GPT and one with an MBR and logical partitions, of 64 KiB."""
    seeds = []
    for number, script in enumerate(_TABLES):
        path = work / f"table-{number}.raw"
        path.touch()
        os.truncate(path, 64 << 10)
        run(["sfdisk", "-q", os.fspath(path)], stdin=script)
        seeds.append(path.read_bytes())
    return seeds


def make_disk_seeds(work: Path) -> list[bytes]:
    """Return whole disks: a GPT with a FAT and an ext4, an MBR with an ext2, and filesystems without a table."""
    ext4, fat = make_ext4_seeds(work), make_fat_seeds(work)
    seeds = [ext4[1], fat[0]]
    scripts = (
        b"label: gpt\nfirst-lba: 34\nstart=40, size=256, type=U\nstart=296, size=384, type=L\n",
        b"label: dos\nstart=40, size=256, type=c\nstart=296, size=384, type=83\n",
    )
    for number, script in enumerate(scripts):
        path = work / f"disk-{number}.raw"
        path.touch()
        os.truncate(path, 360 << 10)
        run(["sfdisk", "-q", os.fspath(path)], stdin=script)
        data = bytearray(path.read_bytes())
        for place, part in ((40, fat[0]), (296, ext4[number])):
            data[place * 512 : place * 512 + len(part)] = part
        seeds.append(bytes(data))
    return seeds


def make_qcow2_seeds(work: Path) -> list[bytes]:
    """Return small qcow2 images: plain, version 2, packed by zlib and zstd, with subclusters, with a snapshot."""
    raw, path = work / "raw", work / "image.qcow2"
    raw.write_bytes(b"".join((b"%d" % index * 512)[:512] if index % 3 else bytes(512) for index in range(48)))
    seeds = []
    kinds: tuple[tuple[Sequence[str], str], ...] = (
        ((), "cluster_size=512"),
        ((), "cluster_size=512,compat=0.10"),
        (("-c",), "cluster_size=4k"),
        (("-c",), "cluster_size=4k,compression_type=zstd"),
        ((), "cluster_size=16k,extended_l2=on"),
    )
    for packed, options in kinds:
        path.unlink(missing_ok=True)
        run(["qemu-img", "convert", "-O", "qcow2", *packed, "-o", options, os.fspath(raw), os.fspath(path)])
        seeds.append(path.read_bytes())
    run(["qemu-img", "snapshot", "-c", "first", os.fspath(path)])
    return [*seeds, path.read_bytes()]


def make_container_seeds(work: Path) -> list[bytes]:
    """Return one file of each kind that a disk may be kept in."""
    return [*make_qcow2_seeds(work)[:3], *make_stream_seeds(work), *make_vmdk_seeds(work), *make_vhdx_seeds(work)]


def make_stream_seeds(work: Path) -> list[bytes]:
    """Return one disk packed by each of the four, and one of two frames."""
    disk = make_table_seeds(work)[0][:8192] + bytes(70_000)
    frames = zstd.compress(disk, 3) + b"\x50\x2a\x4d\x18\4\0\0\0skip" + zstd.compress(b"more")
    return [zstd.compress(disk, 3), frames, lzma.compress(disk), gzip.compress(disk, mtime=0), bz2.compress(disk)]


def _convert(work: Path, form: str, options: str) -> bytes:
    raw, path = work / "small.raw", work / f"image.{form}"
    raw.write_bytes(b"x" * 512 + bytes(65_024))
    run(["qemu-img", "convert", "-O", form, "-o", options, os.fspath(raw), os.fspath(path)])
    return path.read_bytes()


def make_vmdk_seeds(work: Path) -> list[bytes]:
    """Return the beginnings of VMDK disks of the two kinds that are read."""
    kinds = ("monolithicSparse", "streamOptimized")
    return [_convert(work, "vmdk", f"subformat={kind}")[: 64 << 10].rstrip(b"\0") + bytes(512) for kind in kinds]


def make_vhdx_seeds(work: Path) -> list[bytes]:
    """Return the beginning of a VHDX disk, up to its metadata, which is moved forward to keep it small."""
    data = bytearray(_convert(work, "vhdx", "log_size=1M"))
    for table in (192 << 10, 256 << 10):
        for entry in range(int.from_bytes(data[table + 8 : table + 12], "little")):
            at = table + 16 + 32 * entry
            place = int.from_bytes(data[at + 16 : at + 24], "little")
            if data[place : place + 8] == b"metadata":
                data[320 << 10 : 321 << 10] = data[place : place + 1024]
                data[(320 << 10) + 1024 : (320 << 10) + 2048] = data[place + (64 << 10) : place + (64 << 10) + 1024]
                for item in range(int.from_bytes(data[place + 10 : place + 12], "little")):
                    offset = (320 << 10) + 32 + 32 * item + 16
                    value = int.from_bytes(data[offset : offset + 4], "little") - (64 << 10) + 1024
                    data[offset : offset + 4] = value.to_bytes(4, "little")
                data[at + 16 : at + 24] = (320 << 10).to_bytes(8, "little")
                break
    return [bytes(data[: 323 << 10])]


def make_lvm_seeds(_: Path) -> list[bytes]:
    """Return a physical volume with two logical volumes."""
    text = make_lvm_texts(Path())[0].decode()
    return [bytes(write_physical(DATA_START + 4 * MIB, text)[: 16 << 10])]


def make_lvm_texts(_: Path) -> list[bytes]:
    """Return a group's metadata as LVM writes it, which a test shows to be what pvck(8) accepts."""
    volumes = (Lv("root", ((0, 1, 2), (0, 0, 1))), Lv("swap-1", ((0, 3, 1),)))
    other = (Lv("pool", ((0, 0, 1),), type="thin-pool"), Lv("hidden", ((0, 1, 1),), visible=False))
    return [write_text(each, extents=4).encode() for each in (volumes, other)]


def make_rpm_header(name: str = "bash", version: str = "5.2", release: str = "1.fc41") -> bytes:
    """Return a header with the tags that are read, after rpm's docs/manual/hregions.md."""
    store, entries = b"", []
    for tag, value in ((1000, name), (1001, version), (1002, release), (1022, "x86_64")):
        entries.append((tag, 6, len(store), 1))
        store += value.encode() + b"\0"
    store += bytes(-len(store) % 4)
    for tag, number in ((1003, 2), (1008, 1_700_000_000)):
        entries.append((tag, 4, len(store), 1))
        store += number.to_bytes(4, "big")
    index = b"".join(struct.pack(">IIII", *entry) for entry in entries)
    return struct.pack(">II", len(entries), len(store)) + index + store


def make_rpm_headers(_: Path) -> list[bytes]:
    """Return two headers."""
    return [make_rpm_header(), make_rpm_header("gpg-pubkey", "1", "2")]


def make_rpm_seeds(work: Path) -> list[bytes]:
    """Return a database with two packages, made by SQLite."""
    return [
        _make_database(
            work / "rpmdb.sqlite",
            "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)",
            "INSERT INTO Packages (blob) VALUES (?)",
            make_rpm_headers(work),
        )
    ]


def make_nix_seeds(work: Path) -> list[bytes]:
    """Return a registration as text and as a database."""
    paths = [f"/nix/store/{'0123456789abcdfghijklmnpqrsvwxyz'}-{name}" for name in ("bash-5.2", "etc", "linux-6.6.1")]
    text = "".join(f"{path}\nsha256:00\n120\n\n1\n{paths[0]}\n" for path in paths).encode()
    schema = "CREATE TABLE ValidPaths (id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, narSize INTEGER)"
    return [text, _make_database(work / "db.sqlite", schema, "INSERT INTO ValidPaths (path) VALUES (?)", paths)]


def _make_database(path: Path, schema: str, insert: str, values: Sequence[object]) -> bytes:
    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size = 1024")
    connection.execute(schema)
    connection.executemany(insert, [(value,) for value in values])
    connection.commit()
    connection.close()
    return path.read_bytes()


def make_cpio_seeds(_: Path) -> list[bytes]:
    """Return an initrd with microcode in front of a packed archive, in several packings, and a plain one."""
    plain = initrd.make_cpio(dict(sorted(initrd.CONTENT.items())))
    early = initrd.make_cpio(initrd.MICROCODE)
    return [initrd.make_initrd(), plain, early + bytes(512) + zstd.compress(plain), lzma.compress(plain)]


def copy_seeds(seeds: Sequence[bytes], directory: Path) -> int:
    """Write each seed as a file of ``directory`` and return the largest one's length."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    for seed in seeds:
        (directory / f"{zlib.crc32(seed):08x}").write_bytes(seed)
    return max(map(len, seeds))
