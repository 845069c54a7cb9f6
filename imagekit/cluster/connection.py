"""What to tell a person when there was no answer at all: name, port, certificate, time."""

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from imagekit.cluster.access import ClusterAccess, TlsKind
from imagekit.cluster.failures import CertificateUntrusted, ClusterFailed, Unreachable
from imagekit.cluster.tls import read_fingerprint

_NAME_MISMATCHES = (62, 64)  # X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH of OpenSSL's x509_vfy.h
_DEEPEST = 16


def explain_connection(problem: Exception, access: ClusterAccess) -> ClusterFailed:
    """Return the error of a request that got no answer; looks at the certificate again when that is what is wrong."""
    address = urlsplit(access.url).netloc
    causes = list(_list_causes(problem))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError) or _is_pin(cause):
            return _explain_certificate(cause, access)
    for cause in causes:
        match cause:
            case ssl.SSLError():
                return Unreachable(
                    f"{address} does not speak TLS as Proxmox VE's API does: {cause.reason or cause}",
                    hint="the API is at port 8006 unless something stands before it",
                )
            case socket.gaierror():
                return Unreachable(
                    f"the cluster's name {urlsplit(access.url).hostname} is not known here",
                    hint="see the cluster's url and this machine's name server",
                )
            case ConnectionRefusedError():
                return Unreachable(
                    f"nothing listens at {address}", hint="see the port (8006 unless changed) and that pveproxy runs"
                )
            case OSError() if cause.errno and not isinstance(cause, TimeoutError):
                return Unreachable(f"{address} cannot be reached: {cause.strerror}")
            case _:
                pass
    if "timed out" in str(problem) or any(isinstance(cause, TimeoutError) for cause in causes):
        return Unreachable(
            f"{address} did not answer in time", hint="see that the host is up and that no firewall swallows the port"
        )
    return Unreachable(f"the connection to {address} broke off", hint="see pveproxy's journal if it happens again")


def _list_causes(problem: BaseException) -> Iterator[BaseException]:
    """Yield the exception and those inside: requests wraps urllib3's, which wraps the system's, each in its own way."""
    waiting = [problem]
    for _ in range(_DEEPEST):
        if not waiting:
            return
        one = waiting.pop(0)
        yield one
        inner = (*one.args, getattr(one, "reason", None), one.__cause__, one.__context__)
        waiting.extend(found for found in inner if isinstance(found, BaseException) and found is not one)


def _is_pin(cause: BaseException) -> bool:
    """Say whether urllib3 found another certificate than the pinned one; it has no class of its own for that."""
    return str(cause).startswith("Fingerprints did not match")


def _explain_certificate(cause: BaseException, access: ClusterAccess) -> CertificateUntrusted:
    parts = urlsplit(access.url)
    shown = read_fingerprint(parts.hostname or "", parts.port or 8006)
    compare = (
        f"compare its SHA-256 {shown}\nwith the node's own: "
        "openssl x509 -noout -fingerprint -sha256 -in /etc/pve/local/pve-ssl.pem\n"
        "(or pveproxy-ssl.pem beside it, where there is one)"
    )
    if access.tls.kind is TlsKind.FINGERPRINT:
        return CertificateUntrusted(
            f"{parts.netloc} shows another certificate than the pinned one",
            hint=f"if it was renewed, {compare}; then set it as the fingerprint",
        )
    if getattr(cause, "verify_code", 0) in _NAME_MISMATCHES:
        return CertificateUntrusted(
            f"the certificate of {parts.netloc} is for another name: {getattr(cause, 'verify_message', '')}",
            hint="use a name that is in the certificate, or pin the certificate as the fingerprint",
        )
    why = getattr(cause, "verify_message", "") or "it is not signed by an authority that is trusted"
    return CertificateUntrusted(
        f"the certificate of {parts.netloc} is not trusted: {why}",
        hint=f"set ca_file to the cluster's /etc/pve/pve-root-ca.pem, or {compare}; then set it as the fingerprint",
    )
