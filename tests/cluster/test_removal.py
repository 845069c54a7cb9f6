"""Removal takes what is proven to be a dead build's, as it was found, and refuses everything else."""

from dataclasses import replace
from typing import Any

import pytest

from imagekit.cluster import Placement
from imagekit.cluster.api import Cluster
from imagekit.cluster.leftovers import Leftover, find_leftovers, name_seed
from imagekit.cluster.removal import remove_leftover
from imagekit.cluster.tasks import TaskFailed
from imagekit.errors import Refused
from imagekit.progress import Event
from tests.cluster.test_leftovers import ID, PLACEMENT, TAGS


def _find_one(cluster: Cluster, placement: Placement = PLACEMENT) -> Leftover:
    (found,) = find_leftovers(cluster, placement)
    return found


@pytest.fixture
def left(cluster: Cluster, pve: Any) -> Leftover:
    """A running VM that a dead build left, with a disk."""
    pve.storages["local-lvm"]["volumes"] = {
        "vm-9105-disk-0": {"content": "images", "size": 1 << 30, "vmid": 9105, "format": "raw"},
        "vm-9105-disk-9": {"content": "images", "size": 1 << 30, "vmid": 9105, "format": "raw"},
    }
    pve.add_vm(9105, "dead", status="running", config={"tags": TAGS, "scsi0": "local-lvm:vm-9105-disk-0,size=1G"})
    return _find_one(cluster)


def _list_changes(pve: Any) -> list[tuple[str, str]]:
    return [(verb, path) for verb, path, _body in pve.requests if verb != "GET"]


def test_machine(cluster: Cluster, pve: Any, left: Leftover) -> None:
    """A running VM is stopped and deleted with its disks, those that its config has forgotten too."""
    events: list[Event] = []
    remove_leftover(cluster, left, progress=events.append)
    assert pve.vm(9105) is None
    assert pve.storages["local-lvm"]["volumes"] == {}
    assert [path.partition("/qemu/")[2] for _verb, path in _list_changes(pve)] == ["9105/status/stop", "9105"]
    assert [event.stage for event in events] == ["stopping VM 9105", "deleting VM 9105"]


def test_stopped_machine(cluster: Cluster, pve: Any) -> None:
    """A template or a stopped VM is not stopped once more."""
    pve.add_vm(9105, "dead", template=True, config={"tags": TAGS})
    remove_leftover(cluster, _find_one(cluster))
    assert pve.vm(9105) is None
    assert [verb for verb, _path in _list_changes(pve)] == ["DELETE"]


def test_gone_meanwhile(cluster: Cluster, pve: Any, left: Leftover) -> None:
    """What went by itself is no error."""
    pve.vms.clear()
    remove_leftover(cluster, left)
    assert _list_changes(pve) == []


@pytest.mark.parametrize(
    ("change", "said", "hint"),
    [
        ({"tags": "imagekit-build"}, "tags were changed", ""),
        ({"tags": TAGS + ";keep"}, "tags were changed", ""),
        ({"tags": "imagekit-build;ik-b-ba9876543210"}, "tags were changed", ""),
        ({"description": "mine now"}, "config was changed", "look again"),
    ],
)
def test_changed(
    cluster: Cluster, pve: Any, left: Leftover, change: dict[str, str], said: str, hint: str
) -> None:  # fmt: skip
    """What was changed since it was found is refused, and nothing happens to it."""
    pve.vm(9105).config.update(change)
    with pytest.raises(Refused, match=said) as caught:
        remove_leftover(cluster, left)
    assert hint in (caught.value.hint or "")
    assert _list_changes(pve) == []
    assert caught.value.exit_code == 7


@pytest.mark.parametrize(
    ("config", "said", "hint"),
    [
        ({"protection": 1}, "it is protected", "qm set 9105 --protection 0"),
        ({"lock": "clone"}, r"it is locked \(clone\)", "qm unlock 9105"),
    ],
)
def test_protected_or_locked(cluster: Cluster, pve: Any, config: dict[str, Any], said: str, hint: str) -> None:
    """A VM that is protected or locked is refused with the command for an operator who knows better."""
    pve.add_vm(9105, "dead", lock=config.get("lock"), config={"tags": TAGS, **config})
    with pytest.raises(Refused, match=said) as caught:
        remove_leftover(cluster, _find_one(cluster))
    assert hint in (caught.value.hint or "")
    assert _list_changes(pve) == []


