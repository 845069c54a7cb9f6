"""The API client: plain values, errors as sentences, and a token that is never shown."""

import logging
import traceback
from collections.abc import Iterator
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import pytest

from imagekit.cluster import ClusterAccess, Tls, TlsKind
from imagekit.cluster.api import Cluster, join_path, open_cluster
from imagekit.cluster.failures import (
    ClusterFailed,
    Locked,
    Missing,
    NoPermission,
    TokenRefused,
    Unreachable,
)
from imagekit.errors import HostFailed, SettingsInvalid
from imagekit.host.secret import Secret
from tests.cluster.conftest import CANARY, TOKEN_ID, Opener
from tests.cluster.odd_server import Answer, make_certificate, say, serve


def test_values(cluster: Cluster, pve: Any) -> None:
    """Answers are plain values without the envelope, and truths are sent as 0 and 1."""
    pve.add_vm(101, "web", config={"memory": "1024"})
    assert cluster.get("/nodes/pve1/qemu/101/config")["memory"] == "1024"  # type: ignore[index]
    assert cluster.put("/nodes/pve1/qemu/101/config", {"onboot": True, "description": "a b&c"}) is None
    assert cluster.get("/nodes/pve1/qemu/101/config")["description"] == "a b&c"  # type: ignore[index]
    assert pve.vm(101).config["onboot"] in (1, "1")


def test_clock(cluster: Cluster) -> None:
    """Every answer's date tells how far the two clocks are apart."""
    assert cluster.clock_difference is None
    cluster.get("/version")
    assert cluster.clock_difference is not None
    assert abs(cluster.clock_difference) < 5


def test_wrong_secret(open_pve: Opener) -> None:
    """A token that the cluster does not know is said so, by its id."""
    with pytest.raises(TokenRefused, match="does not accept the API token packer@pve!imagekit") as caught:
        open_pve(secret="another").get("/version")
    assert "pveum user token list packer@pve" in (caught.value.hint or "")


def test_missing_right(cluster: Cluster, pve: Any) -> None:
    """The privilege and the path that are missing are taken from PVE's text."""
    pve.add_vm(101, "web")
    pve.grant("packer@pve", "/vms/102", "VM.Audit")
    with pytest.raises(NoPermission, match=r"needs VM\.Audit on /vms/101") as caught:
        cluster.get("/nodes/pve1/qemu/101/config")
    assert (caught.value.path, caught.value.privileges) == ("/vms/101", ("VM.Audit",))


def test_missing_vm(cluster: Cluster) -> None:
    """A VM that is not there is told apart, although PVE's status for it is 500."""
    with pytest.raises(Missing, match=r"nodes/pve1/qemu-server/101\.conf' does not exist"):
        cluster.get("/nodes/pve1/qemu/101/config")


def test_locked_vm(cluster: Cluster, pve: Any) -> None:
    """A lock is named, with the command that an operator may remove it by."""
    pve.add_vm(101, "web", lock="clone")
    with pytest.raises(Locked, match=r"VM is locked \(clone\)") as caught:
        cluster.put("/nodes/pve1/qemu/101/config", {"onboot": True})
    assert caught.value.lock == "clone"
    assert "qm unlock 101" in (caught.value.hint or "")


def test_wrong_parameter(cluster: Cluster, pve: Any) -> None:
    """What PVE objects to in a parameter is part of the sentence."""
    pve.add_vm(101, "web")
    with pytest.raises(ClusterFailed, match=r"Parameter verification failed: name: invalid format") as caught:
        cluster.put("/nodes/pve1/qemu/101/config", {"name": "not a name"})
    assert caught.value.status == 400


