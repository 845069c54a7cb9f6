"""Run a build step where it is root over its own tree: in namespaces of its own, with or without real privileges.

An ordinary user becomes root of a user namespace through the ranges in ``/etc/subuid`` (newuidmap(1)); root needs no
user namespace. In both, a mount and a PID namespace make sure that a step that is killed leaves no mount and no
process: ``unshare --kill-child`` ends PID 1 of the namespace, the kernel the rest (unshare(1), pid_namespaces(7)).
"""

import functools
import os
from pathlib import Path

from imagekit.errors import HostFailed, ToolFailed
from imagekit.host import run

_ISOLATED = ("--mount", "--pid", "--fork", "--kill-child")


@functools.cache
def namespace_command() -> tuple[str, ...]:
    """Return the command prefix that makes a step root over its tree.

    Raises :class:`HostFailed` when this user may neither use user namespaces nor is root.
    """
    if os.geteuid() == 0:
        # A container may forbid mount namespaces even to root; the steps then run plainly, as root.
        return _usable(("unshare", *_ISOLATED)) or ()
    if found := _usable(("unshare", "--user", "--map-root-user", "--map-auto", *_ISOLATED)):
        return found
    name = Path(os.environ.get("USER", "USER")).name
    raise HostFailed(
        "this user may not make user namespaces, and is not root",
        hint=f"sudo apt install uidmap && sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}, "
        "or run imagekit with sudo",
    )


def _usable(prefix: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return ``prefix`` when a step can run under it here."""
    try:
        return prefix if run([*prefix, "true"], check=False, timeout=20).status == 0 else None
    except ToolFailed:
        return None
