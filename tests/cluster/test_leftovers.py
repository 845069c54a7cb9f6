"""What dead builds left is found by its marks and its place, and nothing else is taken for it."""

from typing import Any

import pytest

from imagekit.cluster import Placement
from imagekit.cluster.api import Cluster
from imagekit.cluster.leftovers import (
    BUILD_TAG,
    Leftover,
    LeftoverKind,
    find_leftovers,
    name_build_tag,
    name_seed,
)

ID = "0123456789ab"
TAGS = f"{BUILD_TAG};{name_build_tag(ID)}"
PLACEMENT = Placement(node="pve1", build_ids=range(9100, 9200))


def find(cluster: Cluster) -> dict[int | str, Leftover]:
    """Return the leftovers by VM id or volume."""
    return {one.vm_id or one.volume: one for one in find_leftovers(cluster, PLACEMENT)}


def test_nothing(cluster: Cluster, pve: Any) -> None:
    """On a cluster that no build ever ran on there is nothing, whatever its VMs are called elsewhere."""
    pve.add_vm(101, "build-server", config={"description": "Packer ephemeral build VM"})
    pve.add_vm(9000, "debian", template=True, config={"tags": "imagekit"})
    pve.add_vm(9101, "version", template=True, config={"tags": "imagekit;stable"})
    pve.store_file("local", "debian.iso", 1000)
    assert find(cluster) == {}


def test_machine(cluster: Cluster, pve: Any) -> None:
    """A VM with both tags in the range of build ids is ours, with everything that removal looks at again."""
    pve.add_vm(9105, "template-build", status="running", config={"tags": TAGS})
    found = find(cluster)[9105]
    assert (found.kind, found.ours, found.build_id, found.note) == (LeftoverKind.MACHINE, True, ID, "")
    assert (found.node, found.name, found.status) == ("pve1", "template-build", "running")
    assert found.tags == {BUILD_TAG, name_build_tag(ID)}
    assert found.digest == pve.vm(9105).digest()


@pytest.mark.parametrize(
    ("vm_id", "name", "config", "said"),
    [
        (200, "web", {"tags": TAGS}, "outside of the builds' range"),  # clones inherit tags
        (9000, "debian", {"tags": TAGS}, "outside of the builds' range"),
        (9100, "a", {"tags": BUILD_TAG}, "do not say of which build"),
        (9100, "a", {"tags": f"{TAGS};ik-b-ba9876543210"}, "do not say of which build"),
        (9100, "a", {"tags": f"{BUILD_TAG};ik-b-0123"}, "do not say of which build"),
        (9100, "build-debian", {}, "Packer's"),
        (9100, "a", {"description": "Packer ephemeral build VM\n"}, "Packer's"),
    ],
)
def test_not_proven(cluster: Cluster, pve: Any, vm_id: int, name: str, config: dict[str, str], said: str) -> None:
    """What looks like a build's and is not proven to be one is reported and not ours."""
    pve.add_vm(vm_id, name, config=config)
    found = find(cluster)[vm_id]
    assert not found.ours
    assert said in found.note


def test_id_tag_alone(cluster: Cluster, pve: Any) -> None:
    """A finished version may keep the id of its build: without the build's tag it is no leftover."""
    pve.add_vm(9100, "version", template=True, config={"tags": name_build_tag(ID)})
    assert find(cluster) == {}


def test_node_that_is_away(cluster: Cluster, pve: Any) -> None:
    """A VM whose config cannot be read is reported and not ours."""
    pve.add_vm(9100, "a", node="pve2", config={"tags": TAGS})
    pve.set_node_offline("pve2")
    found = find(cluster)[9100]
    assert not found.ours
    assert "cannot be read" in found.note


def test_volumes(cluster: Cluster, pve: Any) -> None:
    """A seed ISO that no VM uses is ours; Packer's own are reported; one in use is none."""
    for name in (name_seed(ID), name_seed("ba9876543210"), "packer123456.iso", "packer-notes.iso", "debian.iso"):
        pve.store_file("local", name, 1000)
    pve.add_vm(101, "installing", config={"ide2": "local:iso/imagekit-seed-ba9876543210.iso,media=cdrom,size=4M"})
    found = find(cluster)
    assert set(found) == {f"local:iso/{name_seed(ID)}", "local:iso/packer123456.iso"}
    seed = found[f"local:iso/{name_seed(ID)}"]
    assert (seed.kind, seed.ours, seed.build_id, seed.node) == (LeftoverKind.VOLUME, True, ID, "pve1")
    assert not found["local:iso/packer123456.iso"].ours


def test_volume_of_a_leftover(cluster: Cluster, pve: Any) -> None:
    """A seed that only its own dead build's VM uses is listed after that VM: both go in one round."""
    pve.store_file("local", name_seed(ID), 1000)
    pve.add_vm(9105, "a", config={"tags": TAGS, "scsi1": f"local:iso/{name_seed(ID)},media=cdrom"})
    assert [one.kind for one in find_leftovers(cluster, PLACEMENT)] == [LeftoverKind.MACHINE, LeftoverKind.VOLUME]


def test_volume_of_who_knows(cluster: Cluster, pve: Any) -> None:
    """A seed that a VM with an unreadable config may use is not ours to remove."""
    pve.store_file("local", name_seed(ID), 1000)
    pve.add_vm(101, "away", node="pve2")
    pve.set_node_offline("pve2")
    found = find(cluster)[f"local:iso/{name_seed(ID)}"]
    assert not found.ours
    assert "101" in found.note


def test_every_node(cluster: Cluster, pve: Any) -> None:
    """Without a node in the settings every node that is up is looked at."""
    pve.add_node("pve2")
    pve.add_node("pve3", online=False)
    pve.store_file("local", name_seed(ID), 1000)
    found = find_leftovers(cluster, Placement(node="", build_ids=range(9100, 9200)))
    assert [one.node for one in found] == ["pve1", "pve2"]


def test_storage_that_is_not_seen(cluster: Cluster, pve: Any) -> None:
    """A token that may not see the ISO storage finds the VMs all the same."""
    pve.add_vm(9105, "a", config={"tags": TAGS})
    pve.grant("packer@pve", "/vms", "VM.Audit")
    assert set(find(cluster)) == {9105}
