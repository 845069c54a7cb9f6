"""What the tests of the flow share: a disk to send through it."""

from pathlib import Path

import pytest

from tests.verify.clean_tree import make_disk, make_tree


@pytest.fixture(scope="package")
def clean_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small disk on which every check passes; do not change it."""
    work = tmp_path_factory.mktemp("clean")
    make_disk(make_tree(work / "root"), work / "disk.raw", work)
    return work / "disk.raw"
