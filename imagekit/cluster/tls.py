"""How the API's certificate is judged before anything secret is said.

Proxmox VE makes its own authority for each cluster (``/etc/pve/pve-root-ca.pem``) and signs every node's certificate
with it, so most operators will name that file, or pin the certificate they see in the browser by its SHA-256.
"""

import hashlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

from imagekit.cluster.access import Tls, TlsKind
from imagekit.errors import SettingsInvalid

if TYPE_CHECKING:
    from requests.adapters import HTTPAdapter


def make_context(tls: Tls) -> ssl.SSLContext:
    """Return what judges the certificate; raises :class:`SettingsInvalid` when the file of authorities is no use.

    Python's strict mode (the default from 3.13 on) is turned off: it refuses certificates without an authority key
    identifier, which older releases of Proxmox VE signed. Who signed and for which name is checked all the same.
    """
    if tls.kind in (TlsKind.FINGERPRINT, TlsKind.INSECURE):  # urllib3 compares the fingerprint after the handshake
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    try:
        context = ssl.create_default_context(cafile=str(tls.ca_file) if tls.kind is TlsKind.CA_FILE else None)
    except OSError as problem:  # ssl.SSLError, for a file without a certificate, is one too
        reason = problem.strerror if not isinstance(problem, ssl.SSLError) else "it holds no certificate in PEM form"
        raise SettingsInvalid(
            f"the cluster's authorities cannot be read from {tls.ca_file}: {reason}",
            hint="on a node they are in /etc/pve/pve-root-ca.pem",
        ) from None
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if tls.kind is TlsKind.CA_FILE:  # a node's own certificate may be named instead of the one that signed it
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def make_adapter(tls: Tls) -> "HTTPAdapter":
    """Return requests' transport with exactly this judgement.

    Requests by itself would ask certifi's authorities instead of the system's, and add them to any context it is given.
    """
    from requests.adapters import HTTPAdapter

    context = make_context(tls)
    fingerprint = tls.fingerprint if tls.kind is TlsKind.FINGERPRINT else None

    class JudgingAdapter(HTTPAdapter):
        def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 # the signature is requests' own
            super().init_poolmanager(*args, ssl_context=context, assert_fingerprint=fingerprint, **options)

        def proxy_manager_for(self, proxy: str, **options: Any) -> Any:  # noqa: ANN401
            return super().proxy_manager_for(proxy, ssl_context=context, assert_fingerprint=fingerprint, **options)

        def cert_verify(self, conn: Any, *_ignored: object) -> None:  # noqa: ANN401
            conn.cert_reqs = context.verify_mode

        def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> Any:  # noqa: ANN401
            host, _verification = super().build_connection_pool_key_attributes(request, verify, cert)
            return host, {"ssl_context": context, "cert_reqs": context.verify_mode}

    return JudgingAdapter()


def read_fingerprint(host: str, port: int, *, timeout: float = 10.0) -> str:
    """Return the SHA-256 of the certificate that is shown there, as pairs divided by colons; empty when none is.

    Nothing is verified and nothing is sent: the value is for a person to compare with what the node itself says
    (``openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem``).
    """
    context = make_context(Tls(TlsKind.INSECURE))
    try:
        with (
            socket.create_connection((host, port), timeout=timeout) as plain,
            context.wrap_socket(plain, server_hostname=host) as secured,
        ):
            certificate = secured.getpeercert(binary_form=True)
    except (OSError, ValueError):  # ValueError: a name that cannot be one
        return ""
    return hashlib.sha256(certificate).digest().hex(":").upper() if certificate else ""
