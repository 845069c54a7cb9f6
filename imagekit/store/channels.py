"""Where the channels of an image point: what its history adds up to, so that the two can never disagree.

There is no file of channels. A move is one appended line, done or not done; nothing has to be kept in step with it.
"""

from collections.abc import Container, Iterable

from imagekit.image import VersionId
from imagekit.store.history import Action, HistoryEntry


def replay_history(entries: Iterable[HistoryEntry]) -> dict[str, tuple[VersionId, ...]]:
    """Return for each channel the versions it would go back through, the one it points to last.

    A move forward puts a version on top; a rollback takes away what it went back over. So a second rollback goes
    further back instead of returning to the version that the first one left.
    """
    trails: dict[str, list[VersionId]] = {}
    for entry in entries:
        trail = trails.setdefault(entry.channel, [])
        if entry.action is Action.ROLLBACK:
            while trail and trail[-1] != entry.version:
                trail.pop()
        if not trail or trail[-1] != entry.version:
            trail.append(entry.version)
    return {channel: tuple(trail) for channel, trail in trails.items()}


def find_earlier(trail: tuple[VersionId, ...], stored: Container[VersionId]) -> VersionId | None:
    """Return the version to go back to: the last one before the present one that is another and is still stored."""
    for version in reversed(trail[:-1]):
        if version != trail[-1] and version in stored:
            return version
    return None
