"""A directory tree as a tar stream."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from imagekit.errors import HostFailed
from imagekit.host.tree import check_tree, write_tar


def test_the_same_tree_makes_the_same_bytes(tmp_path: Path) -> None:
    """Owners, times and the order on the disk do not show: two copies of a tree make one archive."""
    made: list[bytes] = []
    for name, order in (("one", ("a", "b")), ("two", ("b", "a"))):
        tree = tmp_path / name
        (tree / "deep").mkdir(parents=True)
        for each in order:
            (tree / "deep" / each).write_text(each)
            os.utime(tree / "deep" / each, (len(made) + 100, len(made) + 100))
        stream = io.BytesIO()
        write_tar(tree, stream)
        made.append(stream.getvalue())
    assert made[0] == made[1]
    with tarfile.open(fileobj=io.BytesIO(made[0])) as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == ["deep", "deep/a", "deep/b"]
    assert {(entry.uid, entry.gid, entry.uname, entry.mtime) for entry in entries} == {(0, 0, "", 1)}


def test_link_that_stays_inside_is_no_problem(tmp_path: Path) -> None:
    """A link may climb as long as it stays below the top, and may lead nowhere."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "up").symlink_to("../nowhere")
    check_tree(tmp_path)


def test_missing_tree_is_told(tmp_path: Path) -> None:
    """A source that is no directory is an error."""
    with pytest.raises(HostFailed, match="is not a directory"):
        check_tree(tmp_path / "missing")
