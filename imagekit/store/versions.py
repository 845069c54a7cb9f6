"""The store as its users see it. Everything behind this class may be replaced, the form on disk first of all."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from imagekit.image import Reference, VersionId
from imagekit.progress import Progress, silent
from imagekit.report import Report, VerifiedImage, VerifiedTemplate
from imagekit.store.adding import (
    Clock,
    Stored,
    add_version,
    attach_proof,
    find_present,
    record_template,
    refuse_unfit,
)
from imagekit.store.catalogue import list_names, order_ids, read_all_entries
from imagekit.store.copy import check_disk
from imagekit.store.failures import explain_os_errors
from imagekit.store.history import Action, HistoryEntry
from imagekit.store.layout import Layout, check_format
from imagekit.store.lock import hold_lock
from imagekit.store.manifest import Version, read_declared, read_version
from imagekit.store.moving import move_channel, promote_version, read_channels, roll_back
from imagekit.store.places import mark_replaced, refuse_remote
from imagekit.store.resolve import find_version, require_channel, require_image
from imagekit.store.writing import Writing


def read_clock() -> datetime:
    """Return the present time in UTC."""
    return datetime.now(UTC)


def _require_fit(verified: VerifiedImage | VerifiedTemplate, promote_to: str | None) -> str:
    """Return the name under which it is to be kept, when its report and the channel allow that."""
    name, channels = read_declared(verified.built.provenance)
    refuse_unfit(name, verified)
    if promote_to is not None:
        require_channel(promote_to, name, channels)
    return name


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
            found = [version for name in names for version in self._read_versions(name)]
            versions = mark_replaced(self._layout, found)  # for all images at once: it looks through the whole store
            return tuple(
                StoredImage(name, tuple(version for version in versions if version.name == name), self.channels(name))
                for name in names
            )

    def list_versions(self, name: str) -> tuple[Version, ...]:
        """Return an image's versions, the last one added first; empty when there are none."""
        with self._reading():
            return mark_replaced(self._layout, self._read_versions(name))

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
            (version,) = mark_replaced(self._layout, (find_version(self._layout, reference, default_channel),))
            return version

    def disk_path(self, version: Version) -> Path:
        """Return the version's raw disk, for reading only (mode 0444); never move it or write to it.

        A version whose bytes are on a cluster has none here: :class:`StoreError` says on which node and which VM it is.
        """
        with self._reading():
            refuse_remote(self._layout, read_version(self._layout, version.name, version.id))
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
        name = _require_fit(verified, promote_to)
        with explain_os_errors(f"add {name} to the store", self.root):
            if present := find_present(self._layout, name, verified):
                return self._meet(present, verified.report, promote_to, clock)
            check_disk(verified.built.disk)
            return add_version(
                self._layout,
                self._writing,
                verified,
                promote_to=promote_to,
                move=move,
                clock=clock,
                progress=progress,
            )

    def record(self, verified: VerifiedTemplate, *, promote_to: str | None = None, clock: Clock = read_clock) -> Stored:
        """Record a template on a cluster as a new version and let the first of its channels point to it.

        As with :meth:`add`, name and channels come from the provenance, and a template that is recorded under that name
        already adds nothing. It is the same template when cluster, VM id and mark are the same; when it has no mark,
        cluster, VM id and provenance. A different one at the same VM id is a new version, and every version that was at
        that id before reads as replaced. Raises :class:`VerificationFailed` when the report has a failure.
        """
        name = _require_fit(verified, promote_to)
        with explain_os_errors(f"record {name} in the store", self.root):
            if present := find_present(self._layout, name, verified):
                return self._meet(present, verified.report, promote_to, clock)
            return record_template(self._layout, self._writing, verified, promote_to=promote_to, clock=clock)

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

    def _meet(self, present: Version, report: Report, promote_to: str | None, clock: Clock) -> Stored:
        """Do for a version that is there already what its repetition may do: bring a boot proof, move a channel."""
        stored = Stored(present, added=False)
        if report.boot is not None and present.report.boot is None:
            stored = attach_proof(self._layout, self._writing, present, report)
        if promote_to is not None and self.channels(present.name).get(promote_to) != present.id:
            with self._writing.commit(f"promoting {present.reference}"):
                move_channel(self._layout, present, promote_to, Action.PROMOTE, "", clock())
        return stored

    def _read_versions(self, name: str) -> list[Version]:
        """Return an image's versions, the last one added first."""
        return [read_version(self._layout, name, found) for found in reversed(order_ids(self._layout, name))]

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with explain_os_errors("read the store", self.root):
            yield
