"""Versions whose bytes are a template on a cluster: which of them still has its VM id.

The ids of the build range are used again. A version recorded at an id that another template had names the versions it
replaces, in the same manifest and so in the same rename; which is the later one is a matter of the writers' lock, never
of a clock. The older version stays, as everything in the store does, and reads as replaced.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from imagekit.errors import StoreError
from imagekit.image import BuiltTemplate, ClusterPlace, Reference, VersionId
from imagekit.store.catalogue import list_ids, list_names
from imagekit.store.encoding import encode_json
from imagekit.store.layout import Layout
from imagekit.store.manifest import Version, glance_at_version, read_version


@dataclass(frozen=True, slots=True)
class _Found:
    """A version whose template was recorded at some VM id."""

    name: str
    version: VersionId
    place: ClusterPlace


def find_template(layout: Layout, name: str, built: BuiltTemplate) -> Version | None:
    """Return the version of an image that this very template is already, unless another has taken its VM id since."""
    for found in _list_at(layout, (name,), built.place):
        if _is_same(layout, found, name, built):
            (version,) = mark_replaced(layout, (read_version(layout, name, found.version),))
            if version.replaced_by is None:
                return version
    return None


def list_displaced(layout: Layout, name: str, built: BuiltTemplate) -> tuple[Reference, ...]:
    """Return the versions, of all images, that were another template at the VM id that a version of ``name`` gets."""
    return tuple(
        Reference(found.name, found.version)
        for found in _list_at(layout, list_names(layout), built.place)
        if not _is_same(layout, found, name, built)
    )


def mark_replaced(layout: Layout, versions: Iterable[Version]) -> tuple[Version, ...]:
    """Return the versions with ``replaced_by`` filled in; only when one is on a cluster is the store looked through."""
    given = tuple(versions)
    if all(version.place is None for version in given):
        return given
    replacements = find_replacements(layout)
    return tuple(replace(version, replaced_by=replacements.get(version.reference)) for version in given)


def find_replacements(layout: Layout) -> dict[Reference, Reference]:
    """Return each version whose template is gone, with the one that has its VM id now.

    A template that came back (from a backup) was recorded again: whatever it had lost its id to is replaced itself.
    """
    pairs = [
        (old, Reference(name, found))
        for name, found in _list_all(layout, list_names(layout))
        for old in glance_at_version(layout, name, found)[1]
    ]
    gone = {old for old, _new in pairs}
    return {old: new for old, new in pairs if new not in gone}


def refuse_replaced(layout: Layout, version: Version) -> None:
    """Raise :class:`StoreError` when the version's template is gone: nothing could be delivered of it any more."""
    (marked,) = mark_replaced(layout, (version,))
    if marked.replaced_by is not None:
        raise StoreError(
            f"the template of {version.reference} is gone: {marked.place} is {marked.replaced_by} now",
            hint=f"use {marked.replaced_by}, or build {version.name} again",
        )


def refuse_remote(layout: Layout, version: Version) -> None:
    """Raise :class:`StoreError` when the version's bytes are not in this store."""
    if version.place is None:
        return
    refuse_replaced(layout, version)
    place = version.place
    raise StoreError(
        f"{version.reference} has no disk in this store: its bytes are on the cluster, as {place} of {place.cluster}",
        hint=f"they stay there until they are exported, which imagekit cannot do yet; clone it there, on {place.node}: "
        f"qm clone {place.vm_id} NEWID",
    )


def _is_same(layout: Layout, found: _Found, name: str, built: BuiltTemplate) -> bool:
    """Say whether what was recorded at this VM id is this template: by its mark, by its history when it has none.

    The node counts for nothing: a template can be migrated. Without a mark only versions of one image are compared.
    """
    if found.place.mark != built.place.mark:
        return False
    if built.place.mark:
        return True
    if found.name != name:
        return False
    known = read_version(layout, name, found.version).provenance
    return encode_json(known) == encode_json(built.provenance)  # as JSON: paths and tuples do not come back from a file


def _list_at(layout: Layout, names: Iterable[str], place: ClusterPlace) -> Iterator[_Found]:
    """Yield the versions that were recorded at a VM id of a cluster."""
    for name, version in _list_all(layout, names):
        known, _replaces = glance_at_version(layout, name, version)
        if known is not None and (known.cluster, known.vm_id) == (place.cluster, place.vm_id):
            yield _Found(name, version, known)


def _list_all(layout: Layout, names: Iterable[str]) -> Iterator[tuple[str, VersionId]]:
    for name in names:
        for found in list_ids(layout, name):
            yield name, found
