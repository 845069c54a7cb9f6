"""A view over a few files that a test writes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.disk.directory import Directory
from imagekit.disk.tree import FileTree
from imagekit.verify.view import View, ViewKind
from tests.verify.clean_tree import write

MakeView = Callable[[dict[str, str]], View]


@pytest.fixture
def make_view(tmp_path: Path) -> MakeView:
    """Return a function that writes files and opens a view over them."""

    def make(files: dict[str, str]) -> View:
        root = tmp_path / "tree"
        root.mkdir(exist_ok=True)
        for path, content in files.items():
            write(root, path, content)
        return View(ViewKind.DIRECTORY, FileTree(Directory(root)))

    return make
