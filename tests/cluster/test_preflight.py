"""The preflight: every obstacle at once, each with what to do, and the choices that a build then follows."""

from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from imagekit.cluster import Tls, TlsKind
from imagekit.cluster.api import Cluster
from imagekit.cluster.need import Need, SourceKind
from imagekit.cluster.preflight import ClusterUnfit, examine_cluster, require_cluster
from imagekit.host.ability import Ability
from imagekit.image import DiskFormat
from tests.cluster.conftest import Opener

GIB = 1 << 30
NEED = Need(
    source=SourceKind.ISO, storage="local-lvm", disk_bytes=8 * GIB, build_ids=range(9100, 9103), node="pve1",
    iso_storage="local", iso_volume="local:iso/debian.iso", uploads=True, bridge="vmbr0",
)  # fmt: skip
CLONE = replace(NEED, source=SourceKind.CLONE, clone_source="debian", iso_volume="", uploads=False)


@pytest.fixture
def ready(pve: Any) -> Any:
    """A cluster with everything that the builds need, and a template to clone."""
    pve.store_file("local", "debian.iso", GIB)
    config = {"bios": "ovmf", "efidisk0": "local-lvm:base-9000-disk-0,size=4M"}
    pve.add_vm(9000, "debian", template=True, config=config)
    return pve


def _find(abilities: tuple[Ability, ...], subject: str) -> Ability:
    return next(one for one in abilities if one.subject == subject)


def _list_problems(cluster: Cluster, need: Need) -> dict[str, Ability]:
    return {one.subject: one for one in examine_cluster(cluster, need) if not one.ok}


@pytest.mark.parametrize("need", [NEED, CLONE])
def test_ready(cluster: Cluster, ready: Any, need: Need) -> None:
    """A cluster that has everything is fit, and the build is told its node, its id and what it clones."""
    chosen = require_cluster(cluster, need)
    assert (chosen.node, chosen.vm_id) == ("pve1", 9100)
    assert (chosen.clone.vm_id if chosen.clone else None) == (9000 if need is CLONE else None)
    assert chosen.warnings == ()


def test_nothing_is_changed(cluster: Cluster, ready: Any) -> None:
    """Looking changes nothing: it only reads."""
    examine_cluster(cluster, NEED)
    assert {verb for verb, _path, _body in ready.requests} == {"GET"}


def test_all_at_once(cluster: Cluster, pve: Any) -> None:
    """Every obstacle is found in one go, and each is a sentence of the error."""
    need = replace(NEED, storage="nvme", iso_volume="local:iso/gone.iso", bridge="vmbr7", vm_id=9000)
    with pytest.raises(ClusterUnfit, match="4 obstacles") as caught:
        require_cluster(cluster, need)
    assert [text.partition(":")[0] for text in caught.value.problems] == [
        "VM id", "storage nvme", "ISO image local", "bridge vmbr7",
    ]  # fmt: skip
    assert caught.value.exit_code == 8


def test_unreachable(cluster: Cluster, pve: Any) -> None:
    """A cluster that cannot be talked to gives one row, not the same one again and again."""
    pve.fail("GET", "/version", 595, "Connection refused")
    (row,) = examine_cluster(cluster, NEED)
    assert (row.subject, row.ok) == ("cluster", False)
    with pytest.raises(ClusterUnfit, match=r"1 obstacle$"):
        require_cluster(cluster, NEED)


def test_wrong_token(open_pve: Opener) -> None:
    """A token that is not accepted gives one row with what to look at."""
    (row,) = examine_cluster(open_pve(secret="another"), NEED)
    assert "does not accept the API token" in row.found
    assert row.note


def test_untrusted_certificate(open_pve: Opener) -> None:
    """A certificate that is not trusted gives one row with its hash to compare."""
    (row,) = examine_cluster(open_pve(tls=Tls()), NEED)
    assert "is not trusted" in row.found
    assert "SHA-256" in row.note


@pytest.mark.parametrize(
    ("version", "ok", "required"),
    [("7.4-17", False, True), ("8.4.1", True, True), ("9.2.11", True, True), ("10.0", False, False), ("", False, True)],
)
def test_versions(cluster: Cluster, ready: Any, version: str, ok: bool, required: bool) -> None:
    """Releases before 8 are refused, later ones than are known are warned about."""
    ready.version = version
    row = _find(examine_cluster(cluster, NEED), "Proxmox VE")
    assert (row.ok, row.required) == (ok, required)


def test_insecure_is_loud(open_pve: Opener, ready: Any) -> None:
    """A certificate that is not checked is warned about every time."""
    row = _find(examine_cluster(open_pve(tls=Tls(TlsKind.INSECURE)), NEED), "certificate")
    assert (row.ok, row.required) == (False, False)
    assert row.note.startswith("NOT CHECKED")


