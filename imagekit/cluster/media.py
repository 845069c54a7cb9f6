"""The storages' part of the preflight: room and format for disks, a place for ISO images, and the image itself."""

from typing import Final

from imagekit.cluster.api import Cluster
from imagekit.cluster.need import Need
from imagekit.cluster.storages import Storage, list_storages, list_volumes
from imagekit.host.ability import Ability

GIB: Final = 1 << 30
# A thin disk takes what is written to it: an installed system with its package caches is below this.
_WRITTEN: Final = 4 * GIB
_SEED_BYTES: Final = 64 << 20  # more than any seed ISO takes: PVE keeps uploads on the node's own disk first


def examine_disks(cluster: Cluster, node: str, need: Need, found: list[Ability]) -> None:
    """Add the row of the storage that gets the VM's disks."""
    storages = list_storages(cluster, node)
    problem, storage = _find_storage(storages, need.storage, node, "images")
    subject = f"storage {need.storage}"
    if storage is None:
        found.append(Ability(subject, ok=False, found=problem, note=_advise_missing(storages)))
        return
    seen = f"{storage.kind}, {_show_free(storage)}"
    if problem:
        found.append(Ability(subject, ok=False, found=problem))
    elif need.disk_format not in storage.formats:
        note = f"set the disk's format to {' or '.join(storage.formats)}"
        found.append(Ability(subject, ok=False, found=f"{storage.kind} holds no {need.disk_format} disks", note=note))
    elif storage.free is not None and storage.free < (
        need.disk_bytes if storage.thick else min(need.disk_bytes, _WRITTEN)
    ):
        note = f"the disk is {need.disk_bytes / GIB:.1f} GiB" + ("" if storage.thick else " and will be partly filled")
        found.append(Ability(subject, ok=False, found=seen, note=note))
    elif storage.free is not None and storage.free < need.disk_bytes:
        note = f"less than the disk's {need.disk_bytes / GIB:.1f} GiB: enough only for as long as it is not filled"
        found.append(Ability(subject, ok=False, found=seen, note=note, required=False))
    else:
        found.append(Ability(subject, ok=True, found=seen))


def examine_media(cluster: Cluster, node: str, need: Need, found: list[Ability]) -> None:
    """Add the rows of the ISO image and of the storage that seed ISOs are put on, as far as the build has them."""
    storages = list_storages(cluster, node)
    if need.uploads:
        problem, storage = _find_storage(storages, need.iso_storage, node, "iso")
        if not problem and storage is not None and storage.free is not None and storage.free < _SEED_BYTES:
            problem = f"{_show_free(storage)}: no room for a seed ISO"
        note = _advise_missing(storages) if storage is None else ""
        seen = problem or (f"{storage.kind}, {_show_free(storage)}" if storage else "")
        found.append(Ability(f"ISO storage {need.iso_storage}", not problem, seen, note))
    if need.iso_volume:
        found.append(_examine_image(cluster, node, need.iso_volume, storages))


def _examine_image(cluster: Cluster, node: str, identity: str, storages: dict[str, Storage]) -> Ability:
    subject, place = f"ISO image {identity}", identity.partition(":")[0]
    problem, storage = _find_storage(storages, place, node, "iso")
    if problem:
        return Ability(subject, ok=False, found=problem, note=_advise_missing(storages) if storage is None else "")
    volumes = {volume.identity: volume for volume in list_volumes(cluster, node, place, "iso")}
    if identity not in volumes:
        known = ", ".join(sorted(volumes)) or "none"
        return Ability(subject, ok=False, found=f"not on {place} of {node}", note=f"ISO images there: {known}")
    if volumes[identity].size <= 0:
        return Ability(subject, ok=False, found="empty", note="it was not uploaded to its end: do that again")
    return Ability(subject, ok=True, found=f"{volumes[identity].size / GIB:.1f} GiB")


def _find_storage(
    storages: dict[str, Storage], name: str, node: str, content: str
) -> tuple[str, Storage | None]:  # fmt: skip
    """Return what keeps the storage from holding ``content``, empty for nothing, and the storage if it is seen."""
    storage = storages.get(name)
    if storage is None:
        return f"not seen on {node}", None
    if not storage.enabled:
        return f"not enabled on {node}", storage
    if not storage.active:
        return f"not active on {node}", storage
    if content not in storage.contents:
        return f"not for content {content!r}, only for {', '.join(storage.contents) or 'none'}", storage
    return "", storage


def _advise_missing(storages: dict[str, Storage]) -> str:
    seen = f"seen are {', '.join(sorted(storages))}" if storages else "none is seen at all"
    return f"{seen}; a storage is shown to a token with Datastore.Audit or AllocateSpace on it: see the rights above"


def _show_free(storage: Storage) -> str:
    return "free space not known" if storage.free is None else f"{storage.free / GIB:.1f} GiB free"
