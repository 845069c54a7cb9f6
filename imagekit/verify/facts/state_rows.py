"""What a row of a table of state is: a place, and what lies there."""

from dataclasses import dataclass

from imagekit.report import Severity


@dataclass(frozen=True, slots=True)
class Row:
    """``pattern`` is an absolute path with ``*``, ``?`` and ``[…]`` inside a part; ``~`` stands for every home.

    ``severity`` replaces the check's. ``holds`` is a regex that the file's text must match somewhere, compiled only
    when there is a file. ``except_names`` are patterns of names that packages ship. ``fix`` mends it where removing
    would not.
    """

    pattern: str
    kind: str
    severity: Severity | None = None
    holds: str = ""
    except_names: tuple[str, ...] = ()
    fix: str = ""
