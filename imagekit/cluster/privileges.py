"""Which rights a Packer build needs, where, by PVE's major version; and which of them a token has.

The table was measured on Proxmox VE 9.2 with Packer 1.16 and plugin 1.2.4 by taking one privilege away at a time, and
holds what failed without. Paths and their inheritance: pveum(1), "Permission Management".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from imagekit.cluster.answer import Fields, read_fields, read_number
from imagekit.cluster.api import Cluster
from imagekit.cluster.need import Need, SourceKind

OLDEST_MAJOR: Final = 8
NEWEST_MAJOR: Final = 9  # of those whose privileges are known

# What is seen without it, since most show only after minutes and some only as something else.
_MACHINE: Final = {
    "VM.Allocate": "the VM cannot be made",
    "VM.Audit": "the build fails after provisioning",
    "VM.PowerMgmt": "the VM cannot be started, and is left behind",
    "VM.Config.CPU": "the VM cannot be made",
    "VM.Config.Memory": "the VM cannot be made",
    "VM.Config.Network": "the VM cannot be made",
    "VM.Config.Options": "the VM cannot be made",
    "VM.Config.HWType": "the VM cannot be made",
    "VM.Config.CDROM": "the build fails in its last step, and everything is deleted",
    "VM.Config.Cloudinit": "the build fails in its last step, and everything is deleted",
}
# PVE 9 took VM.Monitor away: a role that names it cannot even be made there.
_AGENT: Final = {8: ("VM.Monitor",), 9: ("VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted")}
_AGENT_LOSS: Final = "the guest's address stays unknown: Packer ends with a timeout waiting for SSH"


@dataclass(frozen=True, slots=True)
class Right:
    """One privilege that is needed on ``path``, or on ``pool_path`` where that is not empty.

    Any of ``privileges`` will do; the first is the least. ``loss`` says what is seen without it, ``grant_path`` where
    it is best given.
    """

    path: str
    privileges: tuple[str, ...]
    loss: str
    grant_path: str
    pool_path: str = ""


def list_rights(
    need: Need, major: int, *, vm_id: int, clone_id: int | None = None, zone: str = "localnetwork"
) -> list[Right]:
    """Return every right that the build needs on PVE ``major``, ordered by path.

    ``clone_id`` is the VM that is cloned, ``zone`` the SDN zone of the bridge: ``localnetwork`` for a node's own.
    """
    pool = f"/pool/{need.pool}" if need.pool else ""
    machine = f"/vms/{vm_id}"
    rights = [
        Right(machine, privileges, loss, pool or "/vms", pool)
        for privileges, loss in _list_machine_privileges(need, major)
    ]
    if need.pool:  # the pool's rights do not count for tags before the VM is in it, and the task fails at its end
        loss = "a VM with tags cannot be made: they are looked at before the VM is in the pool"
        rights.append(Right(machine, ("VM.Config.Options",), loss, "/vms"))
    if clone_id is not None:
        source = f"/vms/{clone_id}"
        rights.append(Right(source, ("VM.Clone",), "the template cannot be cloned", source))
        rights.append(Right(source, ("VM.Audit",), "the template is not seen", source))
    disks = f"/storage/{need.storage}"
    rights.append(Right(disks, ("Datastore.AllocateSpace",), "no disk can be made", disks))
    if need.iso_volume:
        media = f"/storage/{need.iso_volume.partition(':')[0]}"
        rights.append(Right(media, ("Datastore.Audit",), "the ISO image is not seen", media))
    if need.uploads:
        seeds = f"/storage/{need.iso_storage}"
        rights.append(Right(seeds, ("Datastore.AllocateTemplate",), "the upload breaks off with a TLS error", seeds))
        loss = "the build ends with an error although the template is complete, and its seed ISO is left"
        rights.append(Right(seeds, ("Datastore.Allocate",), loss, seeds))
    bridge = f"/sdn/zones/{zone}/{need.bridge}"
    vlan = f"{bridge}/{need.vlan}" if need.vlan else bridge
    rights.append(Right(vlan, ("SDN.Use",), "the bridge is not seen and cannot be used", bridge))
    return sorted(dict.fromkeys(rights), key=lambda right: right.path)


def _list_machine_privileges(need: Need, major: int) -> list[tuple[tuple[str, ...], str]]:
    known = min(max(major, OLDEST_MAJOR), NEWEST_MAJOR)
    found: list[tuple[tuple[str, ...], str]] = [((privilege,), loss) for privilege, loss in _MACHINE.items()]
    found.append((_AGENT[known], _AGENT_LOSS))
    if need.source is SourceKind.ISO:
        found.append((("VM.Console",), "the boot command cannot be typed"))
    if need.sends_boot:
        found.append((("VM.Config.Disk",), "the boot order cannot be set"))
    return found


class Rights:
    """What one token may do: privileges by path, each with whether paths below inherit it."""

    def __init__(self, granted: Mapping[str, Mapping[str, bool]]) -> None:
        self.granted = granted

    @property
    def empty(self) -> bool:
        """Say whether there is no right at all: what a token with privilege separation has until it is given some."""
        return not any(self.granted.values())

    def has(self, right: Right) -> bool:
        """Say whether one of the right's privileges is held on its path or through its pool."""
        held = self.list_privileges(right.path)
        if right.pool_path:
            held |= self.list_privileges(right.pool_path)
        return not held.isdisjoint(right.privileges)

    def list_privileges(self, path: str) -> frozenset[str]:
        """Return the privileges on ``path``.

        PVE lists for each path what is in force there, inherited or not, so the path's own entry is the whole truth;
        a path without one inherits from the nearest above what is marked as propagating.
        """
        if path in self.granted:
            return frozenset(self.granted[path])
        above = path
        while above not in ("", "/"):
            above = above.rpartition("/")[0] or "/"
            if above in self.granted:
                return frozenset(name for name, propagates in self.granted[above].items() if propagates)
        return frozenset()


