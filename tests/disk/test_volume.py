"""What is on a disk: one volume for each partition, then the logical ones, each with its names and its reasons."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.partitions.gpt import PartitionTable, read_gpt
from imagekit.disk.probe import FilesystemKind
from imagekit.disk.volume import Volume, open_volumes
from imagekit.disk.window import Readable
from imagekit.host import run
from tests.disk.made_lvm import DATA_START, EXTENT, MIB, PV_UUID, Lv, make_uuid, write_physical, write_text
from tests.disk.made_xfs import make_xfs

Memory = Callable[[bytes | bytearray], Readable]


def open_all(disk: Readable, table: PartitionTable | None = None) -> tuple[Volume, ...]:
    """Return the volumes for a look at their facts."""
    with open_volumes(disk, table) as volumes:
        return volumes


def test_partitions_in_their_order(tmp_path: Path, make_ext4: Callable[..., Path]) -> None:
    """FAT, ext4, XFS, swap and nothing: kind, UUID and label of each, and the bytes they are in."""
    disk = tmp_path / "disk"
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("on XFS")
    fat = tmp_path / "fat"
    run(["mformat", "-C", "-i", os.fspath(fat), "-f", "1440", "-N", "1BADF00D", "-v", "BOOT", "::"])
    xfs = make_xfs(source, tmp_path / "xfs", label="data")
    swap = tmp_path / "swap"
    swap.write_bytes(bytes(MIB))
    uuid = "12345678-1111-2222-3333-444455556666"
    run(["mkswap", "-q", "-L", "pages", "-U", uuid, os.fspath(swap)])
    contents = [fat.read_bytes(), make_ext4(None, "4M", "-L", "system").read_bytes(), xfs.read_bytes()]
    contents += [swap.read_bytes(), bytes(MIB)]
    disk.touch()
    lines, offset, places = ["label: gpt"], MIB, []
    for content in contents:
        length = -(-len(content) // MIB) * MIB
        lines.append(f"start={offset // 512}, size={length // 512}")
        places.append((offset, content))
        offset += length
    os.truncate(disk, offset + MIB)
    run(["sfdisk", "-q", os.fspath(disk)], stdin="\n".join(lines).encode())
    with disk.open("r+b") as file:
        for place, content in places:
            file.seek(place)
            file.write(content)
    with open_raw(disk) as raw, open_volumes(raw, read_gpt(raw)) as volumes:
        assert [(each.device, each.kind, each.label) for each in volumes] == [
            ("partition 1", FilesystemKind.VFAT, "BOOT"),
            ("partition 2", FilesystemKind.EXT4, "system"),
            ("partition 3", FilesystemKind.XFS, "data"),
            ("partition 4", FilesystemKind.SWAP, "pages"),
            ("partition 5", FilesystemKind.UNKNOWN, ""),
        ]
        assert (volumes[0].uuid, volumes[3].uuid) == ("1BAD-F00D", uuid)
        assert [bool(each.filesystem) for each in volumes] == [True, True, True, False, False]
        assert volumes[3].problem == "the partition holds swap space, which cannot be read"
        assert volumes[4].contents == "nothing that is recognised"
        opened = volumes[2].filesystem
        assert opened is not None
        assert list(opened.children(opened.root())) == ["file"]
        for volume, content in zip(volumes, contents, strict=True):
            assert volume.window is not None
            assert volume.window.read(0, len(content)) == content
        assert not any(volume.is_logical for volume in volumes)


def test_whole_disk(memory: Memory, make_ext4: Callable[..., Path]) -> None:
    """A disk without a table is one volume; damage in it is its problem."""
    data = bytearray(make_ext4(None, "4M").read_bytes())
    (volume,) = open_all(memory(data))
    assert (volume.device, volume.kind, volume.problem, volume.contents) == ("whole disk", "ext4", "", "ext4")
    data[1024 + 24 : 1024 + 28] = b"\xff" * 4
    (volume,) = open_all(memory(data))
    assert volume.filesystem is None
    assert volume.problem
    assert volume.contents == f"ext4: {volume.problem}"


def test_logical_volumes(memory: Memory, make_ext4: Callable[..., Path]) -> None:
    """Logical volumes follow the partitions, with names, UUIDs, reasons and bytes; LVM inside LVM is not opened."""
    data = make_ext4(None, "4M", "-L", "data").read_bytes()
    inner = bytes(write_physical(4 * MIB, ""))
    text = write_text((Lv("data", ((0, 0, 4),)), Lv("thin", ((0, 0, 1),), type="thin"), Lv("inner", ((0, 4, 4),))))
    disk = write_physical(DATA_START + 64 * EXTENT, text)
    disk[DATA_START : DATA_START + 4 * EXTENT] = data
    disk[DATA_START + 4 * EXTENT : DATA_START + 8 * EXTENT] = inner
    physical, first, thin, nested = open_all(memory(disk))
    assert (physical.device, physical.uuid, physical.group) == ("whole disk", PV_UUID, "vg")
    assert physical.contents == "an LVM physical volume of the group vg"
    assert (first.device, first.label, first.kind, first.group) == ("LVM vg/data", "data", "ext4", "vg")
    assert first.is_logical
    assert first.window is not None
    assert first.window.read(0, 4 * EXTENT) == data
    assert (thin.window, thin.filesystem) == (None, None)
    assert "it is of the type 'thin'" in thin.contents
    assert nested.contents == "an LVM physical volume of the group vg: LVM inside LVM is not read"
    assert make_uuid("a") not in {each.uuid for each in (first, thin)}  # a volume's UUID is not its filesystem's


@pytest.mark.parametrize("changed", [False, True])
def test_encrypted_volume(changed: bool, memory: Memory) -> None:
    """LUKS is recognised with its UUID and never opened."""
    data = bytearray(MIB)
    data[:8] = b"LUKS\xba\xbe\0\2"
    data[0xA8 : 0xA8 + 36] = b"\xff" * 36 if changed else b"0a0b0c0d-1111-2222-3333-444455556666"
    (volume,) = open_all(memory(data))
    assert volume.kind is FilesystemKind.LUKS
    assert changed or volume.uuid == "0a0b0c0d-1111-2222-3333-444455556666"
    assert volume.problem == "the partition holds an encrypted volume (LUKS), which cannot be read"
    assert len(volume.uuid) == 36
