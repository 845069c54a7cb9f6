"""What is stored, read from the directories and histories themselves; nothing is cached, so nothing can be stale."""

import os
from pathlib import Path

from imagekit.errors import StoreError
from imagekit.image import NAME_PATTERN, Digest, VersionId
from imagekit.store.channels import replay_history
from imagekit.store.history import Action, HistoryEntry, read_history
from imagekit.store.layout import Layout
from imagekit.store.manifest import DEFAULT_CHANNELS, Version, read_version


def list_names(layout: Layout) -> tuple[str, ...]:
    """Return the names of the images that have a version, sorted."""
    return tuple(
        name for name in _list_directory(layout.images) if NAME_PATTERN.fullmatch(name) and list_ids(layout, name)
    )


def list_ids(layout: Layout, name: str) -> tuple[VersionId, ...]:
    """Return the versions of an image by day and serial; no manifest is read. Empty when there is no such image."""
    found = []
    for entry in _list_directory(layout.image(name)):
        try:
            found.append(VersionId.parse(entry))
        except ValueError:
            continue  # the history, or what somebody else put there
    return tuple(sorted(found))


def read_entries(layout: Layout, name: str) -> tuple[tuple[HistoryEntry, ...], tuple[HistoryEntry, ...]]:
    """Return an image's recorded history, and the lines that are missing from it.

    A version counts from the rename that makes it appear. Its line follows; a crash between the two leaves a version
    without one, whose line is made from its manifest here and recorded by the next writer.
    """
    recorded = read_history(layout.history_file(name))
    known = {entry.version for entry in recorded if entry.action is Action.ADD}
    missing: list[HistoryEntry] = []
    for version in (read_version(layout, name, found) for found in list_ids(layout, name) if found not in known):
        channel = version.channels[0]
        trail = replay_history((*recorded, *missing)).get(channel)
        missing.append(
            HistoryEntry(
                when=version.created,
                who=version.created_by,
                action=Action.ADD,
                channel=channel,
                previous=trail[-1] if trail else None,
                version=version.id,
            )
        )
    return recorded, tuple(missing)


def read_all_entries(layout: Layout, name: str) -> tuple[HistoryEntry, ...]:
    """Return an image's whole history, oldest first."""
    recorded, missing = read_entries(layout, name)
    return recorded + missing


def order_ids(layout: Layout, name: str) -> tuple[VersionId, ...]:
    """Return the versions in the order in which they were added, by history: a clock may have been wrong meanwhile."""
    positions: dict[VersionId, int] = {}
    for position, entry in enumerate(read_all_entries(layout, name)):
        positions.setdefault(entry.version, position)
    return tuple(sorted(list_ids(layout, name), key=lambda found: (positions.get(found, len(positions)), found)))


def find_digest(layout: Layout, name: str, digest: Digest) -> tuple[Version, ...]:
    """Return the versions of an image whose disk, stored here, has ``digest`` or one beginning with it."""
    versions = (read_version(layout, name, found) for found in list_ids(layout, name))
    return tuple(version for version in versions if version.digest is not None and digest.matches(version.digest))


def list_channels(layout: Layout, name: str, *versions: Version) -> tuple[str, ...]:
    """Return the channels an image may use: those ``versions`` and its newest one declare, and those it has used."""
    ids = order_ids(layout, name)
    newest = (read_version(layout, name, ids[-1]),) if ids else ()
    declared = [channel for version in (*newest, *versions) for channel in version.channels]
    return tuple(dict.fromkeys([*(declared or DEFAULT_CHANNELS), *replay_history(read_all_entries(layout, name))]))


def choose_id(layout: Layout, name: str, today: VersionId) -> VersionId:
    """Return the first free version of ``today``'s day, whose serial is ignored.

    Serials are not used again: the history remembers versions that are no longer there.
    """
    taken = {*list_ids(layout, name), *(entry.version for entry in read_history(layout.history_file(name)))}
    serial = max((version.serial for version in taken if version.day == today.day), default=0) + 1
    if serial > 999_999:
        raise StoreError(f"{name} has 999999 versions of {today.day}", hint="look for what adds them in a loop")
    return VersionId(today.day, serial)


def _list_directory(path: Path) -> list[str]:
    """Return the names in a directory, sorted; none when it does not exist."""
    try:
        return sorted(os.listdir(path))  # noqa: PTH208 - names are what is needed
    except FileNotFoundError:
        return []
