"""What a build takes of a cluster where its operator left it open, or whether it can be had where not."""

from collections.abc import Sequence

from imagekit.cluster.answer import read_rows, read_text
from imagekit.cluster.api import Cluster
from imagekit.cluster.machines import Machine, find_free_id, find_machine, is_free, read_config
from imagekit.cluster.need import Need
from imagekit.host.ability import Ability


def choose_node(cluster: Cluster, wanted: str, found: list[Ability]) -> str:
    """Return the node that the build runs on, empty when there is none to take, and add its row."""
    rows = read_rows(cluster.get("/nodes"), "GET /nodes")
    status = {read_text(row, "node"): read_text(row, "status") for row in rows}
    online = sorted(name for name, state in status.items() if state == "online")
    listed = ", ".join(sorted(status)) or "none"
    if not wanted and len(online) == 1:
        found.append(Ability("node", ok=True, found=f"{online[0]}, the only one online"))
        return online[0]
    if not wanted:
        seen = f"none was named, and {len(online)} are online: {', '.join(online)}" if online else "none is online"
        found.append(Ability("node", ok=False, found=seen, note="name one as the cluster's node"))
        return ""
    if wanted not in status:
        found.append(Ability("node", ok=False, found=f"there is no {wanted}", note=f"the cluster has {listed}"))
        return ""
    if wanted not in online:
        found.append(Ability("node", ok=False, found=f"{wanted} is {status[wanted] or 'in no known state'}"))
        return ""
    found.append(Ability("node", ok=True, found=f"{wanted}, online"))
    return wanted


def choose_id(cluster: Cluster, need: Need, machines: Sequence[Machine], found: list[Ability]) -> int | None:
    """Return the VM id that the build takes, ``None`` when there is none to take, and add its row."""
    ids = f"{need.build_ids.start} to {need.build_ids.stop - 1}"
    if need.vm_id is None:
        chosen = find_free_id(cluster, need.build_ids, (machine.vm_id for machine in machines))
        if chosen is None:
            note = "remove what old builds left, or widen build_ids"
            found.append(Ability("VM id", ok=False, found=f"none of {ids} is free", note=note))
        else:
            found.append(Ability("VM id", ok=True, found=f"{chosen}, the lowest free one of {ids}"))
        return chosen
    if need.vm_id not in need.build_ids:
        note = f"builds work in {ids} only; what is there already is never overwritten"
        found.append(Ability("VM id", ok=False, found=f"{need.vm_id} is outside of the builds' range", note=note))
        return None
    if is_free(cluster, need.vm_id):
        found.append(Ability("VM id", ok=True, found=f"{need.vm_id}, free"))
        return need.vm_id
    holder = next((machine.name for machine in machines if machine.vm_id == need.vm_id), "")
    seen = f"{need.vm_id} is taken" + (f" by {holder}" if holder else "")
    found.append(Ability("VM id", ok=False, found=seen, note="what exists is never overwritten"))
    return None


def examine_clone(
    cluster: Cluster, need: Need, node: str, machines: Sequence[Machine], found: list[Ability]
) -> Machine | None:
    """Return the VM that is cloned, ``None`` when it is not found, and add its row."""
    wanted = need.clone_source
    matches = find_machine(machines, wanted) if wanted is not None else []
    if len(matches) != 1:
        seen = f"{len(matches)} VMs are named {wanted}" if matches else f"there is no VM {wanted}"
        note = "name it by its id" if matches else "it may be there and not be seen: that takes VM.Audit on it"
        found.append(Ability("clone source", ok=False, found=seen, note=note))
        return None
    machine = matches[0]
    config = read_config(cluster, machine.node, machine.vm_id)
    what = "template" if machine.template else "VM, no template: only full clones of it can be made"
    firmware = read_text(config, "bios") or "seabios"
    seen = f"{machine.vm_id} {machine.name}, a {what}, {firmware}, on {machine.node}"
    notes = []
    if machine.lock:
        notes.append(f"it is locked ({machine.lock})")
    if need.uefi and firmware != "ovmf":
        notes.append("the template shall start by UEFI, and this does not: bios has to be ovmf")
    elif need.uefi and "efidisk0" not in config:
        notes.append("it has no EFI disk: its boot entries would be forgotten")
    required = bool(notes)
    if node and machine.node != node:
        notes.append(f"it is not on {node}: a clone there needs all its disks on storage that both nodes share")
    found.append(Ability("clone source", not notes, seen, "; ".join(notes), required=required or not notes))
    return machine
