"""Mount namespaces of tests on any machine: in a chroot ``/`` is no mount point and cannot be made private."""

from pathlib import Path

from imagekit.build.namespace import shares_mounts
from imagekit.build.nix.tool import parse_version
from imagekit.host import run


def unshare_mounts() -> list[str]:
    """Return the unshare(1) command whose mounts nobody else sees; where no mount is shared, that needs no asking."""
    return ["unshare", "--mount", "--propagation", "private" if shares_mounts() else "unchanged"]


def nix_leaves_chroot() -> bool:
    """Say whether what Nix starts here sees another ``/``: 2.8 sets its children back into the whole mount namespace.

    Its restoreMountNamespace calls setns(2), which leaves a chroot, where ``/`` is no mount point; newer ones go back
    to the old root after it (nix, src/libutil: fdSavedRoot).
    """
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    in_chroot = all(line.split()[4] != "/" for line in mounts)
    return in_chroot and parse_version(run(["nix", "--version"]).output.decode())[1] < (2, 13)
