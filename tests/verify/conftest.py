"""A clean tree and a clean disk, made once; each test gets a copy of its own."""

import shutil
from pathlib import Path

import pytest

from tests.verify.clean_tree import make_disk, make_tree


@pytest.fixture(scope="session")
def clean_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean template's tree; do not change it."""
    return make_tree(tmp_path_factory.mktemp("clean") / "root")


@pytest.fixture
def tree(clean_tree: Path, tmp_path: Path) -> Path:
    """A copy of the clean tree to make dirty."""
    return Path(shutil.copytree(clean_tree, tmp_path / "root", symlinks=True))


@pytest.fixture(scope="session")
def clean_disk(clean_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clean template's disk; do not change it."""
    work = tmp_path_factory.mktemp("disk")
    disk = work / "disk.raw"
    make_disk(clean_tree, disk, work)
    return disk


@pytest.fixture
def disk(clean_disk: Path, tmp_path: Path) -> Path:
    """A copy of the clean disk to make dirty."""
    return Path(shutil.copy(clean_disk, tmp_path / "disk.raw"))
