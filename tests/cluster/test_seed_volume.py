"""A build's seed on the cluster's storage: there while it is needed, gone afterwards."""

from pathlib import Path
from typing import Any

import pytest

from imagekit.cluster.api import Cluster
from imagekit.cluster.failures import ClusterFailed
from imagekit.cluster.seed_volume import name_seed_volume, remove_seed, upload_seed
from imagekit.errors import Refused, ToolFailed

_BUILD = "0123456789ab"
_VOLUME = f"local:iso/imagekit-seed-{_BUILD}.iso"


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    """Return a file with another name than the volume gets."""
    path = tmp_path / "seed.iso"
    path.write_bytes(b"CD001" * 1000)
    return path


def _list_volumes(pve: Any) -> set[str]:
    return {f"local:{name}" for name in pve.storages["local"].get("volumes", {})}


def test_seed_is_there_for_the_block_only(cluster: Cluster, pve: Any, seed: Path) -> None:
    """The volume has the build's id in its name, is on the storage within the block, and is removed after it."""
    assert name_seed_volume("local", _BUILD) == _VOLUME
    with upload_seed(cluster, "pve1", "local", seed, _BUILD) as volume:
        assert volume == _VOLUME
        assert _list_volumes(pve) == {_VOLUME}
    assert _list_volumes(pve) == set()


def test_seed_goes_when_the_build_fails(cluster: Cluster, pve: Any, seed: Path) -> None:
    """Whatever ends the block, Ctrl-C too, the volume is removed."""
    with pytest.raises(KeyboardInterrupt), upload_seed(cluster, "pve1", "local", seed, _BUILD):
        raise KeyboardInterrupt
    assert _list_volumes(pve) == set()


def test_seed_that_a_machine_uses_stays(cluster: Cluster, pve: Any, seed: Path) -> None:
    """The API would delete an ISO from under a running machine, so one that is in a drive is refused and told."""
    pve.add_vm(9100, node="pve1", name="build-x", config={"sata1": f"{_VOLUME},media=cdrom"})
    with pytest.raises(Refused, match="VM 9100 uses it"), upload_seed(cluster, "pve1", "local", seed, _BUILD):
        pass
    assert _list_volumes(pve) == {_VOLUME}


def test_failure_is_told_before_a_seed_that_stays(cluster: Cluster, pve: Any, seed: Path) -> None:
    """A build that fails and leaves its machine running ends with its own error, not with the seed's."""
    pve.add_vm(9100, node="pve1", name="build-x", config={"sata1": f"{_VOLUME},media=cdrom"})
    with pytest.raises(ToolFailed, match="provisioning"), upload_seed(cluster, "pve1", "local", seed, _BUILD):
        raise ToolFailed("provisioning failed")
    assert _list_volumes(pve) == {_VOLUME}


def test_storage_that_is_not_there_is_named(cluster: Cluster, seed: Path) -> None:
    """A storage that cannot take the seed ends with the cluster's own words."""
    with pytest.raises(ClusterFailed, match="nowhere"), upload_seed(cluster, "pve1", "nowhere", seed, _BUILD):
        pass


def test_removing_what_has_gone_is_no_error(cluster: Cluster, pve: Any) -> None:
    """A seed that somebody else removed is not missed."""
    pve.store_file("local", "other.iso", 1 << 20)
    remove_seed(cluster, "pve1", _VOLUME, _BUILD)
    assert _list_volumes(pve) == {"local:iso/other.iso"}
