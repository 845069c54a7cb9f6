"""Which rights a build needs, by source and PVE's version, and how a token's are compared with them."""

from dataclasses import replace

import pytest

from imagekit.cluster.need import Need, SourceKind
from imagekit.cluster.privileges import (
    Right,
    Rights,
    explain_grant,
    find_zone,
    group_by_path,
    list_missing,
    list_rights,
)

_ISO = Need(
    source=SourceKind.ISO, storage="local-lvm", disk_bytes=8 << 30, build_ids=range(9100, 9200), iso_storage="local",
    iso_volume="media:iso/debian.iso", uploads=True,
)  # fmt: skip
_CLONE = replace(_ISO, source=SourceKind.CLONE, iso_volume="", uploads=False, clone_source=9000)


def _list_names(need: Need, major: int = 9, path: str = "/vms/9100") -> set[str]:
    return {right.privileges[0] for right in list_rights(need, major, vm_id=9100, clone_id=9000) if right.path == path}


def test_iso() -> None:
    """An installation needs what was measured, each on its own path."""
    assert _list_names(_ISO) == {
        "VM.Allocate", "VM.Audit", "VM.PowerMgmt", "VM.Console", "VM.GuestAgent.Audit", "VM.Config.CPU",
        "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options", "VM.Config.HWType", "VM.Config.CDROM",
        "VM.Config.Cloudinit",
    }  # fmt: skip
    assert _list_names(_ISO, path="/storage/local-lvm") == {"Datastore.AllocateSpace"}
    assert _list_names(_ISO, path="/storage/media") == {"Datastore.Audit"}
    assert _list_names(_ISO, path="/storage/local") == {"Datastore.AllocateTemplate", "Datastore.Allocate"}
    assert _list_names(_ISO, path="/sdn/zones/localnetwork/vmbr0") == {"SDN.Use"}
    assert "VM.Config.Disk" in _list_names(replace(_ISO, sends_boot=True))


def test_clone() -> None:
    """A clone types nothing, uploads nothing, and needs two rights on its source."""
    assert "VM.Console" not in _list_names(_CLONE)
    assert _list_names(_CLONE, path="/vms/9000") == {"VM.Clone", "VM.Audit"}
    assert _list_names(_CLONE, path="/storage/local") == set()


@pytest.mark.parametrize(
    ("major", "name"), [(8, "VM.Monitor"), (9, "VM.GuestAgent.Audit"), (10, "VM.GuestAgent.Audit")]
)
def test_versions(major: int, name: str) -> None:
    """The guest agent is asked with VM.Monitor on 8 and VM.GuestAgent.Audit since 9, which has no VM.Monitor."""
    names = _list_names(_ISO, major)
    assert name in names
    assert len(names & {"VM.Monitor", "VM.GuestAgent.Audit"}) == 1


def test_vlan_and_zone() -> None:
    """A VLAN has a path of its own below the bridge's, and another zone's bridge is below that zone."""
    rights = list_rights(replace(_ISO, vlan=30), 9, vm_id=9100, zone="lab")
    assert [right.path for right in rights if right.privileges == ("SDN.Use",)] == ["/sdn/zones/lab/vmbr0/30"]
    assert find_zone(Rights({"/sdn/zones/lab/vmbr0": {"SDN.Use": True}}), "vmbr0") == "lab"
    assert find_zone(Rights({"/sdn/zones/lab/vmbr1": {"SDN.Use": True}}), "vmbr0") == "localnetwork"


def test_pool() -> None:
    """A pool's rights count for a VM that is made in it, except for its tags."""
    rights = list_rights(replace(_ISO, pool="images"), 9, vm_id=9100)
    pooled = [right for right in rights if right.pool_path]
    held = Rights({"/pool/images": {name: True for right in pooled for name in right.privileges}})
    missing = [right for right in list_missing(held, rights) if right.path == "/vms/9100"]
    assert [right.privileges for right in missing] == [("VM.Config.Options",)]
    assert "tags" in missing[0].loss


def test_alternatives() -> None:
    """Of privileges that do the same any one is enough."""
    right = next(right for right in list_rights(_ISO, 9, vm_id=9100) if "VM.GuestAgent.Audit" in right.privileges)
    assert Rights({"/vms": {"VM.GuestAgent.Unrestricted": True}}).has(right)
    assert not Rights({"/vms": {"VM.GuestAgent.FileRead": True}}).has(right)


@pytest.mark.parametrize(
    ("granted", "held"),
    [
        ({"/": {"VM.Audit": True}}, True),  # inherited from the root
        ({"/": {"VM.Audit": False}}, False),  # which does not propagate
        ({"/vms": {"VM.Audit": True}}, True),
        ({"/vms/9100": {"VM.Audit": False}}, True),  # on the very path propagation does not matter
        ({"/": {"VM.Audit": True}, "/vms": {}}, False),  # what is nearer replaces what is above
        ({"/": {"VM.Audit": True}, "/vms/9100": {"VM.Console": True}}, False),
        ({"/vms/910": {"VM.Audit": True}}, False),  # a path is no prefix of text
        ({"/storage": {"VM.Audit": True}}, False),
        ({}, False),
    ],
)
def test_inheritance(granted: dict[str, dict[str, bool]], held: bool) -> None:
    """A path inherits what propagates from the nearest path above that has rights."""
    assert Rights(granted).has(Right("/vms/9100", ("VM.Audit",), "", "/vms")) is held


def test_empty() -> None:
    """No right at all is told apart from some."""
    assert Rights({}).empty
    assert Rights({"/": {}}).empty
    assert not Rights({"/": {"VM.Audit": True}}).empty


def test_grant() -> None:
    """The commands give everything that is needed on a path, to the token and to its user."""
    rights = list_rights(_ISO, 9, vm_id=9100)
    text = explain_grant(rights, "/storage/local", "packer@pve!imagekit")
    assert text == (
        "pveum role add Imagekit-storage-local --privs 'Datastore.Allocate,Datastore.AllocateTemplate' && "
        "pveum acl modify /storage/local --roles Imagekit-storage-local "
        "--tokens 'packer@pve!imagekit' --users packer@pve"
    )
    assert "--users" not in explain_grant(rights, "/vms", "root@pam!imagekit")
    assert {path for path, _rights in group_by_path(rights)} == {
        "/vms", "/storage/local", "/storage/local-lvm", "/storage/media", "/sdn/zones/localnetwork/vmbr0",
    }  # fmt: skip
