"""The Proxmox cluster as a place: how it is reached and by whom, what it allows, and what a build would need of it."""

from imagekit.cluster.access import ClusterAccess, Tls, TlsKind
from imagekit.cluster.placement import Placement

__all__ = ["ClusterAccess", "Placement", "Tls", "TlsKind"]
