"""XFS images with changed bytes: the C library may crash or circle, we end in time with files or an error of ours."""

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.disk.child.library import CPU_SECONDS, REQUEST_SECONDS
from imagekit.disk.containers.raw import open_raw
from imagekit.disk.tree import FileTree
from imagekit.disk.xfs.filesystem import open_xfs
from imagekit.errors import ImagekitError
from tests.disk.made_xfs import make_xfs

INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFF)
edits = st.lists(
    st.tuples(st.integers(0, 1 << 20), st.one_of(st.sampled_from(INTERESTING), st.integers(0, 255))),
    min_size=1,
    max_size=8,
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[int]]:
    """Return an image with inline, block and node directories, and the offsets of its sectors of metadata."""
    root = tmp_path_factory.mktemp("hostile-xfs")
    source = root / "source"
    (source / "many").mkdir(parents=True)
    for index in range(300):
        (source / f"many/a-rather-long-name-{index}").touch()
    (source / "file").write_bytes(b"x" * 9000)
    (source / "link").symlink_to("file")
    path = make_xfs(source, root / "disk.raw")
    data = path.read_bytes()
    magics = (b"XFSB", b"XAGF", b"XAGI", b"XAFL", b"IAB3", b"AB3B", b"XDB3", b"XDD3", b"XD2D", b"IN")
    sectors = [place for place in range(0, len(data), 512) if data[place : place + 512].startswith(magics)]
    sectors += [place for place in range(0, len(data), 512) if b"rather-long" in data[place : place + 512]]
    assert len(sectors) > 50
    return path, sectors


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(edits=edits)
def test_changed_bytes_are_files_or_an_error(edits: list[tuple[int, int]], image: tuple[Path, list[int]]) -> None:
    """Whatever is changed in the metadata, only errors of ours are raised, and the child's limits bound the time."""
    path, sectors = image
    kept = []
    with path.open("r+b") as file:
        for place, value in edits:
            at = sectors[place // 512 % len(sectors)] + place % 512
            file.seek(at)
            kept.append((at, file.read(1)))
            file.seek(at)
            file.write(bytes([value]))
    begun = time.monotonic()
    try:
        with suppress(ImagekitError), open_raw(path) as disk:
            xfs = open_xfs(disk)
            try:
                with suppress(ImagekitError):
                    assert xfs.log_clean in (True, False, None)
                tree = FileTree(xfs)
                for _, node in tree.walk():
                    with suppress(ImagekitError):
                        xfs.data(node, 1 << 16)
                    with suppress(ImagekitError):
                        xfs.target(node)
                    with suppress(ImagekitError):
                        xfs.xattr(node, "user.x")
            finally:
                xfs.close()
    finally:
        with path.open("r+b") as file:
            for at, byte in reversed(kept):
                file.seek(at)
                file.write(byte)
    assert time.monotonic() - begun < REQUEST_SECONDS + CPU_SECONDS
