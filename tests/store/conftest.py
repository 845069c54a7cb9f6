"""Stores of these tests lie in memory where that can be: an fsync costs nothing, and only processes are killed."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def memory() -> Iterator[Path]:
    """Return a directory in memory, or an ordinary temporary one where the system has no such place."""
    with tempfile.TemporaryDirectory(prefix="imagekit-", dir=_MEMORY if _MEMORY.is_dir() else None) as place:
        yield Path(place)


@pytest.fixture
def tmp_path(memory: Path) -> Iterator[Path]:
    """Return a directory of this test's own, in memory, instead of pytest's on a disk."""
    with tempfile.TemporaryDirectory(dir=memory) as place:
        yield Path(place)
