"""Dirt about members of clusters and databases."""

from imagekit.report import Severity
from tests.verify.dirty.change import FAIL, INFO, WARN, Dirt, wrote

_UUID = "1f0b3c52-6f0e-4a52-9a49-3b6b4f0c1d2e"


def _file(check: str, name: str, path: str, content: str, severity: Severity = FAIL) -> Dirt:
    return Dirt(check, name, severity, path, wrote(path, content))


DIRT = (
    _file("docker-identity", "engine", "/var/lib/docker/engine-id", _UUID, WARN),
    _file("docker-identity", "key", "/etc/docker/key.json", '{"d":"canary"}', WARN),
    Dirt("docker-identity", "swarm", FAIL, "/swarm", wrote("/var/lib/docker/swarm/docker-state.json", "{}")),
    Dirt("docker-state", "container", INFO, "containers", wrote("/var/lib/docker/containers/a/config.v2.json", "{}")),
    Dirt("docker-state", "volume", INFO, "volumes", wrote("/var/lib/docker/volumes/a/_data/x", "x")),
    Dirt("docker-state", "layers", INFO, "overlay2", wrote("/var/lib/docker/overlay2/a/link", "x")),
    _file("docker-state", "networks", "/var/lib/docker/network/files/local-kv.db", "x", INFO),
    Dirt("docker-state", "builds", INFO, "buildkit", wrote("/var/lib/docker/buildkit/cache.db", "x")),
    Dirt("kubernetes-node", "kubelet", FAIL, "kubelet/pki", wrote("/var/lib/kubelet/pki/kubelet.key", "canary")),
    _file("kubernetes-node", "conf", "/etc/kubernetes/kubelet.conf", "apiVersion: v1\n"),
    Dirt("kubernetes-node", "etcd", FAIL, "etcd/member", wrote("/var/lib/etcd/member/snap/db", "x")),
    _file("kubernetes-node", "network", "/etc/cni/net.d/10-flannel.conflist", "{}", INFO),
    _file("k3s-node", "password", "/etc/rancher/node/password", "canary"),
    _file("k3s-node", "server", "/var/lib/rancher/k3s/server/token", "canary"),
    _file("k3s-node", "agent", "/var/lib/rancher/rke2/agent/kubelet.kubeconfig", "apiVersion: v1\n"),
    _file("k3s-node", "join", "/etc/rancher/k3s/config.yaml", "server: https://k.example\ntoken: canary\n", WARN),
    _file("cluster-ids", "mysql", "/var/lib/mysql/auto.cnf", f"[auto]\nserver-uuid={_UUID}\n"),
    _file("cluster-ids", "consul", "/opt/consul/node-id", _UUID),
    _file("cluster-ids", "gluster", "/var/lib/glusterd/glusterd.info", f"UUID={_UUID}\n"),
    _file("cluster-ids", "ceph", "/etc/ceph/ceph.client.admin.keyring", "[client.admin]\nkey = canary\n"),
    _file("cluster-ids", "erlang", "/root/.erlang.cookie", "CANARY"),
    _file("cluster-ids", "kafka", "/var/lib/kafka/data/meta.properties", "broker.id=1\n"),
    _file("cluster-ids", "vault", "/opt/vault/data/vault.db", "canary"),
)
