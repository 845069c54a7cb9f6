"""A stored version as JSON-ready values, for commands that print one document."""

from imagekit.store.encoding import make_plain
from imagekit.store.manifest import Version


def describe_version(version: Version) -> dict[str, object]:
    """Return everything known about a version; sizes in bytes, times in ISO 8601."""
    return {
        **summarize_version(version),
        "created_by": version.created_by,
        "declared_channels": list(version.channels),
        "provenance": make_plain(version.provenance),
        "report": make_plain(version.report),
    }


def summarize_version(version: Version) -> dict[str, object]:
    """Return what a line of a table needs, without packages, provenance and report.

    ``digest`` is null for a version whose bytes are on a cluster, and ``place`` for one whose bytes are in the store.
    """
    return {
        "reference": str(version.reference),
        "name": version.name,
        "version": str(version.id),
        "digest": None if version.digest is None else str(version.digest),
        "place": describe_place(version),
        "replaced_by": None if version.replaced_by is None else str(version.replaced_by),
        "size_bytes": version.size_bytes,
        "stored_bytes": version.stored_bytes,
        "created": version.created.isoformat(),
        "architecture": str(version.architecture),
        "firmware": str(version.firmware),
        "package_count": len(version.packages),
        "builder": version.provenance.builder,
    }


def describe_place(version: Version) -> dict[str, object] | None:
    """Return where on a cluster a version's template is; None when its bytes are in the store."""
    place = version.place
    if place is None:
        return None
    return {"cluster": place.cluster, "node": place.node, "vm_id": place.vm_id, "mark": place.mark}
