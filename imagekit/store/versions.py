"""The store as its users see it. Everything behind this class may be replaced, the form on disk first of all."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from imagekit.image import Reference, VersionId
from imagekit.progress import Progress, silent
from imagekit.report import VerifiedImage
from imagekit.store.adding import Clock, Stored, add_version, attach_proof, refuse_unfit
from imagekit.store.catalogue import find_digest, list_names, order_ids, read_all_entries
from imagekit.store.copy import check_disk
from imagekit.store.failures import explain_os_errors
from imagekit.store.history import Action, HistoryEntry
from imagekit.store.layout import Layout, check_format
from imagekit.store.lock import hold_lock
from imagekit.store.manifest import Version, read_declared, read_version
from imagekit.store.moving import move_channel, promote_version, read_channels, roll_back
from imagekit.store.resolve import find_version, require_channel, require_image
from imagekit.store.writing import Writing


def read_clock() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class StoredImage:
    """One image with its versions, the last one added first (never empty), and where its channels point."""

    name: str
    versions: tuple[Version, ...]
    channels: dict[str, VersionId]


def open_store(root: Path) -> "Store":
    """Return the store at ``root``, which need not exist: readers find it empty, the first writer makes it.

    Raises :class:`StoreError` when it has a format this imagekit does not know, or cannot be read.
    """
    with explain_os_errors("open the store", root):
        check_format(Layout(root))
    return Store(root)


class Store:
    """Versions of images at one root. Reading takes no lock and creates nothing; one object serves one thread.

    Every method raises :class:`StoreError`, a sentence with a hint, for whatever the store or its disk refuses.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._layout = Layout(root)
        self._writing = Writing(self._layout)

    def list_images(self) -> tuple[StoredImage, ...]:
        """Return every image by name; empty when there is no store."""
        with self._reading():
            names = list_names(self._layout)
            return tuple(StoredImage(name, self.list_versions(name), self.channels(name)) for name in names)

    def list_versions(self, name: str) -> tuple[Version, ...]:
        """Return an image's versions, the last one added first; empty when there are none."""
        with self._reading():
            return tuple(read_version(self._layout, name, found) for found in reversed(order_ids(self._layout, name)))

    def channels(self, name: str) -> dict[str, VersionId]:
        """Return where an image's channels point; one that was never used is not in it."""
        with self._reading():
            return read_channels(self._layout, name)

    def history(self, name: str) -> tuple[HistoryEntry, ...]:
        """Return every move of an image's channels, oldest first; empty when there is none."""
        with self._reading():
            return read_all_entries(self._layout, name)

    def require_image(self, name: str) -> None:
        """Raise :class:`StoreError`, with what was probably meant, unless a version of ``name`` is stored."""
        with self._reading():
            require_image(self._layout, name)

    def find(self, reference: Reference, *, default_channel: str | None) -> Version:
        """Return the version that ``reference`` means.

        A bare name is where ``default_channel`` points, or the version added last when that is None.
        """
        with self._reading():
            return find_version(self._layout, reference, default_channel)

    def disk_path(self, version: Version) -> Path:
        """Return the version's raw disk, for reading only (mode 0444); never move it or write to it."""
        with self._reading():
            read_version(self._layout, version.name, version.id)
        return self._layout.disk_file(version.name, version.id)

    def add(
        self,
        verified: VerifiedImage,
        *,
        promote_to: str | None = None,
        move: bool = False,
        clock: Clock = read_clock,
        progress: Progress = silent,
    ) -> Stored:
        """Keep a verified disk as a new version and let the first of its channels point to it.

        Name and channels come from the definition in the provenance (keys ``name`` and ``channels``). A disk whose
        digest is stored under that name already adds nothing: that version is returned, only ``promote_to`` is done,
        and a boot proof that the version lacks is kept with it. With ``move`` the file is renamed into the store when
        both are on one file system; then, and when the file system shares extents, the builder's digest is trusted;
        otherwise the bytes are hashed while they are copied and must have it. After any error the disk is where it was,
        and the store as it was. Raises :class:`VerificationFailed` when the report has a failure.
        """
        disk = verified.built.disk
        name, channels = read_declared(verified.built.provenance)
        refuse_unfit(name, verified)
        if promote_to is not None:
            require_channel(promote_to, name, channels)
        with explain_os_errors(f"add {name} to the store", self.root):
            if present := find_digest(self._layout, name, disk.digest):
                stored = Stored(present[0], added=False)
                if verified.report.boot is not None and present[0].report.boot is None:
                    stored = attach_proof(self._layout, self._writing, present[0], verified.report)
                if promote_to is not None and self.channels(name).get(promote_to) != present[0].id:
                    with self._writing.commit(f"promoting {present[0].reference}"):
                        move_channel(self._layout, present[0], promote_to, Action.PROMOTE, "", clock())
                return stored
            check_disk(disk)
            return add_version(
                self._layout,
                self._writing,
                verified,
                promote_to=promote_to,
                move=move,
                clock=clock,
                progress=progress,
            )

    def promote(self, reference: Reference, channel: str, reason: str = "", *, clock: Clock = read_clock) -> Version:
        """Let ``channel`` point to a version (a bare name: the one added last); nothing happens if it does already.

        ``channel`` must be one that this version or the newest declares, or that the image has used.
        """
        with self._writing.commit(f"promoting {reference}"):
            return promote_version(self._layout, reference, channel, reason, clock())

    def rollback(self, name: str, channel: str = "stable", reason: str = "", *, clock: Clock = read_clock) -> Version:
        """Let ``channel`` point to the version it had before, by history; once more goes further back."""
        with self._writing.commit(f"rolling back {name}"):
            return roll_back(self._layout, name, channel, reason, clock())

    def lock_for_writing(self, purpose: str, *, wait_seconds: float = 0.0) -> contextlib.AbstractContextManager[None]:
        """Be the only writer through the block, in which this object's methods still write.

        Makes the store if there is none. Another writer that keeps the lock for ``wait_seconds`` is an error naming it.
        """
        return self._writing.hold(purpose, wait_seconds=wait_seconds)

    def lock_build(self, name: str, purpose: str = "") -> contextlib.AbstractContextManager[None]:
        """Be the only build of image ``name`` through the block; other images and the store itself are not locked."""
        return hold_lock(
            self._layout.build_lock_file(name),
            command=purpose or f"imagekit build {name}",
            busy=f"image {name!r} is being built by",
            hint="wait until it has ended; the lock ends with that process",
        )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with explain_os_errors("read the store", self.root):
            yield
