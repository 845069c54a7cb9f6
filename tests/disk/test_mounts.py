"""Filesystems of one disk seen as one tree: which volume an fstab line means, and what cannot be read refuses."""

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.ext4.filesystem import open_ext4
from imagekit.disk.mounts import MountUnreadable, mount_volumes
from imagekit.disk.partitions.gpt import Partition
from imagekit.disk.probe import FilesystemKind
from imagekit.disk.tree import FileTree, read_attribute
from imagekit.disk.volume import Volume
from imagekit.host import run

GUID = "AAAAAAAA-1111-2222-3333-444455556666"
UUID = "0a0b0c0d-1111-2222-3333-444455556666"
PARTITION = Partition(3, "", GUID, 2048, 4095, "srv", 0)
NAMES = ("/dev/vg/data", "/dev/mapper/vg-data")


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Callable[..., FileTree]]:
    """Return a function that mounts one volume into a root whose fstab has one line."""
    with contextlib.ExitStack() as opened:

        def make_volume(files: dict[str, str], image: Path, **facts: Any) -> Volume:
            for name, text in files.items():
                place = image.with_suffix("") / name
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text)
            run(["mke2fs", "-q", "-F", "-d", os.fspath(image.with_suffix("")), os.fspath(image), "2M"])
            disk = opened.enter_context(open_raw(image))
            return Volume(kind=FilesystemKind.EXT4, filesystem=open_ext4(disk), window=disk, **facts)

        def mount_one(line: str, *, problem: str = "") -> FileTree:
            (tmp_path / "data/sub").mkdir(parents=True)
            (tmp_path / "data/sub/link").symlink_to("/etc/fstab")
            fstab = f"# fstab\nshort line\n{line}\n"
            first = make_volume({"etc/fstab": fstab, "srv/inner/file": ""}, tmp_path / "root.ext4", partition=None)
            second = make_volume(
                {"here": "mounted"},
                tmp_path / "data.ext4",
                partition=PARTITION,
                uuid=UUID,
                label="data",
                device_names=NAMES,
            )
            if problem:
                second = replace(second, filesystem=None, problem=problem)
            return mount_volumes(first, (first, second))

        yield mount_one


@pytest.mark.parametrize(
    "source",
    [
        f"UUID={UUID}",
        f'UUID="{UUID.upper()}"',
        "LABEL=data",
        f"PARTUUID={GUID.lower()}",
        "PARTLABEL=srv",
        f"/dev/disk/by-uuid/{UUID}",
        "/dev/disk/by-label/data",
        f"/dev/disk/by-partuuid/{GUID.lower()}",
        "/dev/disk/by-partlabel/srv",
        "/dev/vg/data",
        "/dev/mapper/vg-data",
    ],
)
def test_every_way_to_name_a_volume(source: str, mount: Callable[..., FileTree]) -> None:
    """Each form of fstab(5)'s first field finds its volume, and links in it lead through the whole tree."""
    tree = mount(f"{source} /srv ext4 defaults 0 2")
    assert tree.read("/srv/here") == b"mounted"
    assert tree.lstat("/srv/inner") is None
    assert tree.resolve("/srv/sub/link") == "/etc/fstab"


@pytest.mark.parametrize(
    "line",
    [
        "UUID=0a0b0c0d-0000-0000-0000-000000000000 /srv ext4 defaults 0 2",
        "LABEL=Data /srv ext4 defaults 0 2",
        "UUID= /srv ext4 defaults 0 2",
        "KIND=data /srv ext4 defaults 0 2",
        "/dev/mapper/vg-other /srv ext4 defaults 0 2",
        "/dev/disk/by-path/data /srv ext4 defaults 0 2",
        "LABEL=data /missing ext4 defaults 0 2",
        "LABEL=data / ext4 defaults 0 2",
        "LABEL=data none swap sw 0 0",
        "#LABEL=data /srv ext4 defaults 0 2",
        "LABEL=data /srv",
    ],
)
def test_lines_that_mount_nothing(line: str, mount: Callable[..., FileTree]) -> None:
    """A line that names another volume, no place, or too little leaves the root's own directory visible."""
    tree = mount(line)
    assert tree.names("/srv") == ("inner",)


def test_unread_volume_refuses(mount: Callable[..., FileTree]) -> None:
    """What is mounted and cannot be read is not taken for empty, by whatever way it is asked."""
    tree = mount("LABEL=data /srv ext4 defaults 0 2", problem="btrfs is not read")
    node = tree.stat("/srv")
    assert node is not None
    source = tree.source
    for ask in (
        lambda: tree.read("/srv/here"),
        lambda: tree.names("/srv"),
        lambda: list(tree.walk("/srv")),
        lambda: source.data(node, 10),
        lambda: source.target(node),
        lambda: read_attribute(source, node, "user.x"),
    ):
        with pytest.raises(MountUnreadable, match=r"/srv is on a filesystem of its own, .*: btrfs is not read"):
            ask()
    assert tree.names("/etc") == ("fstab",)
