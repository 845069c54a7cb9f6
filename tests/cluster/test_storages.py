"""Storages as each release of Proxmox VE describes them."""

from typing import Any

import pytest

from imagekit.cluster.api import Cluster
from imagekit.cluster.storages import list_storages, list_volumes


@pytest.mark.parametrize(
    ("kind", "said", "formats"),
    [
        ("lvm", {"formats": {"supported": ["qcow2", "raw"], "default": "raw"}}, ("qcow2", "raw")),  # since 9
        ("dir", {"format": [{"qcow2": 1, "raw": 1, "subvol": 1, "vmdk": 0}, "raw"]}, ("qcow2", "raw", "subvol")),  # 8
        ("dir", {}, ("raw", "qcow2")),
        ("lvmthin", {}, ("raw",)),
        ("zfspool", {"formats": "raw"}, ("raw",)),
        ("rbd", {"format": []}, ("raw",)),
    ],
)
def test_formats(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, kind: str, said: dict[str, Any], formats: tuple[str, ...]
) -> None:
    """Formats are what PVE says, in either release's words, and what the type allows where it says nothing."""
    row = {"storage": "s", "type": kind, "content": "images,rootdir", "active": 1, "avail": "5", **said}
    monkeypatch.setattr(cluster, "get", lambda _path, _parameters: [row])
    storage = list_storages(cluster, "pve1")["s"]
    assert storage.formats == formats
    assert (storage.contents, storage.active, storage.enabled, storage.free) == (("images", "rootdir"), True, True, 5)
    assert storage.thick is (kind in ("lvm", "zfspool"))


def test_volumes(cluster: Cluster, pve: Any) -> None:
    """Volumes have their full id and their size."""
    pve.store_file("local", "debian.iso", 1000)
    (volume,) = list_volumes(cluster, "pve1", "local", "iso")
    assert (volume.identity, volume.name, volume.size) == ("local:iso/debian.iso", "iso/debian.iso", 1000)
