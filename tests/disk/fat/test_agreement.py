"""The FAT reader beside mtools, dosfstools and dissect.fat, on FAT12, FAT16 and FAT32 with names of every kind."""

import os
from hashlib import sha256
from pathlib import Path

import pytest
from dissect.fat.fat import FATFS, DirectoryEntry, RootDirectory

from imagekit.disk.containers.raw import open_raw
from imagekit.disk.fat.filesystem import open_fat
from imagekit.disk.tree import FileTree, FileType
from imagekit.host.local import run

# Made by mkfs.fat, where test_fat.py has mformat's: kibibytes, options, width.
SHAPES = {
    "FAT12": (2048, ("-F", "12"), 12),
    "FAT16, clusters of 4 sectors": (20_000, ("-F", "16", "-s", "4"), 16),
    "FAT16, one table": (8192, ("-F", "16", "-f", "1", "-s", "1"), 16),
    "FAT32": (70_000, ("-F", "32", "-s", "2"), 32),
    "FAT32, sectors of 4 KiB": (300_000, ("-F", "32", "-S", "4096", "-s", "1"), 32),
}
NAMES = (
    "SHORT.TXT", "lower.txt", "Mixed.Case", "with space and.more.dots.conf", "ünïcödé → ☃.txt", "x" * 200,
    "exactly13char", "exactly26characters-in-name", "EFI/BOOT/BOOTX64.EFI", "EFI/debian/shimx64.efi",
    "many/level/deep/file", "no-extension", "a+b=c;d,e[f].txt",
)  # fmt: skip


@pytest.fixture(scope="module", params=list(SHAPES.values()), ids=list(SHAPES))
def image(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a filesystem on which files were written, deleted, and written into the gaps."""
    work = tmp_path_factory.mktemp("fat")
    path = work / "fat.raw"
    size, options, _ = request.param
    run(["mkfs.fat", "-C", "-n", "EFI SYS", *options, os.fspath(path), str(size)])
    tool = ["-i", os.fspath(path)]
    for directory in ("EFI", "EFI/BOOT", "EFI/debian", "many", "many/level", "many/level/deep"):
        run(["mmd", *tool, f"::/{directory}"])
    for index in range(40):
        (work / "file").write_bytes(os.urandom(3000 + index))
        run(["mcopy", *tool, os.fspath(work / "file"), f"::/many/filling number {index}.bin"])
    for index in range(0, 40, 2):
        run(["mdel", *tool, f"::/many/filling number {index}.bin"])
    for number, name in enumerate(NAMES):  # the larger ones lie in pieces, in the gaps
        (work / "file").write_bytes(os.urandom(number * 4000))
        run(["mcopy", "-o", *tool, os.fspath(work / "file"), f"::/{name}"])
    run(["mattrib", "+r", *tool, "::/SHORT.TXT"])
    return path


def list_ours(image: Path) -> dict[str, tuple[int, str]]:
    """Return size and content's SHA-256 of every path, -1 and nothing for directories."""
    with open_raw(image) as disk:
        fat = open_fat(disk)
        found = {}
        for path, node in FileTree(fat, ignore_case=True).walk():
            is_file = node.type is FileType.FILE
            found[path] = (node.size, sha256(fat.data(node, 1 << 24)).hexdigest()) if is_file else (-1, "")
        return found


def test_mtools_agree(image: Path, tmp_path: Path) -> None:
    """Paths and contents are those that mcopy takes out of the filesystem, and mdir lists as many."""
    run(["mcopy", "-s", "-n", "-i", os.fspath(image), "::/*", os.fspath(tmp_path)])
    theirs = {
        f"/{path.relative_to(tmp_path).as_posix()}": (-1, "")
        if path.is_dir()
        else (path.stat().st_size, sha256(path.read_bytes()).hexdigest())
        for path in tmp_path.rglob("*")
    }
    ours = list_ours(image)
    assert {f"/{name}" for name in NAMES} <= ours.keys()
    assert ours == theirs
    shown = run(["mdir", "-b", "-/", "-i", os.fspath(image), "::/"]).output.decode().splitlines()
    assert {line.removeprefix("::").rstrip("/") for line in shown if line.startswith("::/")} - {""} == ours.keys()


def test_dissect_agrees(image: Path) -> None:
    """dissect.fat finds the same paths, sizes and contents, and flags the same files as read-only."""
    theirs: dict[str, tuple[int, str]] = {}

    def describe(directory: RootDirectory | DirectoryEntry, path: str) -> None:
        for entry in directory.iterdir():
            if entry.name in (".", "..") or entry.is_volume_id():
                continue
            place = f"{path}/{entry.name}"
            if entry.is_directory():
                theirs[place] = (-1, "")
                describe(entry, place)
            else:
                content = entry.open().read() if entry.size else b""
                theirs[place] = (entry.size, sha256(content).hexdigest())

    with image.open("rb") as file:
        describe(FATFS(file).root, "")
    folded = {path.casefold(): row for path, row in theirs.items()}  # it does not know Windows NT's flags for case
    assert {path.casefold(): row for path, row in list_ours(image).items()} == folded


def test_checker_finds_nothing_wrong(image: Path) -> None:
    """fsck.fat agrees that the filesystem is sound, and the reader that it is clean and as wide as was asked for."""
    run(["fsck.fat", "-n", os.fspath(image)])
    with open_raw(image) as disk:
        fat = open_fat(disk)
        node = FileTree(fat).stat("/SHORT.TXT")
        assert node is not None
        assert (fat.dirty, fat.label, node.mode) == (False, "EFI SYS", 0o444)
        assert fat.bits in (12, 16, 32)
