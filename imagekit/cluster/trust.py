"""The judgement of a certificate for programs that know a file of authorities and nothing else: Packer, Terraform."""

import hashlib
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from imagekit.cluster.access import ClusterAccess, TlsKind
from imagekit.cluster.failures import CertificateUntrusted, Unreachable

_SECONDS = 10.0


def write_trust(access: ClusterAccess, path: Path) -> Path | None:
    """Return the file for ``SSL_CERT_FILE``, ``None`` when the system's authorities are meant or nothing is judged.

    A pinned certificate is fetched, compared with its fingerprint, and written to ``path``: Go takes a certificate
    that is among its roots (crypto/x509, Certificate.Verify). Raises :class:`CertificateUntrusted` for another one.
    """
    match access.tls.kind:
        case TlsKind.CA_FILE:
            return access.tls.ca_file
        case TlsKind.FINGERPRINT:
            path.write_text(_fetch_pinned(access))
            return path
        case _:
            return None


def _fetch_pinned(access: ClusterAccess) -> str:
    parts = urlsplit(access.url)
    host, port = parts.hostname or "", parts.port or 8006
    try:
        text = ssl.get_server_certificate((host, port), timeout=_SECONDS)
    except OSError as problem:
        raise Unreachable(f"{host}:{port} does not answer: {problem}") from None
    found = hashlib.sha256(ssl.PEM_cert_to_DER_cert(text)).hexdigest()
    if found != access.tls.fingerprint:
        raise CertificateUntrusted(f"{host}:{port} shows a certificate with another fingerprint than the pinned one")
    return text
