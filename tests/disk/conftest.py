"""Real filesystems, made once for all tests of the room by the programs that make them for everyone else."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree, FileType
from imagekit.disk.window import Readable
from imagekit.errors import ImageDamaged
from imagekit.host.local import run

MakeExt4 = Callable[..., Path]
Facts = dict[str, tuple[object, ...]]


class Memory:
    """A disk in memory, as strict as the real one about ranges."""

    def __init__(self, content: bytes | bytearray) -> None:
        self._content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes or raise as a raw disk does."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise ImageDamaged(f"{length} bytes at {offset} are outside")
        return bytes(self._content[offset : offset + length])


@pytest.fixture(scope="session")
def memory() -> Callable[[bytes | bytearray], Readable]:
    """Return the maker of disks in memory."""
    return Memory


def _write_sparse(path: Path, pieces: Sequence[tuple[int, bytes]], size: int) -> None:
    with path.open("wb") as file:
        for offset, data in pieces:
            file.seek(offset)
            file.write(data)
        file.truncate(size)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with every kind of file that a reader must get right."""
    root = tmp_path_factory.mktemp("files")
    random = Random(7)
    for name in ("etc", "bin", "empty", "deep/er/est", "many", "odd"):
        (root / name).mkdir(parents=True)
    (root / "etc/hostname").write_text("unit\n")
    (root / "etc/shadow").write_text("root:*:1::::::\n")
    (root / "etc/shadow").chmod(0o600)
    (root / "bin/su").write_bytes(b"\x7fELF")
    (root / "bin/su").chmod(0o4755)
    for size in (0, 1, 59, 60, 61, 120, 1023, 1024, 4095, 4096, 4097, 70_000, 700_000):
        (root / f"odd/{size}-bytes").write_bytes(random.randbytes(size))
    (root / ("odd/" + "n" * 255)).write_text("longest name")
    Path(os.fsdecode(os.fsencode(root) + b"/odd/latin-\xe9")).write_text("a name that is not UTF-8")
    (root / "odd/ünï → code").write_text("names are text")
    for index in range(400):
        (root / f"many/a file with a rather long name, number {index}").write_text(str(index))
    _write_sparse(root / "deep/er/est/hole", [(0, b"begin"), (300_000, b"middle"), (999_990, b"end")], 1_000_000)
    _write_sparse(root / "deep/er/est/only-a-hole", [], 123_456)
    # A piece every 16 KiB: on small blocks no two of them share an extent.
    # It ends with data: mke2fs 1.47.0 forgets a hole at the end when it was told to use inline data.
    comb = [(index * 16_384, random.randbytes(1024)) for index in range(500)]
    _write_sparse(root / "deep/comb", comb, 499 * 16_384 + 1024)
    for name, target in {
        "fast": "etc/hostname",
        "slow": "./" * 100 + "etc/hostname",
        "just-fast": "t" * 59,
        "just-slow": "t" * 60,
        "absolute": "/etc/hostname",
        "dangling": "nowhere/at/all",
        "loop-a": "loop-b",
        "loop-b": "loop-a",
        "up": "../../../../etc/hostname",
        "to-directory": "deep/er",
    }.items():
        (root / name).symlink_to(target)
    os.mkfifo(root / "fifo")
    for place, _, names in os.walk(root):
        for name in names:
            os.utime(Path(place) / name, (1, 1_600_000_000 + len(name)), follow_symlinks=False)
    return root


@pytest.fixture(scope="session")
def make_ext4(tmp_path_factory: pytest.TempPathFactory) -> MakeExt4:
    """Return ``make(source, size, *options)`` → image: one run of mke2fs for one set of arguments."""
    made: dict[tuple[object, ...], Path] = {}

    def make(source: Path | None, size: str, *options: str) -> Path:
        key = (source, size, *options)
        if key not in made:
            path = tmp_path_factory.mktemp("ext4") / "disk.raw"
            content = ["-d", os.fspath(source)] if source else []
            run(["mke2fs", "-q", "-F", *options, *content, os.fspath(path), size])
            made[key] = path
        return made[key]

    return make


@pytest.fixture(scope="session")
def describe() -> Callable[[FileTree], Facts]:
    """Return a function that lists everything in a tree: path → type, mode, owner, time, size and content."""

    def describe_tree(tree: FileTree) -> Facts:
        facts: Facts = {}
        for path, node in tree.walk():
            owner = (node.type, node.mode, node.uid, node.gid)
            match node.type:
                case FileType.FILE:
                    facts[path] = (*owner, node.mtime, node.size, tree.source.data(node, 1 << 30))
                case FileType.SYMLINK:
                    facts[path] = (*owner, node.mtime, tree.readlink(path))
                case FileType.DIRECTORY | FileType.OTHER:
                    facts[path] = owner
        return facts

    return describe_tree


@pytest.fixture(scope="session")
def files_facts(files: Path, describe: Callable[[FileTree], Facts]) -> Facts:
    """Return what the source directory of the images holds."""
    with Directory(files) as source:
        return describe(FileTree(source))
