"""What other programs are told about the cluster's certificate."""

import hashlib
import ssl
from pathlib import Path
from typing import Any

import pytest

from imagekit.cluster import ClusterAccess, Tls, TlsKind
from imagekit.cluster.failures import CertificateUntrusted, Unreachable
from imagekit.cluster.trust import write_trust
from imagekit.host.secret import Secret


def _make_access(url: str, tls: Tls) -> ClusterAccess:
    return ClusterAccess(url, "packer@pve!imagekit", Secret("the test", lambda: "secret"), tls)


def test_file_of_authorities_is_handed_on(tmp_path: Path) -> None:
    """A CA file is named as it is; the system's authorities and no judgement need no file."""
    tls = Tls(TlsKind.CA_FILE, ca_file=tmp_path / "ca.pem")
    assert write_trust(_make_access("https://pve.example:8006", tls), tmp_path / "x.pem") == tmp_path / "ca.pem"
    for kind in (TlsKind.SYSTEM, TlsKind.INSECURE):
        assert write_trust(_make_access("https://pve.example:8006", Tls(kind)), tmp_path / "x.pem") is None
    assert not (tmp_path / "x.pem").exists()


def test_pinned_certificate_is_fetched_and_compared(pve: Any, tmp_path: Path) -> None:
    """The certificate with the pinned fingerprint becomes a file; another one is refused and written nowhere."""
    host, port = "127.0.0.1", pve.port
    shown = ssl.PEM_cert_to_DER_cert(ssl.get_server_certificate((host, port)))
    pinned = Tls(TlsKind.FINGERPRINT, fingerprint=hashlib.sha256(shown).hexdigest())
    path = tmp_path / "cluster.pem"
    assert write_trust(_make_access(pve.url, pinned), path) == path
    assert ssl.PEM_cert_to_DER_cert(path.read_text()) == shown
    other = Tls(TlsKind.FINGERPRINT, fingerprint="0" * 64)
    with pytest.raises(CertificateUntrusted):
        write_trust(_make_access(pve.url, other), tmp_path / "other.pem")
    assert not (tmp_path / "other.pem").exists()


def test_silence_is_told(tmp_path: Path) -> None:
    """A port where nobody listens is named."""
    pinned = Tls(TlsKind.FINGERPRINT, fingerprint="0" * 64)
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1:1"):
        write_trust(_make_access("https://127.0.0.1:1", pinned), tmp_path / "x.pem")
