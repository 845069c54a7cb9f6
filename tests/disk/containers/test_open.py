"""Disk images are opened by their content: the name says nothing, and what is inside a disk is not asked."""

import bz2
import gzip
import lzma
import os
from pathlib import Path

import pytest
from backports import zstd

from imagekit.disk.containers.magic import Container, identify_start, suggest_conversion
from imagekit.disk.containers.open import open_disk
from imagekit.disk.containers.raw import NotADisk, open_raw
from imagekit.errors import ImageDamaged, ImageNamesHostFile
from imagekit.host import run


def make_qcow2(directory: Path, content: bytes = b"disk" * 25_600) -> Path:
    """Return a qcow2 image of a small disk."""
    raw, image = directory / "content.raw", directory / "disk.qcow2"
    raw.write_bytes(content)
    run(["qemu-img", "convert", "-t", "unsafe", "-f", "raw", "-O", "qcow2", os.fspath(raw), os.fspath(image)])
    return image


def test_name_does_not_matter(tmp_path: Path) -> None:
    """A raw disk called .qcow2 is raw, a qcow2 image called .raw is qcow2."""
    (tmp_path / "raw.qcow2").write_bytes(b"x" * 1024)
    image = make_qcow2(tmp_path).rename(tmp_path / "image.raw")
    with open_disk(tmp_path / "raw.qcow2") as disk:
        assert (disk.format, disk.size, disk.read(0, 4)) == ("raw", 1024, b"xxxx")
    with open_disk(image) as disk:
        assert (disk.format, disk.size, disk.read(0, 4)) == ("qcow2", 102_400, b"disk")
    with pytest.raises(NotADisk, match="is a qcow2 file, and a raw disk is needed"):
        open_raw(image)


def test_content_of_a_disk_is_not_asked_again(tmp_path: Path) -> None:
    """A disk whose first bytes, written by its guest, are a qcow2 image's stays the disk it is."""
    inner = make_qcow2(tmp_path).read_bytes().ljust(1 << 20, b"\0")
    with open_disk(make_qcow2(tmp_path, inner)) as disk:
        assert disk.size == len(inner)
        assert disk.read(0, len(inner)) == inner


@pytest.mark.parametrize(
    ("pack", "kind"),
    [(zstd.compress, "zstd"), (lzma.compress, "xz"), (gzip.compress, "gzip"), (bz2.compress, "bzip2")],
)
def test_packed_qcow2_is_opened(tmp_path: Path, pack: object, kind: str) -> None:
    """A qcow2 image that was packed, as distributions publish them, is unpacked and read."""
    assert callable(pack)
    path = tmp_path / "disk.packed"
    path.write_bytes(pack(make_qcow2(tmp_path).read_bytes()))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with open_disk(path, directory=tmp_path) as disk:
        assert (disk.format, disk.size, disk.path) == (kind, 102_400, path)
        assert disk.read(102_396, 4) == b"disk"
        assert list(disk.data_ranges()) == [(0, 102_400)]
    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # fewer: another test's was collected meanwhile


