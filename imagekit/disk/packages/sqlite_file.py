"""An SQLite database inside an image, read from memory: nothing is written, and its schema is not trusted.

Whoever made the image made the schema too. So only reading columns of tables is authorised (no functions, views with
recursion, virtual tables or pragmas), values have a largest size, and a query ends after a number of steps.
Source: sqlite.org/fileformat.html and sqlite.org/security.html.
"""

import contextlib
import sqlite3
from collections.abc import Iterator

from imagekit.disk.tree import FileTree
from imagekit.errors import ImageDamaged

MAX_DATABASE = 256 << 20
_MAGIC = b"SQLite format 3\0"
_MAX_VALUE = 32 << 20
_STEPS = 10_000  # virtual machine instructions between two calls
_MAX_CALLS = 20_000
# SQLite 3.46 (Debian 13) answers some damage with "out of memory" at once, which Python raises as MemoryError.
_FAILURES = (sqlite3.Error, OverflowError, MemoryError)


class Database:
    """An open database; ``has_log`` says that changes wait in a write-ahead log, which is not read."""

    def __init__(self, path: str, connection: sqlite3.Connection, *, has_log: bool) -> None:
        self.path = path
        self.has_log = has_log
        self._connection = connection

    def rows(self, table: str, columns: tuple[str, ...], most: int) -> Iterator[tuple[object, ...]]:
        """Yield up to ``most`` rows of a table; raises :class:`ImageDamaged` when it cannot be read or has more."""
        # With its table's name, a column that does not exist is an error; alone, SQLite takes it for a text.
        names = ", ".join(f'"{table}"."{column}"' for column in columns)
        try:
            kind = self._connection.execute("SELECT type FROM sqlite_master WHERE name = ?", (table,)).fetchone()
            if kind != ("table",):
                raise ImageDamaged(f"{self.path} has no table {table}")
            cursor = self._connection.execute(f'SELECT {names} FROM "{table}"')
            for count, row in enumerate(cursor):
                if count >= most:
                    raise ImageDamaged(f"table {table} of {self.path} has more than {most} rows")
                yield row
        except (*_FAILURES, UnicodeError) as problem:
            raise ImageDamaged(f"{self.path} cannot be read as an SQLite database: {problem}") from problem


@contextlib.contextmanager
def open_database(tree: FileTree, path: str) -> Iterator[Database]:
    """Open the database in the file ``path`` of ``tree`` for the length of the block.

    Raises :class:`ImageDamaged` when there is no such file, it is larger than 256 MiB, or is no SQLite database.
    """
    content = tree.read(path, MAX_DATABASE + 1)
    if content is None or len(content) < 100 or not content.startswith(_MAGIC):
        raise ImageDamaged(f"{path} is no SQLite database")
    if len(content) > MAX_DATABASE:
        raise ImageDamaged(f"{path} is larger than {MAX_DATABASE >> 20} MiB")
    log = tree.stat(f"{path}-wal")
    # Bytes 18 and 19 say that a write-ahead log may exist, which a database in memory cannot have.
    content = content[:18] + b"\1\1" + content[20:]
    calls = 0

    def count_calls() -> bool:
        nonlocal calls
        calls += 1
        return calls > _MAX_CALLS

    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        try:
            connection.deserialize(content)
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("PRAGMA cell_size_check = ON")
        except _FAILURES as problem:
            raise ImageDamaged(f"{path} cannot be read as an SQLite database: {problem}") from problem
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE)
        connection.set_progress_handler(count_calls, _STEPS)
        connection.set_authorizer(_authorize)
        yield Database(path, connection, has_log=log is not None and log.size > 0)


def _authorize(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ) else sqlite3.SQLITE_DENY
