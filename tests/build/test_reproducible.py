"""The whole builder, for real: twice, from nothing and from its cached base."""

import os
from pathlib import Path

import pytest

from imagekit.build import build_local, open_workspace
from imagekit.build.layout import plan_layout
from imagekit.definition.model import ImageDefinition
from imagekit.disk import FileTree, FileType, open_raw
from imagekit.disk.ext4 import open_ext4
from imagekit.image import BuiltImage
from imagekit.progress import Event

DEFINITION = ImageDefinition(name="template")
Facts = dict[str, tuple[object, ...]]


def describe_root(disk: Path, epoch: int) -> Facts:
    """Return every file of the root: type, mode, owner, content, attributes, and the time lowered to ``epoch``."""
    layout = plan_layout(DEFINITION)
    facts: Facts = {}
    with open_raw(disk) as raw:
        filesystem = open_ext4(raw.window(layout.root_offset, layout.root_size))
        tree = FileTree(filesystem)
        for path, node in tree.walk():
            content = hash(filesystem.data(node, 1 << 30)) if node.type is FileType.FILE else tree.readlink(path)
            capability = filesystem.xattr(node, "security.capability")
            time = min(node.mtime, epoch)
            facts[path] = (node.type, node.mode, node.uid, node.gid, content, capability, time)
    return facts


def build(cache: Path, mke2fs: str) -> tuple[BuiltImage, Facts, list[str]]:
    """Build the default template; return it, its files, and the stages on the way."""
    events: list[Event] = []
    with open_workspace(cache, DEFINITION.name) as workspace:
        built = build_local(DEFINITION, workspace, cache, mke2fs=mke2fs, progress=events.append)
        facts = describe_root(built.disk.path, 2**31 if built.provenance.reproducible else 0)
    return built, facts, [event.stage for event in events]


@pytest.mark.integration
def test_cached_base_gives_the_same_image(tmp_path: Path) -> None:
    """From nothing under one umask and from the cached base under another: the same files, and the same digest where
    mke2fs can do it; what every clone must have and must not have is there and is not.
    """
    mke2fs = os.environ.get("IMAGEKIT_TEST_MKE2FS", "mke2fs")
    before = os.umask(0o077)
    try:
        first, files, stages = build(tmp_path, mke2fs)
        os.umask(0o002)
        second, again, later = build(tmp_path, mke2fs)
    finally:
        os.umask(before)
    assert "saving the base root" in stages
    assert "unpacking the cached base root" in later
    assert files == again
    assert first.provenance.packages == second.provenance.packages
    assert first.provenance.reproducible == (first.provenance.reproducible_note == "")
    if first.provenance.reproducible:
        assert first.disk.digest == second.disk.digest
    assert files["/usr/bin/ping"][5] is not None
    assert not [path for path in files if "ssh_host_" in path or path.endswith(("-old", "shadow-", "resolv.conf.orig"))]
    assert not [
        path for path in files if path.startswith(("/var/lib/apt/lists/", "/dev/")) and not path.endswith("lock")
    ]
    assert files["/etc/apt/sources.list"][4] != hash(b"")
    assert files["/etc/machine-id"][4] == hash(b"")
