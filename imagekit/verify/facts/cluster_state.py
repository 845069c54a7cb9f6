"""Members of clusters and databases: where each keeps the identity that must not exist twice.

Sources: moby's daemon (engine-id since 23, key.json before), kubeadm and k3s documentation, and each project's manual
for its data directory.
"""

from imagekit.report import Severity
from imagekit.verify.facts.state_rows import Row

_W, _I = Severity.WARN, Severity.INFO
_NO_ZERO_UUID = r"(?m)^[ \t]*uuid:\s+(?!0{8}-)[0-9a-fA-F]{8}-"
_TOKEN = r"(?m)^[ \t]*(?:agent-)?token\s*:\s*\S"
_NUMBER = r"\A\s*\d+\s*\Z"
_SWARM_FIX = "`docker swarm leave --force; systemctl stop docker.service docker.socket; rm -rf /var/lib/docker/swarm`"

CLUSTER_ROWS: dict[str, tuple[Row, ...]] = {
    "docker-identity": (
        Row("/var/lib/docker/swarm", "membership of a swarm", Severity.FAIL, fix=_SWARM_FIX),
        Row("/var/lib/docker/engine-id", "the engine's id"),
        Row("/etc/docker/key.json", "the engine's key, from which its id is made"),
    ),
    "kubernetes-node": (
        Row("/etc/kubernetes/*.conf", "a client of the cluster's API"),
        Row("/etc/kubernetes/pki/*.*", "a certificate or key of a cluster"),
        Row("/etc/kubernetes/pki/etcd/*", "a certificate or key of etcd"),
        Row("/var/lib/kubelet/pki", "the kubelet's certificates and keys"),
        Row("/var/lib/kubelet/config.yaml", "the configuration that kubeadm gave this node"),
        Row("/var/lib/etcd/member", "a member of an etcd cluster"),
        Row("/var/lib/etcd/*/member", "a member of an etcd cluster"),
        # Runtimes ship networks of their own; a cluster's plugin writes one when the node has joined.
        Row("/etc/cni/net.d/*", "a container network", _I,
            except_names=("*podman*", "*crio*", "*loopback*", "README*", ".keep", ".kubernetes-cni-keep")),
    ),
    "k3s-node": (
        Row("/etc/rancher/node/password", "the password by which the server knows this node"),
        *(
            row
            for name in ("k3s", "rke2")
            for row in (
                Row(f"/etc/rancher/{name}/{name}.yaml", "an administrator's access to the cluster"),
                Row(f"/etc/rancher/{name}/config.yaml", "the token that lets a node into the cluster", _W, _TOKEN,
                    fix=f"give the token to the clone: `sed -i '/token:/d' /etc/rancher/{name}/config.yaml`"),
                *(
                    Row(f"/var/lib/rancher/{name}/server/{part}", "a server's state")
                    for part in ("token", "node-token", "agent-token", "tls", "cred", "db")
                ),
                # Images and manifests may be put there for clones without a network; keys come by joining.
                *(
                    Row(f"/var/lib/rancher/{name}/agent/{part}", "an agent's key or access")
                    for part in ("*.key", "*.kubeconfig", "*.crt")
                ),
            )
        ),
        Row("/var/snap/microk8s/current/credentials/*", "an access to a MicroK8s cluster"),
        Row("/var/snap/microk8s/current/certs/*.key", "a key of a MicroK8s cluster"),
        Row("/var/snap/microk8s/current/var/kubernetes/backend/cluster.key", "membership of a MicroK8s cluster"),
        Row("/var/lib/k0s/pki", "certificates and keys of a k0s cluster"),
        Row("/var/lib/k0s/kubelet.conf", "an agent's access to a k0s cluster"),
        Row("/var/lib/k0s/etcd/member", "a member of an etcd cluster"),
        Row("/system/state/config.yaml", "a Talos machine's configuration with its keys"),
        Row("~/.talos/config", "an administrator's access to a Talos cluster"),
    ),
    "cluster-ids": (
        Row("/var/lib/mysql/auto.cnf", "a MySQL server's UUID"),
        Row("/var/lib/mysql/grastate.dat", "membership of a Galera cluster", holds=_NO_ZERO_UUID),
        Row("/var/lib/mysql/gvwstate.dat", "membership of a Galera cluster"),
        *(Row(f"{place}/node-id", "a Consul node's id")
          for place in ("/opt/consul", "/opt/consul/data", "/var/lib/consul", "/var/consul")),
        *(Row(f"{place}/{part}", "a Nomad node's id")
          for place in ("/opt/nomad", "/opt/nomad/data", "/var/lib/nomad", "/var/nomad")
          for part in ("client/client-id", "server/node-id")),
        Row("/var/lib/glusterd/glusterd.info", "a Gluster peer's UUID", holds=r"(?m)^UUID=\S"),
        Row("/etc/corosync/authkey", "a Corosync cluster's key"),
        Row("/var/lib/pacemaker/cib/cib.xml", "a Pacemaker cluster's configuration"),
        Row("/var/lib/pve-cluster/config.db", "a Proxmox VE node's configuration with its keys"),
        Row("/etc/ceph/*.keyring", "a Ceph key"),
        Row("/var/lib/ceph/*/*.keyring", "a Ceph key"),
        Row("/var/lib/ceph/*/*/keyring", "a Ceph daemon's key"),
        *(Row(f"{home}/.erlang.cookie", "the secret that Erlang nodes share")
          for home in ("~", "/var/lib/rabbitmq", "/var/lib/ejabberd", "/var/lib/couchdb", "/opt/couchdb")),
        *(Row(f"{place}/meta.properties", "a Kafka broker's ids")
          for place in ("/var/lib/kafka", "/var/lib/kafka/*", "/var/lib/kafka-logs", "/opt/kafka*/*")),
        Row("/var/lib/zookeeper/myid", "a ZooKeeper server's number", holds=_NUMBER),
        *(Row(f"{place}/{part}", "a Vault server's storage")
          for place in ("/opt/vault/data", "/var/lib/vault", "/opt/openbao/data", "/var/lib/openbao")
          for part in ("vault.db", "raft/raft.db", "core")),
        *(Row(f"/var/lib/{name}/{part}", "a search node's id and data")
          for name in ("elasticsearch", "opensearch") for part in ("_state", "nodes")),
        Row("/var/lib/cassandra/data/system", "a Cassandra node's host id"),
        Row("/var/lib/redis/nodes.conf", "a Redis Cluster node's id", holds=r"\bmyself\b"),
        Row("/var/lib/minio/.minio.sys/format.json", "a MinIO drive's id"),
        Row("/var/lib/garage/meta/node_key", "a Garage node's key"),
        Row("/var/lib/syncthing/key.pem", "a Syncthing device's key"),
        Row("/var/lib/syncthing/*/*/key.pem", "a Syncthing device's key"),
    ),
}  # fmt: skip
