"""Finding a VM on the cluster and reading its config."""

from typing import Any

import pytest

from imagekit.cluster.api import Cluster
from imagekit.cluster.failures import Missing, NoPermission
from imagekit.cluster.template import find_vm, keep_packages, label_template, read_template_config


def test_config(cluster: Cluster, pve: Any) -> None:
    """A config is what the API has, with its digest."""
    pve.add_vm(9100, "debian", template=True, config={"template": 1, "bios": "ovmf", "memory": 2048})
    config = read_template_config(cluster, "pve1", 9100)
    assert (config["bios"], config["memory"], config["template"]) == ("ovmf", "2048", 1)
    assert len(str(config["digest"])) == 40
    with pytest.raises(Missing):
        read_template_config(cluster, "pve1", 9101)


def test_place(cluster: Cluster, pve: Any) -> None:
    """A VM's node is found; a free id and a container's have none."""
    pve.add_vm(9100, "debian", node="pve2")
    pve.add_ct(9101, "container", node="pve1")
    assert find_vm(cluster, 9100) == "pve2"
    assert find_vm(cluster, 9101) is None
    assert find_vm(cluster, 9102) is None


def test_hidden_vm(cluster: Cluster, pve: Any) -> None:
    """An id that something has which the token may not see is not called free."""
    pve.add_vm(9100, "hidden")
    pve.grant("packer@pve", "/vms/101", "VM.Audit")
    with pytest.raises(NoPermission, match=r"VM\.Audit on /vms/9100"):
        find_vm(cluster, 9100)


def test_finished_template(cluster: Cluster, pve: Any) -> None:
    """A finished template loses the marks of its build, and its clones upgrade nothing by themselves."""
    pve.add_vm(9100, node="pve1", name="template", config={"tags": "ik-b-0123456789ab;imagekit-build"})
    label_template(cluster, "pve1", 9100, ("imagekit", "ik-template"))
    keep_packages(cluster, "pve1", 9100)
    config = read_template_config(cluster, "pve1", 9100)
    assert set(str(config["tags"]).split(";")) == {"imagekit", "ik-template"}
    assert str(config["ciupgrade"]) == "0"