@pytest.mark.parametrize(("difference", "ok"), [(25.0, True), (-40.0, False), (40.0, False), (None, True)])
def test_clock(
    cluster: Cluster, ready: Any, monkeypatch: pytest.MonkeyPatch, difference: float | None, ok: bool
) -> None:
    """Clocks that are more than 30 s apart are warned about."""

    def read_date(text: str) -> datetime:
        if difference is None:
            raise ValueError
        return parsedate_to_datetime(text) + timedelta(seconds=difference)

    monkeypatch.setattr("imagekit.cluster.api.parsedate_to_datetime", read_date)
    row = _find(examine_cluster(cluster, NEED), "clock")
    assert (row.ok, row.required) == (ok, False)
    assert ("behind" in row.found) is (difference == -40.0)


def test_nodes(cluster: Cluster, ready: Any) -> None:
    """A node is taken when it is the only one; of several one has to be named, and it has to be up."""
    assert require_cluster(cluster, replace(NEED, node="")).node == "pve1"
    ready.add_node("pve2")
    assert "2 are online: pve1, pve2" in _list_problems(cluster, replace(NEED, node=""))["node"].found
    assert "there is no pve9" in _list_problems(cluster, replace(NEED, node="pve9"))["node"].found
    ready.set_node_offline("pve2")
    problems = _list_problems(cluster, replace(NEED, node="pve2"))
    assert problems["node"].found == "pve2 is offline"
    assert "storages and bridge" in problems
    assert require_cluster(cluster, replace(NEED, node="")).node == "pve1"


def test_ids(cluster: Cluster, ready: Any) -> None:
    """The lowest free id is taken; one that is given has to be free and inside of the range."""
    ready.add_vm(9100, "old")
    assert require_cluster(cluster, NEED).vm_id == 9101
    assert require_cluster(cluster, replace(NEED, vm_id=9102)).vm_id == 9102
    assert "9100 is taken by old" in _list_problems(cluster, replace(NEED, vm_id=9100))["VM id"].found
    assert "outside" in _list_problems(cluster, replace(NEED, vm_id=9000))["VM id"].found
    for vm_id in (9101, 9102):
        ready.add_vm(vm_id, f"old-{vm_id}")
    assert "none of 9100 to 9102 is free" in _list_problems(cluster, NEED)["VM id"].found


def test_hidden_ids(cluster: Cluster, ready: Any) -> None:
    """An id that a VM has which the token cannot see is not taken."""
    ready.add_vm(9100, "hidden")
    ready.grant("packer@pve", "/vms/9000", "VM.Audit")
    assert "9101" in _find(examine_cluster(cluster, NEED), "VM id").found


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"content": "rootdir"}, "not for content 'images'"),
        ({"active": 0}, "not active on pve1"),
        ({"disable": 1}, "not enabled on pve1"),
        ({"nodes": "pve2"}, "not enabled on pve1"),
        ({"avail": 2 * GIB}, "2.0 GiB free"),
        ({"avail": 5 * GIB, "type": "zfspool"}, "5.0 GiB free"),
    ],
)
def test_storage(cluster: Cluster, ready: Any, change: dict[str, object], said: str) -> None:
    """The disks' storage has to be there, up, for images, and large enough."""
    ready.storages["local-lvm"].update(change)
    row = _list_problems(cluster, NEED)["storage local-lvm"]
    assert said in row.found
    assert row.required


def test_thin_storage(cluster: Cluster, ready: Any) -> None:
    """A thin storage that could not hold a full disk is warned about: an installed system takes less."""
    ready.storages["local-lvm"]["avail"] = 5 * GIB
    row = _list_problems(cluster, NEED)["storage local-lvm"]
    assert not row.required


def test_format(cluster: Cluster, ready: Any) -> None:
    """A format that the storage does not hold would fail only in the task: it is found before."""
    row = _list_problems(cluster, replace(NEED, disk_format=DiskFormat.QCOW2))["storage local-lvm"]
    assert row.found == "lvmthin holds no qcow2 disks"
    assert "raw" in row.note
    ready.storages["local"]["content"] = "images,iso"
    assert not _list_problems(cluster, replace(NEED, storage="local", disk_format=DiskFormat.QCOW2))


def test_media(cluster: Cluster, ready: Any) -> None:
    """The ISO image has to be there to its end, and its storage has to be for such images."""
    ready.storages["local"]["volumes"]["iso/debian.iso"]["size"] = 0
    assert _list_problems(cluster, NEED)["ISO image local:iso/debian.iso"].found == "empty"
    gone = _list_problems(cluster, replace(NEED, iso_volume="local:iso/gone.iso"))["ISO image local:iso/gone.iso"]
    assert "local:iso/debian.iso" in gone.note
    ready.storages["local"]["content"] = "vztmpl"
    problems = _list_problems(cluster, NEED)
    assert "not for content 'iso'" in problems["ISO storage local"].found
    assert "not for content 'iso'" in problems["ISO image local:iso/debian.iso"].found


