"""Everything that a Packer build on a cluster would stumble over, found before it starts and all at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from imagekit.cluster.access import TlsKind
from imagekit.cluster.answer import read_fields, read_rows, read_text
from imagekit.cluster.api import Cluster, join_path
from imagekit.cluster.choice import choose_id, choose_node, examine_clone
from imagekit.cluster.failures import CertificateUntrusted, TokenRefused, Unreachable
from imagekit.cluster.machines import Machine, list_machines
from imagekit.cluster.media import examine_disks, examine_media
from imagekit.cluster.need import Need, SourceKind
from imagekit.cluster.privileges import (
    NEWEST_MAJOR,
    OLDEST_MAJOR,
    Right,
    explain_grant,
    find_zone,
    group_by_path,
    list_missing,
    list_rights,
    read_rights,
)
from imagekit.errors import HostFailed, ImagekitError
from imagekit.host.ability import Ability

_LARGEST_SKEW: Final = 30.0  # seconds
_Looked = TypeVar("_Looked")


class ClusterUnfit(HostFailed):
    """The build cannot go well on this cluster as it is; ``problems`` holds one sentence for each reason."""

    def __init__(self, message: str, problems: Sequence[str]) -> None:
        super().__init__(message, hint="imagekit doctor --cluster shows what was looked at")
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the build shall use: the node, the free VM id, and the VM that is cloned (``None`` for an ISO build)."""

    node: str
    vm_id: int
    clone: Machine | None
    abilities: tuple[Ability, ...]

    @property
    def warnings(self) -> tuple[Ability, ...]:
        """What is not as it should be and does not stop the build."""
        return tuple(ability for ability in self.abilities if not ability.ok)


def examine_cluster(cluster: Cluster, need: Need) -> tuple[Ability, ...]:
    """Look at everything the build needs; nothing is changed. An API that cannot be talked to gives its one row."""
    return _survey(cluster, need)[0]


def require_cluster(cluster: Cluster, need: Need) -> Chosen:
    """Look at everything and return what the build shall use; raises :class:`ClusterUnfit` with every obstacle."""
    abilities, node, vm_id, clone = _survey(cluster, need)
    problems = [
        f"{one.subject}: {one.found}" + (f" ({'; '.join(one.note.splitlines())})" if one.note else "")
        for one in abilities if one.required and not one.ok
    ]  # fmt: skip
    if problems or not node or vm_id is None:
        counted = "1 obstacle" if len(problems) == 1 else f"{len(problems)} obstacles"
        raise ClusterUnfit(f"the build cannot go well on {cluster.address}: {counted}", problems)
    return Chosen(node, vm_id, clone, abilities)


def _survey(cluster: Cluster, need: Need) -> tuple[tuple[Ability, ...], str, int | None, Machine | None]:
    found: list[Ability] = []
    try:
        version = read_text(read_fields(cluster.get("/version"), "GET /version"), "version")
    except (Unreachable, CertificateUntrusted, TokenRefused) as problem:
        # nothing else can be known, and every further question would take its time to say the same
        return (Ability("cluster", ok=False, found=problem.message, note=problem.hint or ""),), "", None, None
    major = int(version.partition(".")[0]) if version.partition(".")[0].isdecimal() else 0
    found += [_judge_version(version, major), _judge_tls(cluster), _judge_clock(cluster)]

    node = _look(found, "node", "", lambda: choose_node(cluster, need.node, found))
    nothing: tuple[Machine, ...] = ()
    machines = _look(found, "VMs", nothing, lambda: list_machines(cluster))
    vm_id = _look(found, "VM id", None, lambda: choose_id(cluster, need, machines, found))
    clone = None
    if need.source is SourceKind.CLONE:
        clone = _look(found, "clone source", None, lambda: examine_clone(cluster, need, node, machines, found))
    # Rights are asked for on the id that will be taken; where none is free, the first stands for all of them.
    likely = vm_id if vm_id is not None else need.vm_id or need.build_ids[0]
    _look(found, "rights", None, lambda: _examine_rights(cluster, need, major, likely, clone, found))
    if node:
        _look(found, f"storage {need.storage}", None, lambda: examine_disks(cluster, node, need, found))
        _look(found, "ISO storage", None, lambda: examine_media(cluster, node, need, found))
        _look(found, f"bridge {need.bridge}", None, lambda: _examine_bridge(cluster, node, need, found))
    else:
        found.append(Ability("storages and bridge", ok=False, found="not looked at", note="they are a node's"))
    return tuple(found), node, vm_id, clone


