"""How certificates are judged: real ones, signed by themselves, on loopback."""

import hashlib
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.cluster import ClusterAccess, Tls, TlsKind
from imagekit.cluster.api import open_cluster
from imagekit.cluster.failures import CertificateUntrusted, Unreachable
from imagekit.cluster.tls import read_fingerprint
from imagekit.errors import SettingsInvalid
from imagekit.host.secret import Secret
from tests.cluster.conftest import CANARY, TOKEN_ID
from tests.cluster.odd_server import make_certificate, say, serve

Served = tuple[str, list[dict[str, str]], Path]
_VERSION = say(200, '{"data": {"version": "9.2.11"}}')


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A server whose certificate is right for its address and signed by itself."""
    certificate = make_certificate(tmp_path, "127.0.0.1")
    with serve(certificate, _VERSION) as (url, seen):
        yield url, seen, certificate[0]


def _ask(url: str, tls: Tls) -> object:
    with open_cluster(ClusterAccess(url, TOKEN_ID, Secret("the test", lambda: CANARY), tls), timeout=5) as cluster:
        return cluster.get("/version")


def _hash(certificate: Path) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


def test_system_store_distrusts(served: Served) -> None:
    """A certificate that no authority of the system signed is refused before the token is sent, and its hash shown."""
    url, seen, certificate = served
    with pytest.raises(CertificateUntrusted, match="is not trusted") as caught:
        _ask(url, Tls())
    assert seen == []
    digits = _hash(certificate).upper()
    assert ":".join(digits[at : at + 2] for at in range(0, 64, 2)) in (caught.value.hint or "")
    assert "ca_file" in (caught.value.hint or "")
    assert caught.value.exit_code == 8


def test_system_store_is_the_systems(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """An authority that the system trusts is trusted: OpenSSL's store counts, not a list that a library brings."""
    url, _seen, certificate = served
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert _ask(url, Tls()) == {"version": "9.2.11"}


def test_ca_file(served: Served) -> None:
    """A named file of authorities is trusted."""
    url, _seen, certificate = served
    assert _ask(url, Tls(TlsKind.CA_FILE, ca_file=certificate)) == {"version": "9.2.11"}


def test_other_ca_file(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a file of authorities nobody else's count: neither the system's nor those of requests' variable."""
    url, seen, certificate = served
    other = make_certificate(tmp_path, "pve.example")[0]
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with pytest.raises(CertificateUntrusted):
        _ask(url, Tls(TlsKind.CA_FILE, ca_file=other))
    assert seen == []


@pytest.mark.parametrize("content", [None, "no certificate at all\n"])
def test_ca_file_of_no_use(tmp_path: Path, content: str | None) -> None:
    """A file of authorities that is missing or holds none is a mistake of the settings."""
    path = tmp_path / "pve-root-ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsInvalid, match="authorities cannot be read"):
        _ask("https://127.0.0.1:1", Tls(TlsKind.CA_FILE, ca_file=path))


def test_fingerprint(served: Served) -> None:
    """A pinned certificate is trusted whoever signed it."""
    url, _seen, certificate = served
    assert _ask(url, Tls(TlsKind.FINGERPRINT, fingerprint=_hash(certificate))) == {"version": "9.2.11"}


def test_other_fingerprint(served: Served) -> None:
    """Another certificate than the pinned one is refused before the token is sent, and its hash shown."""
    url, seen, certificate = served
    with pytest.raises(CertificateUntrusted, match="another certificate than the pinned one") as caught:
        _ask(url, Tls(TlsKind.FINGERPRINT, fingerprint="00" * 32))
    assert seen == []
    assert _hash(certificate)[:2].upper() in (caught.value.hint or "")


def test_insecure(served: Served) -> None:
    """Without any check everything is accepted, and no library warns in our place."""
    assert _ask(served[0], Tls(TlsKind.INSECURE)) == {"version": "9.2.11"}


def test_other_name(tmp_path: Path) -> None:
    """A trusted certificate for another name is refused, and the sentence says so."""
    certificate = make_certificate(tmp_path, "pve.example")
    with (
        serve(certificate, _VERSION) as (url, seen),
        pytest.raises(CertificateUntrusted, match="is for another name"),
    ):
        _ask(url, Tls(TlsKind.CA_FILE, ca_file=certificate[0]))
    assert seen == []


def test_no_tls() -> None:
    """A port that speaks something else is told apart from a certificate that is not trusted."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        from threading import Thread

        def greet() -> None:
            connection, _address = listening.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = Thread(target=greet)
        thread.start()
        with pytest.raises(Unreachable, match="does not speak TLS"):
            _ask(f"https://127.0.0.1:{listening.getsockname()[1]}", Tls())
        thread.join()


def test_nothing_listens() -> None:
    """A closed port is named."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    with pytest.raises(Unreachable, match=f"nothing listens at 127.0.0.1:{port}"):
        _ask(f"https://127.0.0.1:{port}", Tls())


def test_unknown_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that no name server knows is named."""

    def forget(*_ignored: object, **_options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", forget)
    with pytest.raises(Unreachable, match=r"the cluster's name pve\.example is not known here"):
        _ask("https://pve.example:8006", Tls())


def test_silence() -> None:
    """Somebody who accepts and says nothing is given up after the timeout."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        access = ClusterAccess(
            f"https://127.0.0.1:{listening.getsockname()[1]}", TOKEN_ID, Secret("the test", lambda: CANARY)
        )
        with open_cluster(access, timeout=0.2) as cluster, pytest.raises(Unreachable, match="did not answer in time"):
            cluster.get("/version")


def test_fingerprint_of_nobody() -> None:
    """Where no certificate is shown there is no hash, and no error."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    assert read_fingerprint("127.0.0.1", port, timeout=1) == ""
    assert read_fingerprint("", port, timeout=1) == ""