def test_full_media_storage(cluster: Cluster, ready: Any) -> None:
    """A seed ISO needs a little room."""
    ready.storages["local"]["avail"] = 1 << 20
    assert "no room for a seed ISO" in _list_problems(cluster, NEED)["ISO storage local"].found


def test_bridge(cluster: Cluster, ready: Any) -> None:
    """A bridge that is not there is accepted by PVE until the VM starts: it is found before. A NIC is no bridge."""
    assert "which shows vmbr0" in _list_problems(cluster, replace(NEED, bridge="vmbr7"))["bridge vmbr7"].found
    assert "bridge eno1" in _list_problems(cluster, replace(NEED, bridge="eno1"))


def test_clone_sources(cluster: Cluster, ready: Any) -> None:
    """What is cloned has to be there, be the only one of its name, start by UEFI and not be locked."""
    assert require_cluster(cluster, replace(CLONE, clone_source=9000)).vm_id == 9100
    for source in ("nothing", 9999):
        assert "there is no VM" in _list_problems(cluster, replace(CLONE, clone_source=source))["clone source"].found
    ready.add_vm(120, "debian")
    assert "2 VMs are named debian" in _list_problems(cluster, CLONE)["clone source"].found
    ready.add_vm(121, "bios", lock="backup", config={})
    row = _list_problems(cluster, replace(CLONE, clone_source=121))["clone source"]
    assert "no template" in row.found
    assert "locked (backup)" in row.note
    assert "bios has to be ovmf" in row.note
    ready.add_vm(122, "no-efi", config={"bios": "ovmf"})
    assert "no EFI disk" in _list_problems(cluster, replace(CLONE, clone_source=122))["clone source"].note
    assert not _list_problems(cluster, replace(CLONE, clone_source=122, uefi=False))


def test_clone_from_elsewhere(cluster: Cluster, ready: Any) -> None:
    """A template on another node is warned about: only shared storage makes that work."""
    ready.add_node("pve2")
    ready.vm(9000).node = "pve2"
    row = _list_problems(cluster, CLONE)["clone source"]
    assert (row.required, "not on pve1" in row.note) == (False, True)


def test_token_without_rights(cluster: Cluster, ready: Any) -> None:
    """A fresh separated token may do nothing: that is said, since everything then only looks as if it were missing."""
    ready.acl = {}
    problems = _list_problems(cluster, NEED)
    assert "may do nothing" in problems["token"].found
    assert "privilege separation" in problems["token"].note
    assert {"rights on /vms", "rights on /storage/local", "rights on /storage/local-lvm"} <= set(problems)


def test_missing_rights(cluster: Cluster, ready: Any) -> None:
    """Each privilege that is missing is named with its path, what is seen without it, and the command to grant it."""
    ready.grant("packer@pve", "/storage/local-lvm", "Datastore.AllocateSpace")
    ready.grant("packer@pve", "/storage/local", "Datastore.Audit", "Datastore.AllocateTemplate")
    problems = _list_problems(cluster, NEED)
    assert "rights on /storage/local-lvm" not in problems
    assert problems["rights on /storage/local"].found == "missing Datastore.Allocate"
    note = problems["rights on /storage/local"].note
    assert "needed on /storage/local\n" in note
    assert "without Datastore.Allocate: the build ends with an error although the template is complete" in note
    assert "pveum acl modify /storage/local --roles Imagekit-storage-local --tokens 'packer@pve!imagekit'" in note
    assert "VM.GuestAgent.Audit or VM.GuestAgent.Unrestricted" in problems["rights on /vms"].found


def test_version_8_rights(cluster: Cluster, ready: Any) -> None:
    """On PVE 8 the guest agent's privilege is VM.Monitor."""
    ready.version = "8.4.1"
    ready.grant("packer@pve", "/vms", "VM.Audit")
    assert "VM.Monitor" in _list_problems(cluster, NEED)["rights on /vms"].found


def test_part_that_fails(cluster: Cluster, ready: Any) -> None:
    """An error of one question becomes a row, and the rest is looked at all the same."""
    ready.fail("GET", "/cluster/resources", 500, "ipcc_send_rec failed")
    ready.fail("GET", "/nodes/pve1/storage", 500, "got timeout")
    problems = _list_problems(cluster, NEED)
    assert "ipcc_send_rec failed" in problems["VMs"].found
    assert "got timeout" in problems["storage local-lvm"].found
    assert _find(examine_cluster(cluster, NEED), "bridge vmbr0").ok