def test_packed_qcow2_with_backing_file_is_refused(tmp_path: Path) -> None:
    """Packing hides nothing: an image that names a file of this machine is refused all the same."""
    base, image = tmp_path / "base.raw", tmp_path / "disk.qcow2"
    base.write_bytes(b"CANARY" * 10_000)
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", os.fspath(base), os.fspath(image)])
    path = tmp_path / "disk.gz"
    path.write_bytes(gzip.compress(image.read_bytes()))
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(ImageNamesHostFile, match="backing file"):
        open_disk(path, directory=tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # fewer: another test's was collected meanwhile


@pytest.mark.parametrize(
    ("inner", "named"),
    [
        (gzip.compress(b"disk", mtime=0), "a gzip file"),
        (zstd.compress(b"disk"), "a zstd file"),
        (bytes(257) + b"ustar\x0000", "a tar file"),
        (b"KDMV\1\0\0\0", "a VMDK file"),
    ],
)
def test_packed_archive_is_refused(tmp_path: Path, inner: bytes, named: str) -> None:
    """What is packed must be a disk or qcow2: an archive, or a second packing, is named."""
    path = tmp_path / "rootfs.tar.xz"
    path.write_bytes(lzma.compress(inner.ljust(4096, b"\0")))
    with pytest.raises(NotADisk, match=f"is packed by xz and holds {named}") as caught:
        open_disk(path, directory=tmp_path)
    assert caught.value.hint == "unpack it first: xz -dk rootfs.tar.xz"


def test_packed_nothing_is_refused(tmp_path: Path) -> None:
    """A file that unpacks to no bytes is no disk."""
    path = tmp_path / "disk.gz"
    path.write_bytes(gzip.compress(b""))
    with pytest.raises(NotADisk, match="unpacks to nothing"):
        open_disk(path, directory=tmp_path)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"COWD", Container.VMDK_COW),
        (b"conectix", Container.VHD),
        (b"<<< disk >>>".ljust(64) + b"\x7f\x10\xda\xbe", Container.VDI),
        (b"QED\0", Container.QED),
        (b"WithoutFreeSpace", Container.PARALLELS),
        (b"\x3a\xff\x26\xed", Container.ANDROID_SPARSE),
        (b"\x04\x22\x4d\x18", Container.LZ4),
        (b"LZIP\1", Container.LZIP),
        (b"PK\x03\x04", Container.ZIP),
        (b"7z\xbc\xaf\x27\x1c", Container.SEVEN_ZIP),
        (bytes(257) + b"ustar", Container.TAR),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, start: bytes, kind: Container) -> None:
    """A kind that is not read is named together with the command that makes a raw disk of it."""
    path = tmp_path / "my disk"
    path.write_bytes(start.ljust(4096, b"\0"))
    with pytest.raises(NotADisk) as caught:
        open_disk(path)
    assert f"is a {kind.value} file, which is not read" in caught.value.message
    assert "'my disk'" in (caught.value.hint or "")


def test_fixed_vhd_is_told_by_its_footer(tmp_path: Path) -> None:
    """A fixed VHD begins like a raw disk, and is not taken for one that is 512 bytes too long."""
    path = tmp_path / "disk.vhd"
    path.write_bytes(bytes(8192) + b"conectix".ljust(512, b"\0"))
    with pytest.raises(NotADisk, match="is a VHD file"):
        open_disk(path)


def test_vmdk_description_is_refused(tmp_path: Path) -> None:
    """The text that only describes a VMDK disk names other files, and none of them is opened."""
    path = tmp_path / "disk.vmdk"
    path.write_text('# Disk DescriptorFile\nRW 8 FLAT "/etc/shadow" 0\n'.ljust(600))
    with pytest.raises(ImageNamesHostFile, match="description of a VMDK disk"):
        open_disk(path)


def test_every_container_can_be_converted() -> None:
    """Every kind has a command that names the file safely."""
    for kind in Container:
        assert "'a b; c'" in suggest_conversion(kind, "a b; c")


def test_raw_disk_is_in_no_container() -> None:
    """What begins with nothing known, a boot sector for example, is raw."""
    assert identify_start(b"") is None
    assert identify_start(b"\xeb\x63\x90".ljust(510, b"\0") + b"\x55\xaa") is None


def test_damaged_container_leaves_nothing_open(tmp_path: Path) -> None:
    """No descriptor is left behind when a container cannot be opened."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    for content in (b"QFI\xfb\0\0\0\3", b"\x28\xb5\x2f\xfdgarbage", b"BZhgarbage", b"\x1f\x8bgarbage"):
        (tmp_path / "disk").write_bytes(content)
        with pytest.raises(ImageDamaged):
            open_disk(tmp_path / "disk", directory=tmp_path)
    for content in (b"PK\x03\x04", b""):
        (tmp_path / "disk").write_bytes(content)
        with pytest.raises(NotADisk):
            open_disk(tmp_path / "disk", directory=tmp_path)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before  # fewer: another test's was collected meanwhile
