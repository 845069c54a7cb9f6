"""Clusters and Docker: what is installed and was never started, or is put there on purpose, passes."""

from pathlib import Path

import pytest

from imagekit.verify import Policy, Profile, verify_directory
from tests.verify.clean_tree import write

OURS = {"docker-identity", "docker-state", "kubernetes-node", "k3s-node", "cluster-ids"}


def find_ids(tree: Path, policy: Policy | None = None) -> set[str]:
    """Return which of these checks report something."""
    return {finding.check for finding in verify_directory(tree, policy).findings} & OURS


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/var/lib/docker/engine-id", ""),
        ("/var/lib/docker/overlay2/l", None),
        ("/var/lib/docker/volumes/backingFsBlockDev", "x"),
        ("/var/lib/docker/volumes/metadata.db", "x"),
        ("/var/lib/docker/swarm", None),
        ("/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db", "x"),
        ("/var/lib/docker/network/files/local-kv.db", ""),
        ("/etc/docker/daemon.json", "{}"),
        ("/etc/kubernetes/manifests", None),
        ("/etc/kubernetes/pki/etcd", None),
        ("/var/lib/kubelet", None),
        ("/etc/cni/net.d/87-podman-bridge.conflist", "{}"),
        ("/etc/cni/net.d/10-crio-bridge.conflist.disabled", "{}"),
        ("/var/lib/rancher/k3s/agent/images/k3s-airgap-images-amd64.tar", "x"),
        ("/var/lib/rancher/k3s/server/manifests/a.yaml", "x"),
        ("/etc/rancher/k3s/config.yaml", "server: https://k.example\n# token: x\n"),
        ("/var/lib/mysql/grastate.dat", "uuid:    00000000-0000-0000-0000-000000000000\n"),
        ("/var/lib/zookeeper/myid", "replace this text with the cluster-unique id\n"),
        ("/var/lib/glusterd/glusterd.info", "operating-version=100000\n"),
        ("/var/lib/redis/dump.rdb", "REDIS0011"),
    ],
)
def test_installed_but_never_joined_passes(tree: Path, path: str, content: str | None) -> None:
    """Packages, empty directories and what is preloaded for a cluster are no membership."""
    if content is None:
        (tree / path.lstrip("/")).mkdir(parents=True)
    else:
        write(tree, path, content)
    assert find_ids(tree) == set()


def test_running_member_is_no_finding(tree: Path) -> None:
    """A machine that runs is meant to be a member; only what will be copied is judged."""
    write(tree, "/var/lib/docker/engine-id", "1f0b3c52-6f0e-4a52-9a49-3b6b4f0c1d2e")
    write(tree, "/etc/rancher/node/password", "canary")
    assert find_ids(tree, Policy(profile=Profile.CLONE)) == set()
    assert find_ids(tree, Policy(profile=Profile.CONTAINER)) == {"docker-identity", "k3s-node"}
    assert find_ids(tree, Policy(profile=Profile.SD_IMAGE)) == {"docker-identity", "k3s-node"}
