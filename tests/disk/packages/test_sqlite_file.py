"""What SQLite says about damage, whatever its version calls it."""

from typing import Any, NoReturn

import pytest

from imagekit.disk.packages.sqlite_file import Database
from imagekit.errors import ImageDamaged


class _Exhausted:
    """A connection as SQLite 3.46 gives for a few damaged files (found by a fuzzer; older versions name the damage)."""

    def execute(self, *_: Any) -> NoReturn:
        raise MemoryError


def test_memory_that_is_said_to_be_out_is_damage() -> None:
    """The library's "out of memory" about a small file is a property of the file."""
    database = Database("/db", _Exhausted(), has_log=False)  # type: ignore[arg-type] # a stand-in for the one method
    with pytest.raises(ImageDamaged, match="/db"):
        next(database.rows("Packages", ("blob",), 10))
