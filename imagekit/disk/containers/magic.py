"""What an image file is, told by its magic numbers (file(1)'s database), never by its name."""

from enum import StrEnum
from typing import assert_never

from imagekit.disk.window import Readable

START_BYTES = 512
_FOOTER_BYTES = 512


class Container(StrEnum):
    """What a disk may be kept in; a raw disk is in no container."""

    QCOW2 = "qcow2"
    VMDK = "VMDK"
    VHDX = "VHDX"
    ZSTD = "zstd"
    XZ = "xz"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    # Recognised so that nothing in them is taken for a disk's bytes, and not read.
    VMDK_TEXT = "VMDK descriptor"
    VMDK_COW = "VMDK (COWD)"
    VHD = "VHD"
    VDI = "VDI"
    QED = "QED"
    PARALLELS = "Parallels"
    ANDROID_SPARSE = "Android sparse"
    LZ4 = "lz4"
    LZIP = "lzip"
    ZIP = "zip"
    SEVEN_ZIP = "7z"
    TAR = "tar"


_MAGIC = (
    (0, b"QFI\xfb", Container.QCOW2),
    (0, b"KDMV", Container.VMDK),
    (0, b"COWD", Container.VMDK_COW),
    (0, b"# Disk DescriptorFile", Container.VMDK_TEXT),
    (0, b"vhdxfile", Container.VHDX),
    (0, b"conectix", Container.VHD),
    (0x40, b"\x7f\x10\xda\xbe", Container.VDI),
    (0, b"QED\0", Container.QED),
    (0, b"WithoutFreeSpace", Container.PARALLELS),
    (0, b"WithouFreSpacExt", Container.PARALLELS),
    (0, b"\x3a\xff\x26\xed", Container.ANDROID_SPARSE),
    (0, b"\x28\xb5\x2f\xfd", Container.ZSTD),
    # RFC 8878, 3.1.2: a skippable frame; pzstd(1) begins its files with one.
    *((0, bytes((low, 0x2A, 0x4D, 0x18)), Container.ZSTD) for low in range(0x50, 0x60)),
    (0, b"\xfd7zXZ\x00", Container.XZ),
    (0, b"\x1f\x8b", Container.GZIP),
    (0, b"BZh", Container.BZIP2),
    (0, b"\x04\x22\x4d\x18", Container.LZ4),
    (0, b"LZIP", Container.LZIP),
    (0, b"PK\x03\x04", Container.ZIP),
    (0, b"7z\xbc\xaf\x27\x1c", Container.SEVEN_ZIP),
    (257, b"ustar", Container.TAR),
)


def identify(file: Readable) -> Container | None:
    """Return the container that ``file`` is, from its first and last sector; ``None`` for a raw disk."""
    found = identify_start(file.read(0, min(START_BYTES, file.size)))
    if found is not None or file.size < _FOOTER_BYTES:
        return found
    # A fixed VHD is a raw disk with a footer. A GPT disk ends with a header of its own, so none looks like this.
    return Container.VHD if file.read(file.size - _FOOTER_BYTES, 8) == b"conectix" else None


def identify_start(start: bytes) -> Container | None:
    """Return the container that begins with the bytes ``start``, ideally 512 of them; ``None`` for a raw disk."""
    for offset, magic, container in _MAGIC:
        if start.startswith(magic, offset):
            return container
    return None


def suggest_conversion(container: Container, name: str) -> str:
    """Return a command that makes a raw disk of the file ``name``."""
    from shlex import quote

    file = quote(name)
    match container:
        case Container.ZSTD:
            return f"unpack it first: zstd -d {file}"
        case Container.XZ | Container.GZIP | Container.BZIP2 | Container.LZIP:
            return f"unpack it first: {container.value} -dk {file}"
        case Container.LZ4:
            return f"unpack it first: lz4 -d {file}"
        case Container.ZIP:
            return f"unpack it first: unzip {file}"
        case Container.SEVEN_ZIP:
            return f"unpack it first: 7z x {file}"
        case Container.TAR:
            return f"unpack it first: tar -xf {file}"
        case Container.ANDROID_SPARSE:
            return f"make it raw first: simg2img {file} {file}.raw"
        case (
            Container.QCOW2
            | Container.VMDK
            | Container.VHDX
            | Container.VMDK_TEXT
            | Container.VMDK_COW
            | Container.VHD
            | Container.VDI
            | Container.QED
            | Container.PARALLELS
        ):
            return f"make it raw first: qemu-img convert -O raw {file} {file}.raw"
        case _ as never:
            assert_never(never)
