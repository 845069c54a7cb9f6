"""From what an operator wrote to the one version that is meant, or a sentence that helps to write it better."""

from collections.abc import Iterable, Sequence
from typing import assert_never

from imagekit.errors import StoreError
from imagekit.image import Digest, Reference, VersionId
from imagekit.store.catalogue import find_digest, list_channels, list_ids, list_names, order_ids, read_all_entries
from imagekit.store.channels import replay_history
from imagekit.store.layout import Layout
from imagekit.store.manifest import Version, read_version

_SHOWN = 8


def find_version(layout: Layout, reference: Reference, default_channel: str | None) -> Version:
    """Return the version ``reference`` means; a bare name is ``default_channel``, or without one the newest.

    Raises :class:`StoreError` when nothing or more than one thing is meant.
    """
    name = reference.name
    require_image(layout, name)
    match reference.selector:
        case None:
            if default_channel is not None:
                return _find_by_channel(layout, name, default_channel)
            return read_version(layout, name, order_ids(layout, name)[-1])
        case VersionId() as version:
            return _find_by_id(layout, name, version)
        case Digest() as digest:
            return _find_by_digest(layout, name, digest)
        case str() as channel:
            return _find_by_channel(layout, name, channel)
        case unknown:
            assert_never(unknown)


def require_image(layout: Layout, name: str) -> None:
    """Raise :class:`StoreError` unless a version of image ``name`` is stored."""
    if not list_ids(layout, name):
        names = list_names(layout)
        raise StoreError(
            f"no image {name!r} is stored",
            hint=suggest(name, names, "stored")
            if names
            else f"nothing is stored yet; begin with: imagekit build {name}",
        )


def require_channel(channel: str, name: str, known: Sequence[str]) -> None:
    """Raise :class:`StoreError` unless ``channel`` is one of the ``known`` channels of image ``name``."""
    if channel not in known:
        raise StoreError(f"{name} has no channel {channel!r}", hint=suggest(channel, known, "its channels"))


def suggest(word: str, known: Iterable[str], what: str) -> str:
    """Return a hint: the one of ``known`` that was probably meant, and the known ones."""
    import difflib  # here: it is wanted only when something is wrong

    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    listed = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
    return f"did you mean {close[0]!r}? {what}: {listed}" if close else f"{what}: {listed}"


def _find_by_id(layout: Layout, name: str, version: VersionId) -> Version:
    ids = list_ids(layout, name)
    if version not in ids:
        raise StoreError(
            f"{name} has no version {version}",
            hint=suggest(str(version), [str(found) for found in ids[::-1]], "stored"),
        )
    return read_version(layout, name, version)


def _find_by_digest(layout: Layout, name: str, digest: Digest) -> Version:
    match find_digest(layout, name, digest):
        case ():
            raise StoreError(
                f"{name} has no version with digest {digest}", hint=f"see them with: imagekit images {name}"
            )
        case (version,):
            return version
        case several:
            listed = ", ".join(f"{version.id} ({version.short_digest})" for version in several[:_SHOWN])
            raise StoreError(
                f"{digest} is the beginning of {len(several)} digests of {name}: {listed}", hint="write more digits"
            )


def _find_by_channel(layout: Layout, name: str, channel: str) -> Version:
    require_channel(channel, name, list_channels(layout, name))
    trail = replay_history(read_all_entries(layout, name)).get(channel)
    if not trail:
        raise StoreError(
            f"channel {channel!r} of {name} points to no version yet",
            hint=f"promote one: imagekit promote {name} {channel}",
        )
    if trail[-1] not in list_ids(layout, name):
        raise StoreError(
            f"channel {channel!r} of {name} points to {trail[-1]}, which is no longer stored",
            hint=f"go back with: imagekit rollback {name} {channel}; or promote another version",
        )
    return read_version(layout, name, trail[-1])
