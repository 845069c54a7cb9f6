"""What builds with Packer left: here, by their records, and on the cluster, by their marks; and its removal."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from imagekit.build.packer.remains import Remains, find_live_builds, find_remains, remove_remains
from imagekit.cluster.api import Cluster, open_cluster
from imagekit.cluster.failures import ClusterFailed
from imagekit.cluster.leftovers import Leftover, find_leftovers
from imagekit.cluster.removal import remove_leftover
from imagekit.cluster.template import find_vm
from imagekit.errors import ImagekitError
from imagekit.pipeline.options import BuildOptions, choose_definition
from imagekit.progress import Event, Progress, silent
from imagekit.settings import ClusterSettings, Settings, read_cluster

if TYPE_CHECKING:
    from imagekit.definition import Project

STRANGE = "of no build that this machine knows: another machine's may be running"


@dataclass(frozen=True, slots=True)
class LeftBuild:
    """What one build left: ``remains`` on this machine, ``leftovers`` on the cluster, each proven to be the build's.

    ``gone`` says that nothing else of it is on the cluster: its record may go.
    """

    build_id: str
    remains: Remains | None
    leftovers: tuple[Leftover, ...]
    gone: bool

    @property
    def empty(self) -> bool:
        """Whether only a record is left, of what is gone."""
        return self.gone and not self.leftovers and (self.remains is None or not self.remains.list_parts())


@dataclass(frozen=True, slots=True)
class Left:
    """What was found: ``builds`` can be removed, ``untouchable`` cannot, each with its ``note``.

    ``cluster`` is the one that was looked at, ``problem`` why it could not be, and ``builds`` is then what is here.
    """

    builds: tuple[LeftBuild, ...]
    untouchable: tuple[Leftover, ...]
    cluster: ClusterSettings | None
    problem: ImagekitError | None


def find_left(settings: Settings, project: "Project", *, others: bool = False) -> Left:
    """Look at this machine and, when one is configured, at the cluster; nothing is changed.

    Builds that go on are left out. With ``others``, what this machine knows nothing of counts as a dead build's too.
    """
    left: list[Leftover] = []
    cluster, problem = None, None
    everything: dict[str, bool] = {}
    remains = {one.record.build_id: one for one in find_remains(settings.state)}
    try:
        cluster = read_cluster(project.cluster, (image.vm_id for image in project.images.values()))
        if cluster is not None:
            with open_cluster(cluster.access) as opened:
                left = list(find_leftovers(opened, cluster.placement))
                everything = {key: _is_gone(opened, one, left) for key, one in remains.items()}
    except ImagekitError as caught:
        problem = caught
    # Asked last: a build that began while we looked is alive, and one that ended has nothing left.
    alive = find_live_builds(settings.state, settings.cache)
    left = [one for one in left if one.build_id not in alive]
    known = remains.keys() | _list_logged(settings)
    ours = [one for one in left if one.ours and (others or one.build_id in known)]
    strange = [replace(one, ours=False, note=STRANGE) for one in left if one.ours and one not in ours]
    ids = dict.fromkeys([*(key for key in remains if key not in alive), *(one.build_id for one in ours)])
    builds = tuple(
        LeftBuild(
            key,
            remains.get(key),
            tuple(one for one in ours if one.build_id == key),
            key not in remains or everything.get(key, not remains[key].record.on_cluster),
        )
        for key in ids
    )
    return Left(builds, (*(one for one in left if not one.ours), *strange), cluster, problem)


def _is_gone(cluster: Cluster, remains: Remains, left: list[Leftover]) -> bool:
    """Say whether nothing of a build is on the cluster but what was found there and is certainly the build's.

    A VM that has the id and another build's mark is that one's, and one without any mark cannot be told from a user's.
    """
    record = remains.record
    if not record.on_cluster:
        return True
    if record.cluster and record.cluster != cluster.access.url:
        return False
    machines = [one for one in left if record.vm_id and one.vm_id == record.vm_id]
    volumes = [one for one in left if record.seed_volume and one.volume == record.seed_volume]
    if any(not one.ours and one.build_id in ("", record.build_id) for one in (*machines, *volumes)):
        return False
    try:
        return bool(machines) or not record.vm_id or find_vm(cluster, record.vm_id) is None
    except ClusterFailed:
        return False  # it is there, and nobody lets us see it


def _list_logged(settings: Settings) -> frozenset[str]:
    """Return the ids of all builds that this machine has a log of."""
    return frozenset(path.stem.rpartition("-")[2] for path in (settings.state / "packer-logs").glob("*-*.log"))


def remove_left(build: LeftBuild, cluster: ClusterSettings | None, progress: Progress = silent) -> None:
    """Remove what a build left, on the cluster first; what is on this machine goes even if that fails.

    The record stays as long as something may be on the cluster. Raises the errors of the API, :class:`Refused` for a VM
    that was changed since it was found, and :class:`HostFailed`.
    """
    problem = None
    if build.leftovers and cluster is not None:
        try:
            with open_cluster(cluster.access) as opened:
                for leftover in build.leftovers:
                    remove_leftover(opened, leftover, progress=progress)
        except ImagekitError as caught:
            problem = caught
    if build.remains is not None:
        remove_remains(build.remains, forget=build.gone and problem is None)
    if problem is not None:
        raise problem


def remove_dead_builds(settings: Settings, progress: Progress) -> None:
    """Remove what dead builds left on this machine, and tell it; what was kept on purpose stays.

    So do the records of what is on the cluster, for :func:`find_left`. What cannot be removed is a warning.
    """
    stage = "clearing up after dead builds"
    for remains in find_remains(settings.state):
        if remains.record.kept:
            continue
        try:
            remove_remains(remains, forget=not remains.record.on_cluster)
        except (ImagekitError, OSError) as problem:
            progress(Event(stage, note=f"warning: {problem}"))
            continue
        if parts := remains.list_parts():
            progress(Event(stage, note=f"removed what build {remains.record.build_id} left: {', '.join(parts)}"))


def find_left_for(name: str, project: "Project", settings: Settings, options: BuildOptions) -> Left | None:
    """Return what :func:`find_left` finds before a build that goes to the cluster; ``None`` for any other build.

    Raises what is wrong with the definition.
    """
    from imagekit.build.packer.choose import choose_road
    from imagekit.definition import Builder

    definition = choose_definition(name, project, options)
    if definition.builder is not Builder.PACKER:
        return None
    cluster = read_cluster(project.cluster, (image.vm_id for image in project.images.values()))
    source = choose_road(definition, has_cluster=cluster is not None).source
    return find_left(settings, project) if source is not None and source.on_cluster else None
