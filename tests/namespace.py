"""A mount namespace of a test's own, on any machine: in a chroot ``/`` is no mount point and cannot be made private."""

from imagekit.build.namespace import shares_mounts


def unshare_mounts() -> list[str]:
    """Return the unshare(1) command whose mounts nobody else sees; where no mount is shared, that needs no asking."""
    return ["unshare", "--mount", "--propagation", "private" if shares_mounts() else "unchanged"]
