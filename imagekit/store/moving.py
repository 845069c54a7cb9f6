"""Moving channels: each move is one line of history. Every function that writes expects its caller to hold the lock."""

from datetime import UTC, datetime

from imagekit.errors import StoreError
from imagekit.image import Reference, VersionId
from imagekit.store.catalogue import list_channels, list_ids, read_all_entries, read_entries
from imagekit.store.channels import find_earlier, replay_history
from imagekit.store.history import Action, HistoryEntry, append_history, name_operator
from imagekit.store.layout import Layout
from imagekit.store.manifest import Version, read_version
from imagekit.store.places import find_replacements, refuse_replaced
from imagekit.store.resolve import find_version, require_channel, require_image


def read_channels(layout: Layout, name: str) -> dict[str, VersionId]:
    """Return where an image's channels point; one that was never used is not in it."""
    return {channel: trail[-1] for channel, trail in replay_history(read_all_entries(layout, name)).items()}


def promote_version(layout: Layout, reference: Reference, channel: str, reason: str, now: datetime) -> Version:
    """Let ``channel`` point to the version that is meant, by a bare name the one added last."""
    version = find_version(layout, reference, None)
    require_channel(channel, version.name, list_channels(layout, version.name, version))
    refuse_replaced(layout, version)
    move_channel(layout, version, channel, Action.PROMOTE, reason, now)
    return version


def roll_back(layout: Layout, name: str, channel: str, reason: str, now: datetime) -> Version:
    """Let ``channel`` point to the version that it had before; one whose template is gone is passed over."""
    require_image(layout, name)
    require_channel(channel, name, list_channels(layout, name))
    trail = replay_history(read_all_entries(layout, name)).get(channel, ())
    gone = find_replacements(layout)
    earlier = find_earlier(trail, [found for found in list_ids(layout, name) if Reference(name, found) not in gone])
    if earlier is None:
        raise StoreError(
            f"channel {channel!r} of {name} has no earlier version to go back to",
            hint=f"see where it pointed with: imagekit log {name}",
        )
    version = read_version(layout, name, earlier)
    move_channel(layout, version, channel, Action.ROLLBACK, reason, now)
    return version


def move_channel(layout: Layout, version: Version, channel: str, action: Action, reason: str, now: datetime) -> None:
    """Record one move, unless ``channel`` points to ``version`` already."""
    record_missing(layout, version.name)
    previous = read_channels(layout, version.name).get(channel)
    if previous != version.id:
        when = now.astimezone(UTC).replace(microsecond=0)
        entry = HistoryEntry(when, name_operator(), action, channel, previous, version.id, reason)
        append_history(layout.history_file(version.name), (entry,))


def record_missing(layout: Layout, name: str) -> None:
    """Write the history lines that crashes prevented."""
    append_history(layout.history_file(name), read_entries(layout, name)[1])
