"""What an update would change: one file's new bytes, and each version in it, before and after."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SourceChange:
    """One locked source that moves: ``before`` is empty for a new one, ``after`` for one that is gone.

    ``note`` is a sentence that the operator should see, empty most times.
    """

    name: str
    before: str
    after: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Renewal:
    """A file that holds locked sources: what was read of it (``None``: it is not there yet) and what it should hold."""

    path: Path
    before: bytes | None
    after: bytes
    changes: tuple[SourceChange, ...]