def read_rights(cluster: Cluster, paths: Sequence[str] = ()) -> Rights:
    """Ask the cluster for the token's own rights: all that are listed, and what is in force on each of ``paths``.

    The list has only paths with entries of their own, and a pool's rights on its members are among them; asking for a
    path has PVE work the inheritance out itself, which knows more than the list shows (``NoAccess`` on a path between).
    """
    granted: dict[str, dict[str, bool]] = {}
    _add_rights(granted, read_fields(cluster.get("/access/permissions"), "GET /access/permissions"))
    if any(granted.values()):  # without any there is nothing to inherit
        for path in dict.fromkeys(paths):
            answer = cluster.get("/access/permissions", {"path": path})
            _add_rights(granted, read_fields(answer, "GET /access/permissions"))
    return Rights(granted)


def _add_rights(granted: dict[str, dict[str, bool]], answer: Fields) -> None:
    for path, entry in answer.items():
        if isinstance(entry, dict):
            granted[path] = {str(name): read_number(entry, name) == 1 for name in entry}


def find_zone(rights: Rights, bridge: str) -> str:
    """Return the SDN zone that the token's rights name with this bridge: a node's own bridges are in `localnetwork`."""
    for path in rights.granted:
        match path.split("/"):
            case ["", "sdn", "zones", zone, name, *_] if name == bridge:
                return zone
            case _:
                continue
    return "localnetwork"


def list_missing(rights: Rights, needed: Sequence[Right]) -> list[Right]:
    """Return the rights that are not held."""
    return [right for right in needed if not rights.has(right)]


def explain_grant(needed: Sequence[Right], grant_path: str, token_id: str) -> str:
    """Return the commands that give the token all it needs on ``grant_path``, to be run by root on a node.

    A role on a path replaces what is inherited there, so it gets everything, what is held already included. A token
    with privilege separation has only what its user has too, so both get it.
    """
    privileges = sorted({right.privileges[0] for right in needed if right.grant_path == grant_path})
    role = "Imagekit-" + "-".join(part for part in grant_path.strip("/").replace(".", "-").split("/") if part)
    user = token_id.partition("!")[0]
    who = f"--tokens '{token_id}'" + ("" if user == "root@pam" else f" --users {user}")
    return (
        f"pveum role add {role} --privs '{','.join(privileges)}' && pveum acl modify {grant_path} --roles {role} {who}"
    )


def group_by_path(rights: Sequence[Right]) -> list[tuple[str, list[Right]]]:
    """Return the rights under the path that each is best granted on."""
    ordered = sorted(rights, key=lambda right: right.grant_path)
    return [(path, list(group)) for path, group in groupby(ordered, key=lambda right: right.grant_path)]
