"""A finished template on the cluster: where it is, and its config for the lint."""

from collections.abc import Sequence

from imagekit.cluster.api import Cluster, join_path
from imagekit.cluster.failures import NoPermission
from imagekit.cluster.machines import is_free, list_machines, read_config


def read_template_config(cluster: Cluster, node: str, vm_id: int) -> dict[str, object]:
    """Return a VM's config as the API has it: keys as in ``qm config``, values as text or numbers, and its ``digest``.

    Raises :class:`Missing` when there is none, :class:`NoPermission` when the token may not read it.
    """
    return dict(read_config(cluster, node, vm_id))


def find_vm(cluster: Cluster, vm_id: int) -> str | None:
    """Return the node of a VM; ``None`` when no VM of the whole cluster has the id (a container may).

    Raises :class:`NoPermission` when a guest has the id and the token may not see it.
    """
    for machine in list_machines(cluster):
        if machine.vm_id == vm_id and not machine.container:
            return machine.node
        if machine.vm_id == vm_id:
            return None
    if is_free(cluster, vm_id):
        return None
    token = cluster.access.token_id
    raise NoPermission(
        f"something has the id {vm_id}, and the token {token} may not see it: it needs VM.Audit on /vms/{vm_id}",
        path=f"/vms/{vm_id}", privileges=("VM.Audit",), said="",
        hint="imagekit doctor --cluster says how to grant what is missing",
    )  # fmt: skip


def label_template(cluster: Cluster, node: str, vm_id: int, tags: Sequence[str]) -> None:
    """Give a VM exactly these tags, of ``a-z``, ``0-9``, ``_`` and ``-``; raises the errors of the API."""
    cluster.put(join_path("nodes", node, "qemu", vm_id, "config"), {"tags": ";".join(tags)})


def keep_packages(cluster: Cluster, node: str, vm_id: int) -> None:
    """Have clones start with the packages of their template.

    Packer's plugin 1.2.4 asks for an upgrade at each first boot and has a field to say no, which 1.2.2 does not know.
    """
    cluster.put(join_path("nodes", node, "qemu", vm_id, "config"), {"ciupgrade": 0})
