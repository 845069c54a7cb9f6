"""Cluster members and databases whose identity must not exist twice.

Source of the rules: moby 43555 and 13278 (engine id), swarm 1472, k3s 746 and 802 (node password), kubeadm reset.
"""

from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Seen, Subject
from imagekit.verify.checks.rows import COPIED, look_for_rows
from imagekit.verify.facts.cluster_state import CLUSTER_ROWS
from imagekit.verify.view import View

_DOCKER = "/var/lib/docker"
# What the daemon itself puts into an empty store when it starts for the first time.
_EMPTY_STORE = ("backingFsBlockDev", "metadata.db", "l")


def find_docker_state(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for what a Docker daemon has kept: containers, volumes, images, networks; a package alone has nothing."""
    for part, kind in (("containers", "containers"), ("volumes", "volumes"), ("overlay2", "image layers")):
        names = [name for name in view.tree.names(f"{_DOCKER}/{part}") if name not in _EMPTY_STORE]
        if names:
            yield Seen(f"{_DOCKER}/{part}", f"{len(names)} {kind}")
    for path, kind in (
        (f"{_DOCKER}/network/files/local-kv.db", "the networks of this daemon"),
        (f"{_DOCKER}/buildkit", "the cache of builds"),
    ):
        node = view.tree.lstat(path)
        if node is not None and (node.size if node.type is FileType.FILE else view.tree.names(path)):
            yield Seen(path, kind)


CHECKS = (
    Check(
        id="docker-identity",
        severity=Severity.WARN,
        subject=Subject.AGENTS,
        why="every clone is the same engine: monitors show one host, and a swarm refuses the second",
        fix="`systemctl stop docker.service docker.socket; rm -f /var/lib/docker/engine-id /etc/docker/key.json`",
        find=look_for_rows(
            CLUSTER_ROWS["docker-identity"], "Look for the Docker engine's id or key, and for a swarm's membership."
        ),
        profiles=COPIED,
    ),
    Check(
        id="docker-state",
        severity=Severity.INFO,
        subject=Subject.AGENTS,
        why="containers of the build travel along, with their size and the secrets in their environment",
        fix="`systemctl stop docker.service docker.socket; rm -rf /var/lib/docker/*`",
        find=find_docker_state,
        profiles=COPIED,
    ),
    Check(
        id="kubernetes-node",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="every clone joins as the same node, and the cluster's keys are in all of them",
        fix="`kubeadm reset --force; rm -rf /etc/kubernetes/pki /var/lib/etcd /etc/cni/net.d/*`",
        find=look_for_rows(
            CLUSTER_ROWS["kubernetes-node"], "Look for what kubeadm, the kubelet and etcd keep about a cluster."
        ),
        profiles=COPIED,
    ),
    Check(
        id="k3s-node",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="the server refuses every clone but one, because its node password belongs to another machine",
        fix="`k3s-killall.sh; rm -rf /etc/rancher/node /var/lib/rancher/k3s/server /var/lib/rancher/k3s/agent`",
        find=look_for_rows(CLUSTER_ROWS["k3s-node"], "Look for a node of K3s, RKE2, MicroK8s, k0s or Talos."),
        profiles=COPIED,
    ),
    Check(
        id="cluster-ids",
        severity=Severity.FAIL,
        subject=Subject.AGENTS,
        why="members with one id overwrite one another's data",
        fix='`rm -rf "$path"`, with the service stopped',
        find=look_for_rows(
            CLUSTER_ROWS["cluster-ids"], "Look for ids and keys of databases, brokers and storage clusters."
        ),
        profiles=COPIED,
    ),
)
