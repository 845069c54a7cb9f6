"""What can go wrong between imagekit and a cluster, as errors that a person understands and a caller can tell apart.

The texts are Proxmox VE's own, as its 8.x and 9.x API servers send them. One quirk decides how they are read: PVE
answers 500 for nearly everything, a VM that does not exist included, so the text tells more than the status.
"""

import re
from collections.abc import Mapping, Sequence

from imagekit.errors import HostFailed

# Between two nodes PVE's proxy answers with the codes of its event library: 595 the other node could not be reached,
# 596 the talk with it broke off (agent answers with non-ASCII text end so, too), 597 to 599 the rest.
BETWEEN_NODES = range(595, 600)
_DENIED = re.compile(r"Permission check failed \((?P<path>/[^,()]*), (?P<privileges>[A-Za-z.|]+)\)")
_LOCKED = re.compile(r"VM is locked \((?P<lock>[a-z-]+)\)|can't lock file '[^']*/lock-(?P<vm_id>\d+)\.conf'")
_MISSING = re.compile(
    r"does not exist|unable to find configuration file for|no such cluster node|no such task|No such storage"
    r"|hostname lookup '[^']*' failed|address lookup for '[^']*' did not find"
)
_VM_ID = re.compile(r"/qemu/(\d+)(?:/|$)")


class ClusterFailed(HostFailed):
    """The API did not do what was asked: ``status`` is HTTP's, ``said`` Proxmox VE's own text."""

    def __init__(self, message: str, *, status: int = 0, said: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.said = said


class Unreachable(ClusterFailed):
    """Nobody answered, or not in time, or one node did not reach another: a moment later it may go well."""


class CertificateUntrusted(ClusterFailed):
    """The API's certificate is not one that the settings trust; nothing secret was sent."""


class TokenRefused(ClusterFailed):
    """The API does not know the token (401)."""


class NoPermission(ClusterFailed):
    """The token lacks a right: any one of ``privileges`` on ``path`` would do; both are empty when PVE names none."""

    def __init__(self, message: str, *, path: str, privileges: Sequence[str], said: str, hint: str) -> None:
        super().__init__(message, status=403, said=said, hint=hint)
        self.path = path
        self.privileges = tuple(privileges)


class Missing(ClusterFailed):
    """What the request is about (a VM, a storage, a node, a task) is not there."""


class Locked(ClusterFailed):
    """The VM is locked by something; ``lock`` names it (``clone``, ``backup``), empty for a file lock held just now."""

    def __init__(self, message: str, *, lock: str, status: int, said: str, hint: str) -> None:
        super().__init__(message, status=status, said=said, hint=hint)
        self.lock = lock


def explain_answer(
    request: str, status: int, said: str, parameters: Mapping[str, str], *, token_id: str
) -> ClusterFailed:
    """Return the error of an answer of 300 and above to ``request`` (``GET /version``).

    ``said`` is PVE's message, ``parameters`` what it objects to in each parameter.
    """
    said = " ".join(said.split())
    detail = "; ".join(f"{name}: {' '.join(text.split())}" for name, text in sorted(parameters.items()))
    text = f"{said.rstrip('.')}: {detail}" if detail else said
    if status == 401:
        return TokenRefused(
            f"the cluster does not accept the API token {token_id}" + (f" ({text})" if text else ""), status=status,
            said=text, hint="the token may be deleted, expired, or its secret not the one that was shown when it was "
            f"made: pveum user token list {token_id.partition('!')[0]}",
        )  # fmt: skip
    if status in BETWEEN_NODES:
        return Unreachable(
            f"the node that was asked could not get an answer to {request} from the node it is about ({status} {text})",
            status=status, said=text, hint="see that the node's name is right, that it is up, and that its pveproxy "
            "runs: systemctl status pveproxy",
        )  # fmt: skip
    if locked := _LOCKED.search(text):
        return _explain_lock(request, status, text, locked)
    if _MISSING.search(text) and not text.startswith("Agent error"):
        return Missing(f"the cluster does not have what {request} is about: {text}", status=status, said=text)
    if status == 403:
        return _explain_denial(request, text, token_id)
    if status < 400:
        return ClusterFailed(
            f"{request} was answered with a redirection ({status}), which Proxmox VE's API never does", status=status,
            said=text, hint="the url has to be the API's own: https://HOST:8006",
        )  # fmt: skip
    return ClusterFailed(f"the cluster refused {request}: {text or f'status {status}'}", status=status, said=text)


def explain_task(said: str, vm_id: str) -> str | None:
    """Return what to do about a task that ended with ``said``, if that is known."""
    if locked := _LOCKED.search(said):
        return _advise_lock(locked["lock"] or "", locked["vm_id"] or vm_id)
    if denied := _DENIED.search(said):
        return f"the token needs {' or '.join(denied['privileges'].split('|'))} on {denied['path']}"
    if said == "unexpected status":
        return "the task's process was killed; see the node's journal"
    if "No space left" in said or "out of space" in said:
        return "the storage is full"
    if "still in use by linked clone" in said:
        return "clones hang on this template's disks; remove or fully clone them first"
    return None


def _explain_denial(request: str, text: str, token_id: str) -> NoPermission:
    match = _DENIED.search(text)
    if match is None:
        return NoPermission(
            f"the token {token_id} may not do {request}: {text}", path="", privileges=(), said=text,
            hint="Proxmox VE does not name the privilege: imagekit doctor --cluster compares all that are needed",
        )  # fmt: skip
    privileges = match["privileges"].split("|")
    needed = " or ".join(privileges)
    return NoPermission(
        f"the token {token_id} may not do {request}: it needs {needed} on {match['path']}", path=match["path"],
        privileges=privileges, said=text, hint="imagekit doctor --cluster says how to grant what is missing",
    )  # fmt: skip


def _explain_lock(request: str, status: int, text: str, locked: re.Match[str]) -> Locked:
    lock = locked["lock"] or ""
    found = _VM_ID.search(request)
    vm_id = locked["vm_id"] or (found[1] if found else "ID")
    return Locked(f"{request} has to wait: {text}", lock=lock, status=status, said=text, hint=_advise_lock(lock, vm_id))


def _advise_lock(lock: str, vm_id: str) -> str:
    if not lock:  # a file lock: held for as long as a process works on the VM, and gone with it
        return f"something works on VM {vm_id} right now; try again when its task has ended"
    return (
        f"if no task works on VM {vm_id} any more, run on its node: qm unlock {vm_id}\n(no API token may remove a lock)"
    )
