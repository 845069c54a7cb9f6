"""The seed of a build as an ISO on a node's storage: brought there before the build, removed after it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from imagekit.cluster.api import Cluster, join_path
from imagekit.cluster.leftovers import Leftover, LeftoverKind, name_seed
from imagekit.cluster.removal import remove_leftover
from imagekit.cluster.tasks import wait_for_task
from imagekit.errors import ImagekitError
from imagekit.progress import Progress, silent

_SECONDS: Final = 300.0


def name_seed_volume(storage: str, build_id: str) -> str:
    """Return the volume id of a build's seed on ``storage``."""
    return f"{storage}:iso/{name_seed(build_id)}"


@contextmanager
def upload_seed(
    cluster: Cluster, node: str, storage: str, seed: Path, build_id: str, progress: Progress = silent
) -> Iterator[str]:
    """Upload the ISO ``seed`` and yield its volume id; it is removed however the block is left, if that is possible.

    What a failed build leaves (a VM that is kept uses it) and ``kill -9``,
    :func:`imagekit.cluster.leftovers.find_leftovers` finds by its name. Raises the errors of
    :mod:`imagekit.cluster.failures`; those of removing never hide one of the block.
    """
    volume = name_seed_volume(storage, build_id)
    path = join_path("nodes", node, "storage", storage, "upload")
    try:
        task = cluster.upload(path, "iso", seed, name_seed(build_id))
        wait_for_task(cluster, task, stage="uploading the seed", timeout=_SECONDS, progress=progress)
        yield volume
    except BaseException:
        with suppress(ImagekitError):
            remove_seed(cluster, node, volume, build_id, progress)
        raise
    remove_seed(cluster, node, volume, build_id, progress)


def remove_seed(cluster: Cluster, node: str, volume: str, build_id: str, progress: Progress = silent) -> None:
    """Remove a build's seed; one that is not there, or gone meanwhile, is no error."""
    left = Leftover(
        LeftoverKind.VOLUME, node, volume, ours=True, note="", build_ids=range(0), build_id=build_id, volume=volume
    )
    remove_leftover(cluster, left, progress=progress)
