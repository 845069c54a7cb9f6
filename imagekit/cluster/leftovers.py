"""What dead builds left on the cluster: finding it by its marks. Nothing is removed here.

A build tags its VM at creation, so that even a build that was killed is recognised. Clones inherit tags, which is why
a tag alone proves nothing: only a VM in the range of build ids, which nothing but builds may use, can be a leftover.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from imagekit.cluster.answer import Fields, read_rows, read_text, read_words
from imagekit.cluster.api import Cluster
from imagekit.cluster.failures import ClusterFailed, Missing, NoPermission
from imagekit.cluster.machines import Machine, list_machines, read_config
from imagekit.cluster.placement import Placement
from imagekit.cluster.storages import list_volumes

BUILD_TAG: Final = "imagekit-build"
# What Packer's plugin describes a VM as until its last step, and the names that builds give theirs until then.
_PACKER_DESCRIPTION: Final = "Packer ephemeral build VM"
_PACKER_NAME: Final = "build-"
_BUILD_ID_TAG: Final = re.compile(r"ik-b-([0-9a-f]{12})")
_SEED: Final = re.compile(r"iso/imagekit-seed-([0-9a-f]{12})\.iso")
_PACKER_SEED: Final = re.compile(r"iso/packer[0-9]+\.iso")


class LeftoverKind(StrEnum):
    """What is left: a VM or template with its disks, or an ISO image on a storage."""

    MACHINE = "machine"
    VOLUME = "volume"


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that a build left.

    Only what is ``ours``, proven by its marks and its place, may be removed; ``note`` says why something is not.
    ``vm_id``, ``tags``, ``status`` and ``digest`` (of the config when it was found) are a machine's, ``volume`` is a
    volume's id. ``build_id`` is empty when no mark says it. ``build_ids`` is the range that removal stays within.
    """

    kind: LeftoverKind
    node: str
    name: str
    ours: bool
    note: str
    build_ids: range
    build_id: str = ""
    vm_id: int | None = None
    tags: frozenset[str] = frozenset()
    digest: str = ""
    status: str = ""
    volume: str = ""


def name_build_tag(build_id: str) -> str:
    """Return the tag that carries a build's id, which is 12 lower-case hexadecimal digits."""
    return f"ik-b-{build_id}"


def name_seed(build_id: str) -> str:
    """Return the name of a build's seed ISO on its storage."""
    return f"imagekit-seed-{build_id}.iso"


def find_leftovers(cluster: Cluster, placement: Placement) -> tuple[Leftover, ...]:
    """Return what builds left, VMs before volumes: a VM that goes lets go of its seed ISO.

    A build that runs at this moment looks the same: the caller leaves out the build ids that it knows to be alive.
    What the token may not see is not found.
    """
    machines = [machine for machine in list_machines(cluster) if not machine.container]
    left = list(_find_machines(cluster, machines, placement.build_ids))
    gone = {leftover.vm_id for leftover in left if leftover.ours}
    others = [machine for machine in machines if machine.vm_id not in gone]
    return (*left, *_find_volumes(cluster, others, placement))


def find_users(cluster: Cluster, machines: Sequence[Machine], volume: str) -> tuple[list[int], list[int]]:
    """Return the ids of the VMs that have ``volume`` in a drive, and of those whose config cannot be read."""
    users, unknown = [], []
    for machine in machines:
        try:
            config = read_config(cluster, machine.node, machine.vm_id)
        except ClusterFailed:
            unknown.append(machine.vm_id)
            continue
        if any(str(value).split(",")[0] == volume for value in config.values()):
            users.append(machine.vm_id)
    return users, unknown


def read_build_id(tags: frozenset[str]) -> str:
    """Return the build id that a VM's tags carry: empty unless the build's tag and exactly one id are among them."""
    ids = [match[1] for tag in sorted(tags) if (match := _BUILD_ID_TAG.fullmatch(tag))]
    return ids[0] if BUILD_TAG in tags and len(ids) == 1 else ""


def read_tags(config: Fields) -> frozenset[str]:
    """Return a config's tags."""
    return frozenset(read_words(config, "tags"))


def _find_machines(cluster: Cluster, machines: Sequence[Machine], build_ids: range) -> Iterator[Leftover]:
    for machine in machines:
        tagged = BUILD_TAG in machine.tags
        if not tagged and machine.vm_id not in build_ids:
            continue
        try:
            config = read_config(cluster, machine.node, machine.vm_id)
        except Missing:
            continue  # it went while we looked
        except ClusterFailed as problem:  # its node is away
            if tagged:
                yield _describe(machine, {}, build_ids, note=f"its config cannot be read: {problem.message}")
            continue
        tags = read_tags(config)
        if build_id := read_build_id(tags):
            outside = machine.vm_id not in build_ids
            note = "outside of the builds' range: a clone of a build's VM has its tags too" if outside else ""
            yield _describe(machine, config, build_ids, note=note, build_id=build_id)
        elif BUILD_TAG in tags:
            yield _describe(machine, config, build_ids, note="its tags do not say of which build it is")
        elif machine.vm_id in build_ids and _has_packer_marks(machine, config):
            yield _describe(machine, config, build_ids, note="Packer's, by its name or description, but not tagged")


def _has_packer_marks(machine: Machine, config: Fields) -> bool:
    description = read_text(config, "description").strip()
    return description == _PACKER_DESCRIPTION or machine.name.startswith(_PACKER_NAME)


def _describe(machine: Machine, config: Fields, build_ids: range, *, note: str, build_id: str = "") -> Leftover:
    return Leftover(
        kind=LeftoverKind.MACHINE,
        node=machine.node,
        name=machine.name,
        ours=not note,
        note=note,
        build_ids=build_ids,
        build_id=build_id,
        vm_id=machine.vm_id,
        tags=read_tags(config),
        digest=read_text(config, "digest"),
        status=machine.status,
    )


def _find_volumes(cluster: Cluster, machines: Sequence[Machine], placement: Placement) -> Iterator[Leftover]:
    for node in [placement.node] if placement.node else _list_online(cluster):
        try:
            volumes = list_volumes(cluster, node, placement.iso_storage, "iso")
        except (NoPermission, Missing):
            continue
        for volume in volumes:
            seed = _SEED.fullmatch(volume.name)
            if not seed and not _PACKER_SEED.fullmatch(volume.name):
                continue
            users, unknown = find_users(cluster, machines, volume.identity)
            if users:
                continue
            note = "" if seed else "Packer's, by its name: whose build it was, nothing says"
            if unknown:
                note = f"whether VM {', '.join(map(str, unknown))} uses it cannot be read"
            yield Leftover(
                kind=LeftoverKind.VOLUME,
                node=node,
                name=volume.name.removeprefix("iso/"),
                ours=not note,
                note=note,
                build_ids=placement.build_ids,
                build_id=seed[1] if seed else "",
                volume=volume.identity,
            )


def _list_online(cluster: Cluster) -> list[str]:
    rows = read_rows(cluster.get("/nodes"), "GET /nodes")
    return sorted(read_text(row, "node") for row in rows if read_text(row, "status") == "online")
