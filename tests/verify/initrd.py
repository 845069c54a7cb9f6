"""Initial RAM disks in miniature, as mkinitramfs makes them: microcode in front, then the compressed archive."""

import gzip
from collections.abc import Mapping

KERNEL = "6.1.0-1-cloud-amd64"
MODULES = f"usr/lib/modules/{KERNEL}/kernel/drivers"
MICROCODE = {"kernel": None, "kernel/x86": None, "kernel/x86/microcode": None, "kernel/x86/microcode/a.bin": b"code"}
CONTENT: dict[str, bytes | None] = {
    ".": None,
    "conf": None,
    "conf/arch.conf": b"DPKG_ARCH=amd64\n",
    "conf/initramfs.conf": b"# made by a test\nMODULES=dep\nBUSYBOX=auto\n",
    "etc": None,
    "etc/fstab": b"",
    "etc/udev/udev.conf": b"#udev_log=info\n",
    "init": b"#!/bin/sh\n",
    "scripts/local": b"#!/bin/sh\n",
    "usr": None,
    "usr/bin/sh": b"program",
    f"{MODULES}/block/virtio_blk.ko": b"module" * 50,
    f"{MODULES}/scsi/virtio_scsi.ko.xz": b"module" * 50,
    f"{MODULES}/virtio/virtio_pci.ko.zst": b"module" * 50,
}


def make_cpio(members: Mapping[str, bytes | None], *, trailer: bool = True) -> bytes:
    """Return a newc archive of files, and of directories where the content is ``None``."""
    archive = bytearray()
    for number, (name, content) in enumerate({**members, **({"TRAILER!!!": b""} if trailer else {})}.items()):
        mode = 0o40755 if content is None else 0o100644
        fields = (number, mode, 0, 0, 1, 0, len(content or b""), 0, 0, 0, 0, len(name.encode()) + 1, 0)
        archive += b"070701" + b"".join(f"{field:08X}".encode() for field in fields) + name.encode() + b"\0"
        archive += bytes(-len(archive) % 4) + (content or b"")
        archive += bytes(-len(archive) % 4)
    return bytes(archive)


def make_initrd(changes: Mapping[str, bytes | None] | None = None, *, without: str = "\n") -> bytes:
    """Return the clean initrd with members changed or added, and those whose name contains ``without`` left out."""
    members = {name: content for name, content in {**CONTENT, **(changes or {})}.items() if without not in name}
    plain = make_cpio(MICROCODE)
    return plain + bytes(-len(plain) % 512) + gzip.compress(make_cpio(dict(sorted(members.items()))), 1, mtime=0)
