"""The root filesystem, read back by our own reader and checked by e2fsck."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build import mke2fs
from imagekit.build.layout import DiskLayout, plan_layout
from imagekit.build.mke2fs import is_reproducible, write_root
from imagekit.definition.model import MIB, ImageDefinition
from imagekit.disk.containers.raw import open_raw
from imagekit.disk.ext4.filesystem import open_ext4
from imagekit.disk.tree import FileTree, FileType
from imagekit.errors import DefinitionInvalid
from imagekit.host import run
from tests.build.conftest import EPOCH


def make_root(directory: Path) -> Path:
    """Return a tree with a file, a set-uid file, a link and a closed directory."""
    root = directory / "root"
    (root / "etc").mkdir(parents=True)
    (root / "root").mkdir(mode=0o700)
    (root / "etc/hostname").write_text("unit\n")
    (root / "su").write_bytes(b"\x7fELF")
    (root / "su").chmod(0o4755)
    (root / "link").symlink_to("etc/hostname")
    os.utime(root / "etc/hostname", (EPOCH - 100, EPOCH - 100))
    return root


def make_disk(path: Path, layout: DiskLayout) -> Path:
    """Return an empty disk file."""
    with path.open("wb") as file:
        file.truncate(layout.size)
    return path


def test_root_holds_the_tree(definition: ImageDefinition, tmp_path: Path) -> None:
    """Identity, files, modes and times are those asked for, and e2fsck finds nothing wrong."""
    layout = plan_layout(definition)
    disk = make_disk(tmp_path / "disk.raw", layout)
    write_root("mke2fs", disk, layout, make_root(tmp_path), EPOCH)
    with open_raw(disk) as raw:
        filesystem = open_ext4(raw.window(layout.root_offset, layout.root_size))
        assert (filesystem.uuid, filesystem.label) == (layout.root_uuid, "root")
        assert filesystem.state_clean
        assert not filesystem.needs_recovery
        tree = FileTree(filesystem)
        assert tree.read("/etc/hostname") == b"unit\n"
        assert tree.readlink("/link") == "etc/hostname"
        nodes = dict(tree.walk())
        assert (nodes["/su"].mode & 0o7777, nodes["/root"].mode & 0o7777) == (0o4755, 0o700)
        assert nodes["/etc/hostname"].mtime == EPOCH - 100
        assert nodes["/root"].type is FileType.DIRECTORY
    said = run(["e2fsck", "-fn", f"{disk}?offset={layout.root_offset}"], check=False)
    assert said.status == 0, said.errors


def test_machines_configuration_does_not_count(
    definition: ImageDefinition, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The features are ours, whatever mke2fs.conf of this machine or an environment says."""
    (tmp_path / "odd.conf").write_text("[defaults]\nbase_features = sparse_super\nblocksize = 1024\ninode_size = 128\n")
    monkeypatch.setenv("MKE2FS_CONFIG", os.fspath(tmp_path / "odd.conf"))
    layout = plan_layout(definition)
    disk = make_disk(tmp_path / "disk.raw", layout)
    write_root("mke2fs", disk, layout, make_root(tmp_path), EPOCH)
    said = run(["debugfs", "-R", "stats -h", f"{disk}?offset={layout.root_offset}"]).output.decode()
    facts = {line.split(":")[0]: line.split(":", 1)[1].strip() for line in said.splitlines() if ":" in line}
    assert facts["Block size"] == "4096"
    assert facts["Inode size"] == "256"
    features = set(facts["Filesystem features"].split())
    assert {"has_journal", "extent", "metadata_csum", "64bit", "resize_inode"} <= features
    assert not {"metadata_csum_seed", "orphan_file"} & features


def test_contents_larger_than_the_disk(definition: ImageDefinition, tmp_path: Path) -> None:
    """A tree that does not fit is the definition's mistake and names the size to change."""
    layout = plan_layout(replace(definition, size=112 * MIB))
    root = make_root(tmp_path)
    with (root / "large").open("wb") as file:
        for _ in range(80):
            file.write(os.urandom(MIB))
    with pytest.raises(DefinitionInvalid) as caught:
        write_root("mke2fs", make_disk(tmp_path / "disk.raw", layout), layout, root, EPOCH)
    assert caught.value.message == f"the packages do not fit a root of {layout.root_size // MIB} MiB"
    assert "size" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.46.5", False),
        ("1.47.0", False),
        ("1.47.1", True),
        ("1.47.2", True),
        ("1.48", True),
        ("2.0", True),
        ("", False),
    ],
)
def test_versions_that_are_reproducible(monkeypatch: pytest.MonkeyPatch, version: str, expected: bool) -> None:
    """From 1.47.1 on; a program that tells no version is not."""
    monkeypatch.setattr(mke2fs, "read_version", lambda _: version)
    assert is_reproducible("mke2fs") is expected


def test_version_of_a_program_elsewhere_is_read(tmp_path: Path) -> None:
    """A newer mke2fs given by its path tells its version like the system's."""
    program = tmp_path / "mke2fs"
    program.write_text('#!/bin/sh\n[ "$1" = -V ] && echo "mke2fs 1.47.2 (1-Jan-2025)" >&2\n')
    program.chmod(0o755)
    assert is_reproducible(os.fspath(program))
