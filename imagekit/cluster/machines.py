"""The cluster's VMs: which there are, where they are, and which ids are free."""

from collections.abc import Iterable
from dataclasses import dataclass

from imagekit.cluster.answer import Fields, read_fields, read_flag, read_number, read_rows, read_text, read_words
from imagekit.cluster.api import Cluster, join_path
from imagekit.cluster.failures import ClusterFailed


@dataclass(frozen=True, slots=True)
class Machine:
    """A guest as the whole cluster lists it; ``container`` tells LXC's from VMs, ``status`` is ``running`` or not."""

    vm_id: int
    name: str
    node: str
    status: str
    template: bool
    container: bool
    tags: tuple[str, ...]
    lock: str


def list_machines(cluster: Cluster) -> tuple[Machine, ...]:
    """Return every guest that the token may see (VM.Audit), by id; there may be others."""
    rows = read_rows(cluster.get("/cluster/resources", {"type": "vm"}), "GET /cluster/resources")
    found = [machine for row in rows if (machine := _read_machine(row))]
    return tuple(sorted(found, key=lambda machine: machine.vm_id))


def find_machine(machines: Iterable[Machine], wanted: int | str) -> list[Machine]:
    """Return the VMs with this id or this name: names need not be unique on a cluster."""
    return [
        machine for machine in machines
        if not machine.container and wanted in (machine.vm_id, machine.name)
    ]  # fmt: skip


def is_free(cluster: Cluster, vm_id: int) -> bool:
    """Say whether no guest of the whole cluster has this id, those that the token cannot see included."""
    try:
        cluster.get("/cluster/nextid", {"vmid": vm_id})
    except ClusterFailed as problem:
        if problem.status == 400 and "already exists" in problem.said:
            return False
        raise
    return True


def find_free_id(cluster: Cluster, ids: range, taken: Iterable[int]) -> int | None:
    """Return the lowest free id of ``ids``; ``taken`` are known to be used and are not asked for."""
    known = set(taken)
    return next((vm_id for vm_id in ids if vm_id not in known and is_free(cluster, vm_id)), None)


def read_config(cluster: Cluster, node: str, vm_id: int) -> Fields:
    """Return a VM's config; raises :class:`Missing` when there is none, and :class:`NoPermission` without VM.Audit."""
    path = join_path("nodes", node, "qemu", vm_id, "config")
    return read_fields(cluster.get(path), f"GET {path}")


def _read_machine(row: Fields) -> Machine | None:
    vm_id = read_number(row, "vmid")
    if vm_id is None:
        return None
    return Machine(
        vm_id=vm_id,
        name=read_text(row, "name"),  # a VM whose node is away has neither name nor status
        node=read_text(row, "node"),
        status=read_text(row, "status"),
        template=read_flag(row, "template"),
        container=read_text(row, "type") == "lxc",
        tags=read_words(row, "tags"),
        lock=read_text(row, "lock"),
    )