def _look(found: list[Ability], subject: str, otherwise: _Looked, look: Callable[[], _Looked]) -> _Looked:
    """Return what ``look`` returns; turn its error into a row, so that the rest is looked at too."""
    try:
        return look()
    except ImagekitError as problem:
        found.append(Ability(subject, ok=False, found=problem.message, note=problem.hint or ""))
        return otherwise


def _judge_version(version: str, major: int) -> Ability:
    if major < OLDEST_MAJOR:
        note = f"Proxmox VE {OLDEST_MAJOR} or later is needed"
        return Ability("Proxmox VE", ok=False, found=version or "no version", note=note)
    if major > NEWEST_MAJOR:
        note = f"newer than what is known here: its rights are taken to be those of {NEWEST_MAJOR}"
        return Ability("Proxmox VE", ok=False, found=version, note=note, required=False)
    return Ability("Proxmox VE", ok=True, found=version)


def _judge_tls(cluster: Cluster) -> Ability:
    match cluster.access.tls.kind:
        case TlsKind.INSECURE:
            note = "NOT CHECKED: whoever stands between reads the token; set ca_file or fingerprint"
            return Ability("certificate", ok=False, found="any is accepted", note=note, required=False)
        case TlsKind.FINGERPRINT:
            return Ability("certificate", ok=True, found="the pinned one")
        case TlsKind.CA_FILE:
            return Ability("certificate", ok=True, found=f"signed by {cluster.access.tls.ca_file}")
        case TlsKind.SYSTEM:
            return Ability("certificate", ok=True, found="signed by an authority of this system")


def _judge_clock(cluster: Cluster) -> Ability:
    difference = cluster.clock_difference
    if difference is None:
        return Ability("clock", ok=True, found="not known: the answers have no date", required=False)
    if abs(difference) <= _LARGEST_SKEW:
        return Ability("clock", ok=True, found="agrees with this machine's", required=False)
    where = "ahead of" if difference > 0 else "behind"
    found = f"{abs(difference):.0f} s {where} this machine's"
    note = "certificates and package signatures are judged by it: see timedatectl on both sides"
    return Ability("clock", ok=False, found=found, note=note, required=False)


def _examine_rights(
    cluster: Cluster, need: Need, major: int, vm_id: int, clone: Machine | None, found: list[Ability]
) -> None:
    token = cluster.access.token_id
    listed = read_rights(cluster)
    if listed.empty:
        note = (
            "it was made with privilege separation and has no right of its own yet (or its user has none): "
            "storages, bridges and VMs below may be there and not be seen"
        )
        found.append(Ability("token", ok=False, found=f"{token} may do nothing", note=note))
    zone = find_zone(listed, need.bridge)
    needed = list_rights(need, major, vm_id=vm_id, clone_id=clone.vm_id if clone else None, zone=zone)
    paths = [path for right in needed for path in (right.path, right.pool_path) if path]
    missing = list_missing(read_rights(cluster, paths), needed)
    for path, rights in group_by_path(needed):
        lacking = [right for right in rights if right in missing]
        if not lacking:
            found.append(Ability(f"rights on {path}", ok=True, found=f"all {len(rights)}"))
            continue
        where = " and ".join(sorted({right.path for right in lacking}))
        losses = dict.fromkeys(right.loss for right in lacking)
        without = [f"without {_list_privileges(lacking, loss)}: {loss}" for loss in losses]
        note = "\n".join((f"needed on {where}", *without, f"to grant: {explain_grant(needed, path, token)}"))
        seen = f"missing {', '.join(' or '.join(right.privileges) for right in lacking)}"
        found.append(Ability(f"rights on {path}", ok=False, found=seen, note=note))


def _list_privileges(rights: Sequence[Right], loss: str) -> str:
    """Return the privileges whose lack shows so."""
    return ", ".join(" or ".join(right.privileges) for right in rights if right.loss == loss)


def _examine_bridge(cluster: Cluster, node: str, need: Need, found: list[Ability]) -> None:
    path = join_path("nodes", node, "network")
    rows = read_rows(cluster.get(path, {"type": "any_bridge"}), f"GET {path}")
    bridges = sorted(
        read_text(row, "iface") for row in rows if read_text(row, "type") in ("bridge", "OVSBridge", "vnet")
    )
    subject = f"bridge {need.bridge}"
    if need.bridge in bridges:
        found.append(Ability(subject, ok=True, found=f"on {node}"))
        return
    seen = f"not seen on {node}, which shows {', '.join(bridges) or 'none'}"
    note = "a bridge is shown to a token that has SDN.Use on it: see the rights above"
    found.append(Ability(subject, ok=False, found=seen, note=note))