def test_changed_while_it_stopped(cluster: Cluster, pve: Any, left: Leftover, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked at again after it stopped: what somebody took over meanwhile is not deleted."""
    post = cluster.post

    def take_over(path: str, *options: Any) -> object:
        pve.vm(9105).config["tags"] = "mine"
        return post(path, *options)

    monkeypatch.setattr(cluster, "post", take_over)
    with pytest.raises(Refused, match="tags were changed"):
        remove_leftover(cluster, left)
    assert pve.vm(9105) is not None


@pytest.mark.parametrize("vm_id", [200, 9000, 9099, 9200])
def test_outside(cluster: Cluster, pve: Any, vm_id: int) -> None:
    """Nothing outside of the range of build ids is touched, tags or not, found by us or not."""
    pve.add_vm(vm_id, "clone", config={"tags": TAGS})
    found = _find_one(cluster)
    for leftover in (found, replace(found, ours=True)):
        with pytest.raises(Refused, match="outside of the"):
            remove_leftover(cluster, leftover)
    assert _list_changes(pve) == []


def test_template_id(cluster: Cluster, pve: Any) -> None:
    """9000 is not touched even when somebody's range of build ids includes it."""
    pve.add_vm(9000, "debian", template=True, config={"tags": TAGS})
    with pytest.raises(Refused, match="outside of the range"):
        remove_leftover(cluster, _find_one(cluster, Placement(node="pve1", build_ids=range(9000, 9100))))
    assert _list_changes(pve) == []


def test_not_ours(cluster: Cluster, pve: Any) -> None:
    """What is not proven to be ours is refused with the reason."""
    pve.add_vm(9100, "build-debian")
    with pytest.raises(Refused, match="Packer's, by its name or description"):
        remove_leftover(cluster, _find_one(cluster))
    assert _list_changes(pve) == []


def test_task_that_fails(cluster: Cluster, pve: Any, left: Leftover) -> None:
    """A deletion that PVE accepts and then fails at is an error."""
    pve.fail("DELETE", "/qemu/9105", 500, "no luck", times=1)
    with pytest.raises(Exception, match="no luck"):
        remove_leftover(cluster, left)
    left = _find_one(cluster)
    pve.vm(9105).lock = "create"  # in no config yet, so that only the task meets it
    with pytest.raises(TaskFailed, match=r"VM is locked \(create\)"):
        remove_leftover(cluster, left)


def test_volume(cluster: Cluster, pve: Any) -> None:
    """A seed ISO that nobody uses is deleted."""
    pve.store_file("local", name_seed(ID), 1000)
    pve.store_file("local", "debian.iso", 1000)
    remove_leftover(cluster, _find_one(cluster))
    assert set(pve.storages["local"]["volumes"]) == {"iso/debian.iso"}


def test_volume_in_use_by_now(cluster: Cluster, pve: Any) -> None:
    """A seed ISO that a VM has got since it was found is refused: the API would delete it from under it."""
    pve.store_file("local", name_seed(ID), 1000)
    found = _find_one(cluster)
    pve.add_vm(101, "user", config={"ide2": f"local:iso/{name_seed(ID)},media=cdrom"})
    with pytest.raises(Refused, match="VM 101 uses it"):
        remove_leftover(cluster, found)
    assert _list_changes(pve) == []


def test_volume_gone_meanwhile(cluster: Cluster, pve: Any) -> None:
    """A volume that went by itself is no error."""
    pve.store_file("local", name_seed(ID), 1000)
    found = _find_one(cluster)
    pve.storages["local"]["volumes"].clear()
    pve.storages["local"]["files"].clear()
    remove_leftover(cluster, found)
    assert _list_changes(pve) == []
