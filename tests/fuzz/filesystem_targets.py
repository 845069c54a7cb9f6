"""What is asked of a filesystem reader when its bytes were changed: everything that it can do."""

from contextlib import suppress

from imagekit.disk.block_map import find_free_space
from imagekit.disk.ext4.filesystem import open_ext4
from imagekit.disk.fat.filesystem import open_fat
from imagekit.disk.probe import probe_filesystem
from imagekit.disk.tree import FileTree, FileType
from imagekit.disk.window import Readable
from imagekit.disk.xfs.layout import find_unread_features, is_log_clean, read_xfs_superblock
from imagekit.errors import ImageDamaged, ImagekitError
from tests.fuzz.memory import Padded, TwoPieces

EXT4_BYTES = 256 << 10
FAT_BYTES = 2304 << 10  # FAT16 has 4085 clusters or more
XFS_BYTES = 24 << 20
_FILE_BYTES = 1 << 20


def fuzz_ext4(data: bytes) -> None:
    """Read an ext2, ext3 or ext4: names, files, parts, links, attributes, free space and slack."""
    window = Padded(data, EXT4_BYTES)
    probe_filesystem(window)
    with suppress(ImagekitError):
        ext4 = open_ext4(window)
        assert len(ext4.uuid) == 36
        assert {ext4.state_clean, ext4.has_errors, ext4.needs_recovery, ext4.has_orphans} <= {True, False}
        with suppress(ImagekitError):
            _check_ranges(list(ext4.free_ranges()), window)
        with suppress(ImagekitError):
            for offset, length in ext4.slack_ranges():
                assert 0 < length < ext4.block_size
                window.read(offset, length)
        tree = FileTree(ext4)
        with suppress(ImagekitError):
            for node in (node for _, node in tree.walk(limit=5000)):
                for name in ("user.x", "security.capability"):
                    with suppress(ImagekitError):
                        value = ext4.xattr(node, name)
                        assert value is None or len(value) <= 64 << 10
        read_everything(tree)
    with suppress(ImagekitError):
        _check_ranges(list(find_free_space(window)), window)


def fuzz_fat(data: bytes) -> None:
    """Read a FAT12, FAT16 or FAT32: names, files, label, flags and free space."""
    window = Padded(data, FAT_BYTES)
    probe_filesystem(window)
    with suppress(ImagekitError):
        fat = open_fat(window)
        assert len(fat.serial) == 9
        with suppress(ImagekitError):
            assert fat.dirty in (True, False)
        with suppress(ImagekitError):
            assert len(fat.label) <= 11
        with suppress(ImagekitError):
            _check_ranges(list(fat.free_ranges()), window)
        read_everything(FileTree(fat, ignore_case=True))
    with suppress(ImagekitError):
        _check_ranges(list(find_free_space(window)), window)


def fuzz_xfs(data: bytes) -> None:
    """Read what is read of an XFS without the library: the superblock, and whether the log is clean.

    The input is the log's place in eight bytes, sector 0, and the log's beginning.
    """
    log = int.from_bytes(data[:8], "little") % XFS_BYTES
    window = TwoPieces(data[8:520], log, data[520:], XFS_BYTES)
    probe_filesystem(window)
    with suppress(ImagekitError):
        superblock = read_xfs_superblock(window)
        assert all(isinstance(name, str) for name in find_unread_features(superblock))
        assert is_log_clean(window, superblock) in (True, False, None)


def read_everything(tree: FileTree) -> None:
    """Walk, look up, read and follow everything; damage in one file must not hide another kind of error in the next."""
    with suppress(ImagekitError):
        for path, node in tree.walk(limit=5000):
            with suppress(ImageDamaged):
                tree.readlink(path)
            with suppress(ImageDamaged):
                content = tree.read(path, _FILE_BYTES)
                assert content is None or len(content) <= _FILE_BYTES
            with suppress(ImageDamaged):
                tree.names(path)
            if node.type is FileType.FILE:
                with suppress(ImageDamaged):
                    part = tree.parts(path)
                    assert part is None or len(part(node.size // 2, 4096)) <= 4096


def _check_ranges(ranges: list[tuple[int, int]], window: Readable) -> None:
    """Free space rises, does not overlap, and lies on the disk."""
    end = 0
    for offset, length in ranges:
        assert end <= offset < offset + length <= window.size
        end = offset + length
