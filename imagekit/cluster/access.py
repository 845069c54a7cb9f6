"""Where a cluster's API is, who asks, and how its certificate is judged."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from imagekit.host.secret import Secret


class TlsKind(StrEnum):
    """How a certificate is judged: by this system's authorities, by a file of them, by its fingerprint, or not."""

    SYSTEM = "system"
    CA_FILE = "ca-file"
    FINGERPRINT = "fingerprint"
    INSECURE = "insecure"


@dataclass(frozen=True, slots=True)
class Tls:
    """One way to judge a certificate; ``fingerprint`` is the SHA-256 of it as 64 lower-case hexadecimal digits."""

    kind: TlsKind = TlsKind.SYSTEM
    ca_file: Path | None = None
    fingerprint: str = ""


@dataclass(frozen=True, slots=True)
class ClusterAccess:
    """A cluster's API: ``url`` is ``https://HOST:PORT`` without a path, ``token_id`` ``USER@REALM!NAME`` in full."""

    url: str
    token_id: str
    secret: Secret
    tls: Tls = Tls()
