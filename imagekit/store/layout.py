"""Where everything lies in a store, and the number that says so.

::

    <store>/
      format.json                   {"store": 0, …}: what may be read; an unknown number is refused
      lock                          flock target of writers; its text names the holder
      builds/<name>.lock            flock target of builds, one for each image
      incoming/<pid>-<start>-<x>/   a version being made; flocked by its maker, swept when that is dead
      images/<name>/
          history.jsonl             append-only; the channels are what it adds up to
          <version>/                immutable; it appears by one rename, whole
              disk.raw              sparse, mode 0444; not there when the bytes are on a cluster
              manifest.json         mode 0444

Number 0 is a draft without a promise: the released format will be number 1 and need not read it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from imagekit.durable import read_whole, replace_file
from imagekit.errors import StoreError
from imagekit.image import NAME_PATTERN, VersionId

FORMAT = 0
_FORMAT_NOTE = "draft, not a released format: a later imagekit may refuse it"
_FORMAT_BYTES = 4096
# What a crash in the middle of making a store can leave; lost+found is there when the store is a whole file system.
_BEFORE_FORMAT = frozenset({"lock", "builds", "format.json.new", "lost+found"})


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of the store at ``root``; no method touches the disk."""

    root: Path

    @property
    def format_file(self) -> Path:
        return self.root / "format.json"

    @property
    def lock_file(self) -> Path:
        return self.root / "lock"

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def images(self) -> Path:
        return self.root / "images"

    def build_lock_file(self, name: str) -> Path:
        return self.root / "builds" / f"{_checked(name)}.lock"

    def image(self, name: str) -> Path:
        return self.images / _checked(name)

    def history_file(self, name: str) -> Path:
        return self.image(name) / "history.jsonl"

    def version(self, name: str, version: VersionId) -> Path:
        return self.image(name) / str(version)

    def disk_file(self, name: str, version: VersionId) -> Path:
        return self.version(name, version) / "disk.raw"

    def manifest_file(self, name: str, version: VersionId) -> Path:
        return self.version(name, version) / "manifest.json"


def _checked(name: str) -> str:
    """Return ``name`` when it cannot leave its directory: whoever made a Reference without parsing it ends here."""
    if not NAME_PATTERN.fullmatch(name):
        raise StoreError(f"{name!r} cannot be the name of a stored image", hint="use a-z, 0-9 and '-'")
    return name


def check_format(layout: Layout) -> bool:
    """Say whether there is a store at all; raises :class:`StoreError` when it is one this imagekit cannot read."""
    try:
        data = read_whole(layout.format_file, _FORMAT_BYTES)
    except FileNotFoundError:
        if layout.images.exists():
            raise StoreError(
                f"the store at {layout.root} has images but no format.json", hint="restore format.json from a backup"
            ) from None
        return False
    try:
        number = json.loads(data)["store"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise StoreError(
            f"{layout.format_file} is damaged: it does not tell a format number", hint="restore it from a backup"
        ) from None
    if type(number) is not int or number != FORMAT:  # False would be equal to 0
        raise StoreError(
            f"the store at {layout.root} has format {number!r}; this imagekit reads format {FORMAT}",
            hint="use the imagekit that wrote it, or choose another store with IMAGEKIT_STORE",
        )
    return True


def create_format(layout: Layout) -> None:
    """Mark ``root`` as a store of this format. The caller holds the writers' lock.

    A directory with other things in it is not taken over. A crash leaves a directory with at most ``lock`` and
    ``format.json.new``, which the next writer completes.
    """
    others = sorted(entry.name for entry in layout.root.iterdir() if entry.name not in _BEFORE_FORMAT)
    if others:
        raise StoreError(
            f"{layout.root} is not a store and not empty: it has {others[0]!r}",
            hint="choose an empty directory for the store with IMAGEKIT_STORE",
        )
    text = json.dumps({"store": FORMAT, "note": _FORMAT_NOTE}) + "\n"
    replace_file(layout.format_file, text.encode())
