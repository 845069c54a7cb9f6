"""Recorded answers of Proxmox VE 9.2 itself, sent again by a server: each is read as what it is.

The records are data beside the project, not part of it; where they are not there, nothing is tested.
"""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from imagekit.cluster import ClusterAccess, Tls, TlsKind
from imagekit.cluster.api import Cluster, open_cluster
from imagekit.cluster.failures import (
    ClusterFailed,
    Locked,
    Missing,
    NoPermission,
    TokenRefused,
    Unreachable,
    explain_task,
)
from imagekit.cluster.privileges import Rights, read_rights
from imagekit.cluster.tasks import Upid
from imagekit.host.secret import Secret
from tests.cluster.conftest import CANARY, TOKEN_ID
from tests.cluster.odd_server import make_certificate, say, serve

_PLACE = Path(__file__).parents[3] / "shared" / "pve-api"
_FILES = sorted(_PLACE.glob("recorded-*.jsonl"))
pytestmark = pytest.mark.skipif(not _FILES, reason="the recorded answers are not beside the project")
Record = dict[str, Any]


def _read(kind: str) -> list[Record]:
    records = [json.loads(line) for path in _FILES for line in path.read_text(encoding="utf-8").splitlines()]
    return [record for record in records if kind in record]


class Replayer:
    """A cluster whose next answer is a record's."""

    def __init__(self, cluster: Cluster, waiting: list[Record]) -> None:
        self.cluster, self._waiting = cluster, waiting

    def ask(self, record: Record) -> object:
        """Return what the client makes of the record."""
        self._waiting[:] = [record]
        return self.cluster.get("/version")


@pytest.fixture(scope="module")
def replayer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replayer]:
    """One server for all records."""
    certificate = make_certificate(tmp_path_factory.mktemp("replayed"), "127.0.0.1")
    waiting: list[Record] = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = waiting[0].get("body", waiting[0].get("response"))
        text = body if isinstance(body, str) else "" if body is None else json.dumps(body)
        say(waiting[0]["status"], text, reason=waiting[0]["reason"].splitlines()[0])(handler)

    with serve(certificate, answer) as (url, _seen):
        tls = Tls(TlsKind.CA_FILE, ca_file=certificate[0])
        with open_cluster(ClusterAccess(url, TOKEN_ID, Secret("the test", lambda: CANARY), tls)) as cluster:
            yield Replayer(cluster, waiting)


def _name_expected(record: Record) -> type[ClusterFailed]:
    """Say by hand what a refusal is."""
    reason, status = record["reason"], record["status"]
    if status == 401:
        return TokenRefused
    if status in (595, 596):
        return Unreachable
    if "VM is locked" in reason or "can't lock file" in reason:
        return Locked
    if "Agent error" in reason:
        return ClusterFailed
    if any(text in reason for text in ("does not exist", "unable to find configuration", "lookup")):
        return Missing
    if status == 400 and "no such task" in json.dumps(record.get("response")):
        return Missing
    return NoPermission if status == 403 else ClusterFailed


def test_refusals(replayer: Replayer) -> None:
    """Every recorded refusal becomes the error that a caller tells it by, with PVE's own words in its sentence."""
    refused = [record for record in _read("status") if record["status"] >= 400]
    assert len(refused) > 90
    for record in refused:
        with pytest.raises(ClusterFailed) as caught:
            replayer.ask(record)
        assert type(caught.value) is _name_expected(record), record
        first = record["reason"].splitlines()[0].rstrip(".")
        assert first in caught.value.message or type(caught.value) is NoPermission, record


def test_denials(replayer: Replayer) -> None:
    """Path and privileges are taken from every recorded denial that names them."""
    named = [
        record for record in _read("status")
        if record["status"] == 403 and ", " in record["reason"] and "(/" in record["reason"]
    ]  # fmt: skip
    assert len(named) > 25
    for record in named:
        with pytest.raises(NoPermission) as caught:
            replayer.ask(record)
        path, _, privileges = record["reason"].partition("(")[2].rstrip(")").partition(", ")
        assert (caught.value.path, caught.value.privileges) == (path, tuple(privileges.split("|")))


def test_answers(replayer: Replayer) -> None:
    """Every recorded answer that is no refusal comes through as it is, and every task's name is read."""
    answered = [record for record in _read("status") if record["status"] == 200]
    upids = 0
    for record in answered:
        body = record.get("body", record.get("response"))
        if not isinstance(body, dict):
            continue
        assert replayer.ask(record) == body["data"]
        if isinstance(body["data"], str) and body["data"].startswith("UPID:"):
            assert Upid.parse(body["data"]).node == "pve"
            upids += 1
    assert upids > 50


def test_tasks() -> None:
    """What is known about recorded task errors is said, and no lock goes without its command."""
    ended = [record["task"] for record in _read("task")]
    assert ended
    for task in ended:
        assert Upid.parse(task["upid"]).kind == task["type"]
        hint = explain_task(task.get("exitstatus", ""), task["id"])
        if "VM is locked" in task.get("exitstatus", ""):
            assert f"qm unlock {task['id']}" in (hint or "")


def test_rights_of_a_pool(replayer: Replayer) -> None:
    """The recorded rights of a pool's token are read with their inheritance; a token without rights has none."""
    asked = [record for record in _read("status") if record["path"].endswith("/access/permissions")]
    pool = next(record for record in asked if "/pool/imagekit" in record["response"]["data"])
    rights = Rights({path: {name: bool(flag) for name, flag in entry.items()}
                     for path, entry in pool["response"]["data"].items()})  # fmt: skip
    assert "VM.Clone" in rights.list_privileges("/vms/340")
    assert rights.list_privileges("/vms/9000") == frozenset()
    assert "SDN.Use" in rights.list_privileges("/sdn/zones/localnetwork/vmbr0/30")
    empty = next(record for record in asked if record["response"]["data"] == {})
    replayer.ask(empty)  # the server goes on saying so
    assert read_rights(replayer.cluster, ["/vms/100"]).empty
