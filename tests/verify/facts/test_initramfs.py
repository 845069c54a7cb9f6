"""The default initrd, unpacked only as far as somebody asks."""

import gzip
import os
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged
from imagekit.verify.facts.boot_files import name_module, read_built_in, read_kernel_version, read_modules
from imagekit.verify.facts.initramfs import open_initramfs
from imagekit.verify.view import CannotSee, View, ViewKind
from tests.verify.clean_tree import write
from tests.verify.initrd import make_cpio, make_initrd

GRUB = "linux /boot/vmlinuz-6.1 root=UUID=1\ninitrd /boot/initrd.img-6.1\n"


def make(root: Path, initrd: bytes | None, files: dict[str, str] | None = None) -> View:
    """Return a view over a tree with one boot entry and this initrd."""
    for path, content in {"/boot/grub/grub.cfg": GRUB, "/boot/vmlinuz-6.1": "k", **(files or {})}.items():
        write(root, path, content)
    if initrd is not None:
        write(root, "/boot/initrd.img-6.1", initrd)
    return View(ViewKind.DIRECTORY, FileTree(Directory(root)))


def test_head_ends_before_the_modules(tmp_path: Path) -> None:
    """What lies behind the settings and accounts of a sorted archive is not unpacked for them."""
    program = os.urandom(400_000)
    members = {"etc/passwd": b"root:x:0:0::/:\n", "init": b"x", "usr/bin/sh": program, "usr/lib/a": b""}
    broken = gzip.compress(make_cpio(members))[:-300]
    initramfs = open_initramfs(make(tmp_path, broken))
    initramfs.read_head()
    assert [kept.member.name for kept in initramfs.kept] == ["etc/passwd"]
    with pytest.raises(ImageDamaged, match="too early"):
        initramfs.read_all()
    with pytest.raises(ImageDamaged, match="too early"):
        initramfs.find_modules(frozenset({"virtio_pci"}))


def test_unsorted_archive_is_read_to_its_end(tmp_path: Path) -> None:
    """Where names come in no order, a secret may be anywhere."""
    content = make_cpio({"init": b"x", "usr/bin/sh": b"y", "etc/shadow": b"root:*:\n", "usr/lib/x": b"z"})
    initramfs = open_initramfs(make(tmp_path, content[:0] + make_cpio({"z": b"", "init": b"x"}) + content))
    initramfs.read_head()
    assert "etc/shadow" not in [kept.member.name for kept in initramfs.kept]
    mixed = make_cpio({"scripts/a": b"", "init": b"x", "usr/bin/sh": b"y", "etc/shadow": b"root:*:\n"})
    initramfs = open_initramfs(make(tmp_path, mixed))
    initramfs.read_head()
    assert [kept.member.name for kept in initramfs.kept] == ["etc/shadow"]


def test_settings_inside_are_merged_as_mkinitramfs_does(tmp_path: Path) -> None:
    """Files of conf.d override initramfs.conf."""
    initrd = make_initrd({"conf/conf.d/a": b"MODULES=most\n", "conf/initramfs.conf": b"MODULES=dep\nKEYMAP=n # no\n"})
    settings = open_initramfs(make(tmp_path, initrd)).read_settings()
    assert (settings["MODULES"], settings["KEYMAP"]) == ("most", "n")


def test_modules_of_the_default_kernel_are_found(tmp_path: Path) -> None:
    """Only the modules for the kernel that is booted count."""
    initrd = make_cpio({"usr/lib/modules/6.1/virtio-blk.ko.xz": b"", "usr/lib/modules/5.0/virtio_pci.ko": b""})
    initramfs = open_initramfs(make(tmp_path, initrd))
    assert initramfs.find_modules(frozenset({"virtio_blk", "virtio_pci"})) == {"virtio_blk"}


def test_missing_initrd_is_not_seen(tmp_path: Path) -> None:
    """A file that is not there is another check's finding."""
    with pytest.raises(CannotSee, match="does not exist"):
        open_initramfs(make(tmp_path, None))


def test_lz4_is_not_observed(tmp_path: Path) -> None:
    """A compression without a reader is said, and nothing passes."""
    initramfs = open_initramfs(make(tmp_path, b"\x02\x21\x4c\x18" + bytes(40)))
    with pytest.raises(CannotSee, match="lz4"):
        initramfs.read_head()


def test_kernel_lists_are_read(tmp_path: Path) -> None:
    """Built-in and loadable modules come from the lists beside the default kernel's modules."""
    lists = {
        "/usr/lib/modules/6.1/modules.builtin": "kernel/drivers/virtio/virtio-pci.ko\n",
        "/usr/lib/modules/6.1/modules.dep": "kernel/a-b.ko.xz: kernel/c.ko.xz\nkernel/c.ko.xz:\n",
    }
    view = make(tmp_path, b"", lists)
    assert read_kernel_version(view) == "6.1"
    assert read_built_in(view) == {"virtio_pci"}
    assert read_modules(view) == {"a_b", "c"}


def test_kernel_install_layout_has_its_version_in_the_directory(tmp_path: Path) -> None:
    """kernel-install's files are called linux and initrd."""
    files = {"/boot/grub/grub.cfg": "linux /boot/token/6.9/linux\n", "/boot/token/6.9/linux": "k"}
    view = make(tmp_path, None, {**files, "/usr/lib/modules/6.9/modules.dep": "a.ko:\n"})
    assert read_kernel_version(view) == "6.9"


def test_module_names() -> None:
    """A module's name has neither directory nor compression, and underscores."""
    assert [name_module(path) for path in ("a/virtio-blk.ko.zst", "b.ko", "a/.konfig/x", "init")] == [
        "virtio_blk",
        "b",
        "",
        "",
    ]
