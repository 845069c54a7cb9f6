"""Making a version: staged aside without the lock, committed by one rename under it.

What a crash leaves at each step:

==========================  ==========================================================================================
while staging               a directory in ``incoming/``, swept by the next writer; no version
after the image's mkdir     an empty directory, which no reader takes for an image; no version
after the rename            the whole version; readers derive its history line, the next writer records it
within the history line     the same: a torn line does not count
after the history line      the whole version, recorded; a promotion torn behind it has not happened
==========================  ==========================================================================================

A template on a cluster is recorded in the same steps, with nothing to copy: all of them happen under the lock. What it
replaces is named in its manifest, and so appears with it or not at all.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from imagekit.durable import make_directory, replace_file, sync_path, write_new_file
from imagekit.errors import VerificationFailed
from imagekit.image import VersionId
from imagekit.progress import Progress
from imagekit.report import Report, Severity, VerifiedImage, VerifiedTemplate
from imagekit.store.catalogue import choose_id, find_digest
from imagekit.store.copy import copy_disk, move_disk, return_disk
from imagekit.store.history import Action, HistoryEntry, append_history, name_operator
from imagekit.store.incoming import open_incoming
from imagekit.store.layout import Layout
from imagekit.store.manifest import Version, encode_manifest, read_declared, read_version
from imagekit.store.moving import move_channel, read_channels, record_missing
from imagekit.store.places import find_template, list_displaced
from imagekit.store.writing import Writing

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Stored:
    """What adding did: the version that holds the disk, whether it is new, and whether an old one gained its proof.

    The same for recording, where the version says where its template is.
    """

    version: Version
    added: bool
    proof_attached: bool = False


def refuse_unfit(name: str, verified: VerifiedImage | VerifiedTemplate) -> None:
    """Raise :class:`VerificationFailed` when the report has a failure: what is unfit never becomes a version."""
    report = verified.report
    if report.failed:
        failed = sorted({finding.check for finding in report.findings if finding.severity is Severity.FAIL})
        named = ", ".join(failed[:5]) + (f" and {len(failed) - 5} more" if len(failed) > 5 else "")
        raise VerificationFailed(
            f"{name} was not stored, because its verification failed: {named}",
            hint="mend what the findings say and build again",
        )


def add_version(
    layout: Layout,
    writing: Writing,
    verified: VerifiedImage,
    *,
    promote_to: str | None,
    move: bool,
    clock: Clock,
    progress: Progress,
) -> Stored:
    """Stage the disk, which may take minutes and so happens without the lock; then commit.

    After any error a moved disk is back under its own name.
    """
    disk = verified.built.disk
    with writing.commit(f"adding {read_declared(verified.built.provenance)[0]}"):
        pass  # the store exists now, and what dead writers left no longer takes the space
    with open_incoming(layout.incoming) as staging:
        target, mode = staging / "disk.raw", disk.path.stat().st_mode
        try:
            if not (move and move_disk(disk, target)):
                copy_disk(disk, target, progress)
            return _commit(layout, writing, verified, staging, promote_to, clock)
        finally:
            if move and not os.path.lexists(disk.path):
                return_disk(target, disk.path, mode)  # without effect when the version was added


def record_template(
    layout: Layout, writing: Writing, verified: VerifiedTemplate, *, promote_to: str | None, clock: Clock
) -> Stored:
    """Give a template on a cluster a version, which has a manifest and no disk."""
    with (
        writing.commit(f"recording {read_declared(verified.built.provenance)[0]}"),
        open_incoming(layout.incoming) as staging,
    ):
        return _commit(layout, writing, verified, staging, promote_to, clock)


def find_present(layout: Layout, name: str, verified: VerifiedImage | VerifiedTemplate) -> Version | None:
    """Return the version of image ``name`` that has this very disk, or is this very template, already."""
    if isinstance(verified, VerifiedTemplate):
        return find_template(layout, name, verified.built)
    return next(iter(find_digest(layout, name, verified.built.disk.digest)), None)


def attach_proof(layout: Layout, writing: Writing, version: Version, report: Report) -> Stored:
    """Give a version that was stored without a boot proof the report of the same bytes that has one.

    A crash leaves the old manifest or the new one, whole either way, and at most a ``.new`` file that nobody reads.
    """
    with writing.commit(f"attaching the boot proof of {version.reference}"):
        present = read_version(layout, version.name, version.id)
        if present.report.boot is not None:  # another build was faster
            return Stored(present, added=False)
        manifest = encode_manifest(replace(present, report=report))
        replace_file(layout.manifest_file(version.name, version.id), manifest, mode=0o444)
        return Stored(read_version(layout, version.name, version.id), added=False, proof_attached=True)


def _commit(
    layout: Layout,
    writing: Writing,
    verified: VerifiedImage | VerifiedTemplate,
    staging: Path,
    promote_to: str | None,
    clock: Clock,
) -> Stored:
    """Give what is staged a version; or return the one that another writer has just given the same thing."""
    provenance = verified.built.provenance
    name, channels = read_declared(provenance)
    with writing.commit(f"adding {name}"):
        if present := find_present(layout, name, verified):
            if promote_to is not None:
                move_channel(layout, present, promote_to, Action.PROMOTE, "", clock())
            return Stored(present, added=False)
        template = verified.built if isinstance(verified, VerifiedTemplate) else None
        disk = verified.built.disk if isinstance(verified, VerifiedImage) else None
        subject = verified.built if isinstance(verified, VerifiedTemplate) else verified.built.disk
        created = clock().astimezone(UTC).replace(microsecond=0)
        version = Version(
            name=name,
            id=choose_id(layout, name, VersionId(created.date(), 1)),
            digest=None if disk is None else disk.digest,
            size_bytes=subject.size_bytes,
            stored_bytes=0,
            created=created,
            created_by=name_operator(),
            architecture=subject.architecture,
            firmware=subject.firmware,
            channels=channels,
            provenance=provenance,
            report=verified.report,
            place=None if template is None else template.place,
            replaces=() if template is None else list_displaced(layout, name, template),
        )
        # The manifest comes last: whatever has one is whole, even if somebody should find it in incoming/.
        write_new_file(staging / "manifest.json", encode_manifest(version), mode=0o444)
        sync_path(staging)
        _publish(layout, staging, version, promote_to)
        return Stored(read_version(layout, name, version.id), added=True)


def _publish(layout: Layout, staging: Path, version: Version, promote_to: str | None) -> None:
    """Let the staged version appear and record it; both are undone when the record cannot be written."""
    record_missing(layout, version.name)
    present = read_channels(layout, version.name)
    targets = [(Action.ADD, version.channels[0])]
    if promote_to is not None and promote_to != version.channels[0]:
        targets.append((Action.PROMOTE, promote_to))
    entries = tuple(
        HistoryEntry(version.created, version.created_by, action, channel, present.get(channel), version.id)
        for action, channel in targets
    )
    image, final = layout.image(version.name), layout.version(version.name, version.id)
    try:
        make_directory(image)
        # rename(2) refuses a directory that is not empty, so not even a mistake here could overwrite a version.
        os.rename(staging, final)  # noqa: PTH104 - the crash tests stop the process at this very call
        sync_path(image)
        append_history(layout.history_file(version.name), entries)
    except BaseException:
        with contextlib.suppress(OSError):
            os.rename(final, staging)  # noqa: PTH104 - the counterpart of the rename above
        with contextlib.suppress(OSError):
            image.rmdir()  # only when this would have been its first version
        raise
