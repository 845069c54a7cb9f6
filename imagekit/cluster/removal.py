"""Removing what a dead build left on the cluster, after looking once more that it is what was found."""

from typing import Final

from imagekit.cluster.answer import Fields, read_fields, read_flag, read_text
from imagekit.cluster.api import Cluster, join_path
from imagekit.cluster.failures import Missing
from imagekit.cluster.leftovers import Leftover, LeftoverKind, find_users, read_build_id, read_tags
from imagekit.cluster.machines import list_machines, read_config
from imagekit.cluster.storages import list_volumes
from imagekit.cluster.tasks import wait_for_task
from imagekit.errors import Refused
from imagekit.progress import Progress, silent

_TEMPLATE_ID: Final = 9000  # what everybody's clones are made of; no range of build ids, however wide, includes it
_TASK_SECONDS: Final = 600.0


def remove_leftover(
    cluster: Cluster, leftover: Leftover, *, timeout: float = _TASK_SECONDS, progress: Progress = silent
) -> None:
    """Stop and delete a VM with its disks, or delete an ISO image, and wait until that is done.

    What has gone meanwhile is no error. Raises :class:`Refused` for everything that is not proven to be a dead build's,
    that was changed since it was found, or that is protected or locked; ``timeout`` is in seconds, for each task.
    A crash on the way leaves a stopped VM, which is found again.
    """
    if not leftover.ours:
        raise Refused(f"{_name(leftover)} is not removed: {leftover.note}")
    if leftover.kind is LeftoverKind.VOLUME:
        _remove_volume(cluster, leftover, timeout, progress)
    else:
        _remove_machine(cluster, leftover, timeout, progress)


def _remove_machine(cluster: Cluster, leftover: Leftover, timeout: float, progress: Progress) -> None:
    vm_id = leftover.vm_id
    if vm_id is None or vm_id not in leftover.build_ids or vm_id == _TEMPLATE_ID:
        raise Refused(f"{_name(leftover)} is not removed: it is outside of the range of build ids")
    path = join_path("nodes", leftover.node, "qemu", vm_id)
    try:
        _require_unchanged(read_config(cluster, leftover.node, vm_id), leftover)
        state = read_fields(cluster.get(f"{path}/status/current"), f"GET {path}/status/current")
        if read_text(state, "status") != "stopped":
            stop = cluster.post(f"{path}/status/stop")
            wait_for_task(cluster, stop, stage=f"stopping VM {vm_id}", timeout=timeout, progress=progress)
            _require_unchanged(read_config(cluster, leftover.node, vm_id), leftover)
        # The API takes no digest here: between the last look and this lies one request, and in the range of build ids.
        deleted = cluster.delete(path, {"destroy-unreferenced-disks": True})
    except Missing:
        return
    wait_for_task(cluster, deleted, stage=f"deleting VM {vm_id}", timeout=timeout, progress=progress)


def _require_unchanged(config: Fields, leftover: Leftover) -> None:
    name = _name(leftover)
    if read_tags(config) != leftover.tags or read_build_id(read_tags(config)) != leftover.build_id:
        raise Refused(f"{name} is not removed: its tags were changed since it was found")
    if read_text(config, "digest") != leftover.digest:
        raise Refused(
            f"{name} is not removed: its config was changed since it was found",
            hint="somebody works with it: look again",
        )
    if read_flag(config, "protection"):
        raise Refused(
            f"{name} is not removed: it is protected",
            hint=f"if it shall go, run on {leftover.node}: qm set {leftover.vm_id} --protection 0",
        )
    if lock := read_text(config, "lock"):
        raise Refused(
            f"{name} is not removed: it is locked ({lock})",
            hint=f"if no task works on it any more, run on {leftover.node}: qm unlock {leftover.vm_id}\n"
            "(no API token may remove a lock)",
        )


def _remove_volume(cluster: Cluster, leftover: Leftover, timeout: float, progress: Progress) -> None:
    storage = leftover.volume.partition(":")[0]
    present = list_volumes(cluster, leftover.node, storage, "iso")
    if leftover.volume not in {volume.identity for volume in present}:
        return
    machines = [machine for machine in list_machines(cluster) if not machine.container]
    users, unknown = find_users(cluster, machines, leftover.volume)
    if users or unknown:  # the API would delete it from under a running VM
        what = f"VM {users[0]} uses it" if users else f"whether VM {unknown[0]} uses it cannot be read"
        raise Refused(f"{_name(leftover)} is not removed: {what}")
    path = join_path("nodes", leftover.node, "storage", storage, "content", leftover.volume)
    task = cluster.delete(path)
    if task is not None:  # releases before the task was introduced answered when it was done
        wait_for_task(cluster, task, stage=f"deleting {leftover.volume}", timeout=timeout, progress=progress)


def _name(leftover: Leftover) -> str:
    if leftover.kind is LeftoverKind.VOLUME:
        return f"{leftover.volume} on {leftover.node}"
    return f"VM {leftover.vm_id} ({leftover.name or 'no name'}) on {leftover.node}"