def test_offline_node(cluster: Cluster, pve: Any) -> None:
    """A node that its neighbour does not reach may answer later, and the sentence names the way."""
    pve.add_node("pve2", online=False)
    with pytest.raises(Unreachable, match="from the node it is about") as caught:
        cluster.get("/nodes/pve2/qemu")
    assert caught.value.status == 595


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for the odd servers."""
    return make_certificate(tmp_path, "127.0.0.1")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (say(200, "<html>Welcome</html>"), "is none of Proxmox VE's API"),
        (say(200, "[1]"), "is none of Proxmox VE's API"),
        (say(200, '{"result": 1}'), "is none of Proxmox VE's API"),
        (say(200, "[" * 200_000), "is none of Proxmox VE's API"),
        (say(200, "", Content_Length="9" * 30), "larger than any of Proxmox VE's"),
        (say(200, "", Content_Length=str(1 << 30)), "larger than any of Proxmox VE's"),
        (say(302, "", Location="https://other.example/"), r"redirection \(302\)"),
        (say(304, ""), r"redirection \(304\)"),
        (say(502, "<html>Bad Gateway</html>", reason="Bad Gateway"), "refused GET /version: Bad Gateway"),
        (say(500, "[]", reason="only root can"), "refused GET /version: only root can"),
        (say(500, '{"message": 5, "errors": 7}', reason="odd"), "refused GET /version: odd"),
        (say(500, '{"message": "caf\u00e9 is full\\n"}', reason="caf"), "refused GET /version: caf\u00e9 is full"),
        (say(596, "", reason="Broken pipe"), r"596 Broken pipe"),
        (say(403, "", reason="Permission check failed"), "may not do GET /version: Permission check failed"),
        (lambda handler: handler.connection.shutdown(SHUT_RDWR), "broke off|does not speak TLS"),
    ],
)
def test_odd_answers(certificate: tuple[Path, Path], answer: Answer, said: str) -> None:
    """What no Proxmox VE says becomes a sentence too, and no error of any kind carries the token."""
    with serve(certificate, answer) as (url, seen):
        access = _make_access(url, Tls(TlsKind.CA_FILE, ca_file=certificate[0]))
        with open_cluster(access, timeout=5) as cluster, pytest.raises(HostFailed, match=said) as caught:
            cluster.get("/version")
    assert seen[0]["Authorization"] == f"PVEAPIToken={TOKEN_ID}={CANARY}"
    assert CANARY not in "".join(_list_texts(caught.value))


def test_token_stays_hidden(open_pve: Opener, pve: Any) -> None:
    """No error, no representation and no exception behind an error has the token in it."""
    pve.add_vm(101, "web", lock="backup")
    pve.fail("GET", "/nodes", 500, "boom")
    cluster = open_pve()
    texts = [repr(cluster), str(cluster), repr(cluster.access)]
    for path in ("/nodes", "/nodes/pve1/qemu/102/config", "/nowhere"):
        with pytest.raises(ClusterFailed) as caught:
            cluster.get(path)
        texts += _list_texts(caught.value)
    untrusting = open_pve(tls=Tls())
    with pytest.raises(ClusterFailed) as caught:
        untrusting.get("/nodes")
    texts += _list_texts(caught.value)
    assert len("".join(texts)) > 200
    assert CANARY not in "".join(texts)
    assert all(CANARY.encode() not in body and CANARY not in path for _verb, path, body in pve.requests)


def test_nothing_is_logged(cluster: Cluster, pve: Any, caplog: pytest.LogCaptureFixture) -> None:
    """The libraries log neither the token nor what is sent, whatever level somebody set."""
    pve.add_vm(101, "web")
    with caplog.at_level(logging.DEBUG):
        for name in ("proxmoxer", "proxmoxer.core", "proxmoxer.backends.https", "urllib3", "urllib3.connectionpool"):
            caplog.set_level(logging.DEBUG, logger=name)
        cluster.put("/nodes/pve1/qemu/101/config", {"description": "canary-in-a-parameter"})
    assert "canary" not in caplog.text
    assert CANARY not in caplog.text


@pytest.mark.parametrize("secret", ["", "with space", "line\nbreak", "caf\u00e9", "x" * 600])
def test_secret_that_cannot_be_one(secret: str) -> None:
    """A secret that would break its header is refused without being shown."""
    access = ClusterAccess("https://pve.example:8006", TOKEN_ID, Secret("TOKEN_VARIABLE", lambda: secret))
    with pytest.raises(SettingsInvalid, match="secret from TOKEN_VARIABLE is empty or has characters") as caught:
        open_cluster(access)
    assert not secret or secret not in caught.value.message


@pytest.mark.parametrize("token_id", ["root@pam", "root!x", "root@pam!x!y", "ro ot@pam!xx", "root@pam!x\nHost: y"])
def test_token_id_that_cannot_be_one(token_id: str) -> None:
    """A token id that is incomplete or would break its header is refused."""
    access = ClusterAccess("https://pve.example:8006", token_id, Secret("the test", lambda: CANARY))
    with pytest.raises(SettingsInvalid, match="token id is not one"):
        open_cluster(access)


def test_secret_is_fetched_once() -> None:
    """The secret is fetched when the cluster is opened, once, and not before."""
    fetched: list[int] = []

    def fetch() -> str:
        fetched.append(1)
        return CANARY

    access = ClusterAccess("https://pve.example:8006", TOKEN_ID, Secret("the test", fetch))
    assert fetched == []
    open_cluster(access).close()
    open_cluster(access).close()
    assert fetched == [1]


def test_paths() -> None:
    """Each part of a path stays one part, and none leads elsewhere."""
    assert join_path("nodes", "pve1", "qemu", 101) == "/nodes/pve1/qemu/101"
    assert join_path("content", "local:iso/a b?.iso") == "/content/local%3Aiso%2Fa%20b%3F.iso"
    for part in ("", ".", ".."):
        with pytest.raises(ValueError, match="not the parts of a path"):
            join_path("nodes", part)


def _make_access(url: str, tls: Tls) -> ClusterAccess:
    return ClusterAccess(url, TOKEN_ID, Secret("the test", lambda: CANARY), tls)


def _list_texts(problem: BaseException) -> list[str]:
    """Everything that could be printed of an exception and of those behind it."""
    return [text for one in _list_chain(problem) for text in (
        str(one), repr(one), repr(vars(one)), repr(getattr(one, "hint", "")), *traceback.format_exception(one),
        repr(getattr(getattr(one, "request", None), "headers", "")),
    )]  # fmt: skip


def _list_chain(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__
