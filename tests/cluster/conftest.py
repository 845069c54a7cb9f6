"""A cluster to talk to: the stand-in for Proxmox VE's API that the test environment has, on a loopback port."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imagekit.cluster import ClusterAccess, Tls, TlsKind
from imagekit.cluster.api import Cluster, open_cluster
from imagekit.host.secret import Secret

CANARY = "5a1dca9a-4e1d-4c0f-9d6a-0ca9a57ec9e7"
TOKEN_ID = "packer@pve!imagekit"

Opener = Callable[..., Cluster]


@pytest.fixture
def pve(fakepve: Any) -> Any:
    """The stand-in with one node ``pve1``, the token above, and bridges and storages like a fresh install's."""
    fakepve.apitokens[TOKEN_ID] = CANARY
    return fakepve


@pytest.fixture
def open_pve(pve: Any, fakepve_cafile: str) -> Iterator[Opener]:
    """Open the stand-in; arguments replace fields of the access."""
    opened: list[Cluster] = []

    def open_it(*, timeout: float = 10.0, **fields: Any) -> Cluster:
        secret = fields.pop("secret", CANARY)
        access = ClusterAccess(
            url=fields.pop("url", pve.url),
            token_id=fields.pop("token_id", TOKEN_ID),
            secret=Secret("the test", lambda: secret),
            tls=fields.pop("tls", Tls(TlsKind.CA_FILE, ca_file=Path(fakepve_cafile))),
        )
        assert not fields
        opened.append(open_cluster(access, timeout=timeout))
        return opened[-1]

    yield open_it
    for cluster in opened:
        cluster.close()
    # the stand-in stops its loop without waiting for connections to end, which leaves sockets open
    deadline = time.monotonic() + 5
    while pve.runner.server.connections and time.monotonic() < deadline:
        time.sleep(0.002)


@pytest.fixture
def cluster(open_pve: Opener) -> Cluster:
    """The stand-in's API, asked with the token."""
    return open_pve()
