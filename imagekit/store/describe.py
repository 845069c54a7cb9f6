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
    """Return what a line of a table needs, without packages, provenance and report."""
    return {
        "reference": str(version.reference),
        "name": version.name,
        "version": str(version.id),
        "digest": str(version.digest),
        "size_bytes": version.size_bytes,
        "stored_bytes": version.stored_bytes,
        "created": version.created.isoformat(),
        "architecture": str(version.architecture),
        "firmware": str(version.firmware),
        "package_count": len(version.packages),
        "builder": version.provenance.builder,
    }
