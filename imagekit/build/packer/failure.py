"""Why a build with Packer failed, as one sentence with a hint: from what Packer, the guest and the cluster said."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.space import free_bytes
from imagekit.errors import HostFailed, ImagekitError, ToolFailed
from imagekit.machine.serial import find_fault, find_stage, last_lines, read_tail

_SERIAL_LINES = 12
_NEXT_TO_NOTHING = 8 << 20
_FULL = re.compile(r"No space left on device|no space left on device|Disk quota exceeded|not enough space for volume")

_NO_ANSWER = (
    r"(?:dial tcp|lookup|connect)[^\n]{0,120}(?:connection refused|no route to host|network is unreachable|i/o timeout"
    r"|no such host|server misbehaving)|Client\.Timeout exceeded|context deadline exceeded"
)

# What Packer's error says of the cluster → what happened, and what to do. The words are those of Proxmox VE's API
# (pve-access-control, qemu-server, pve-storage), of proxmox-api-go, and of Go's net/http.
_CLUSTER: tuple[tuple[str, str, str], ...] = (
    (r"403 Permission check failed \(([^)]{1,200})\)|403 .{0,200}", "the cluster refused what the token may not do{}",
     "give the token this privilege on this path; `imagekit doctor --cluster` lists all that a build needs"),
    (r"401 .{0,120}|authentication failure|no such token", "the cluster does not accept the API token",
     "check the token's id (user@realm!name), its secret and its expiry; `imagekit doctor --cluster` asks again"),
    (r"VM (\d{1,10}) already exists|config file already exists", "the VMID is taken{}",
     "nothing was overwritten; choose other build_ids in [cluster], or remove what an earlier build left"),
    (r"x509: [^\n]{1,200}|tls: [^\n]{1,120}", "the cluster's certificate was not accepted ({0})",
     "name its CA file or fingerprint in [cluster]"),
    (_NO_ANSWER,
     "the cluster did not answer ({0})", "check the url in [cluster] and that port 8006 can be reached from here"),
    (r"storage '([^'\n]{1,100})' (?:does not exist|is not available|is disabled)[^\n]{0,80}",
     "the storage cannot be used{}", "`imagekit doctor --cluster` shows each storage with its content types"),
    (r"no such node|hostname lookup '[^'\n]{1,100}' failed", "the node is not there ({0})",
     "set node in [cluster] to a node's name as the web interface shows it"),
    (r"(?:[Ww]ait timeout for:|timeout waiting for task|got timeout)[^\n]{0,200}",
     "a task on the cluster did not end in time ({0})", "raise task_timeout in the template; its default is a minute"),
    (r"can't lock file '[^'\n]{1,200}'[^\n]{0,80}|VM is locked[^\n]{0,80}", "the VM is locked by another task ({0})",
     "wait for that task, or look at it in the web interface"),
    (r"TASK ERROR: [^\n]{1,200}|job failed[^\n]{0,200}|exit status \"?[^\n\"]{1,200}",
     "a task on the cluster failed ({0})", "read the task's log in the web interface"),
    (r"\b(?:595|596|597|500|501|502|503|504) [^\n]{1,200}", "the cluster answered with an error ({0})",
     "read the task's log in the web interface"),
    (r"Error (?:creating|cloning|converting|updating|starting) (?:VM|template)[^\n(]{0,300}",
     "the cluster refused a step of the build ({0})",
     "`imagekit doctor --cluster` looks at what a build needs; the task's log is in the web interface"),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), what, hint) for pattern, what, hint in _CLUSTER)
# How an SSH attempt in Packer's log ended → what that means, the one that got farthest first.
_SIGNS = (
    ("unable to authenticate", "sshd refused the build's key: cloud-init has not made its user, or read no seed"),
    ("connection refused", "the guest has a network and no sshd: it is not installed, or not started yet"),
    ("connection reset|EOF", "nothing in the guest answered on port 22 yet"),
    ("no route to host|i/o timeout", "the guest's address does not answer: its network is not up, or filtered"),
)
_BY_HAND = re.compile(r"Error (?:stopping|deleting|destroying) VM\. Please .{0,40}manually[^\n]{0,200}")


@dataclass(frozen=True, slots=True)
class Failure:
    """What is known of a failed build, all of it masked and fit to be shown.

    ``errors`` are Packer's reasons, one for each build; ``said`` the lines to show; ``handshakes``
    the ends of the SSH attempts in Packer's log; ``status`` the exit status, negative for a signal. ``kept`` says that
    the machine is there to be looked at.
    """

    status: int
    step: str
    errors: tuple[str, ...]
    said: tuple[str, ...]
    handshakes: tuple[str, ...]
    serial_log: Path | None
    workspace: Path
    log: Path
    kept: bool = False


def explain_failure(failure: Failure) -> ImagekitError:
    """Return the error to raise: :class:`HostFailed` for this machine's disk and the cluster, else ToolFailed."""
    text = "\n".join(failure.errors)
    log = f"the whole log, without secrets: {failure.log}"
    if free_bytes(failure.workspace) < _NEXT_TO_NOTHING or _FULL.search(text):
        free = free_bytes(failure.workspace) >> 20
        return HostFailed(
            f"there was no space left for the build in {failure.workspace} ({free} MiB free now)",
            hint=f"free some space, or set IMAGEKIT_CACHE to a directory on a larger disk; {log}",
        )
    if "Timeout waiting for SSH" in text:
        return _explain_silence(failure, log)
    if (cluster := _explain_cluster(text, log)) is not None:
        return _add_leftover(cluster, failure)
    detail = "\n".join(failure.said)
    return _add_leftover(
        ToolFailed(_name_cause(failure, text), detail=detail, hint=_advise(failure, text, log)), failure
    )


def explain_nothing(failure: Failure) -> ImagekitError:
    """Return the error for status 0 without an artifact: Packer's wrapper reports a child that was killed as success.

    (mitchellh/panicwrap returns the status -1 of a signal as 0.)
    """
    return ToolFailed(
        "Packer ended as if all were well and made nothing; one of its processes was probably killed",
        detail="\n".join(failure.said),
        hint=f"was there enough memory? `journalctl -k` names what the kernel killed; the whole log: {failure.log}",
    )


def _name_cause(failure: Failure, text: str) -> str:
    first = failure.errors[0].strip().splitlines()[0][:300] if failure.errors and failure.errors[0].strip() else ""
    if failure.status < 0:
        return f"Packer was killed by signal {-failure.status} while {failure.step}"
    if "Script exited with non-zero exit status" in text or "Error executing Ansible" in text:
        return f"provisioning failed while {failure.step}: {first}"
    return f"Packer failed while {failure.step}{f': {first}' if first else ''}"


def _advise(failure: Failure, text: str, log: str) -> str:
    if any(_FULL.search(line) for line in failure.said):
        return f"the disk of the machine itself was full: set a larger disk for the image; {log}"
    if "Qemu failed to start" in text:
        return f"QEMU's own words are in the log after `Qemu stderr`; {log}"
    if "checksum" in text.lower():
        return f"what was downloaded is not what the digest says: check url and sha256 of the medium; {log}"
    if "plugin exited" in text or "unexpected EOF" in text or "connection is shut down" in text:
        return f"a plugin of Packer died: `imagekit doctor` shows their versions; {log}"
    return log if failure.kept else f"run again with --keep to look into the machine; {log}"


def _explain_cluster(text: str, log: str) -> HostFailed | None:
    for pattern, what, hint in _COMPILED:
        if match := pattern.search(text):
            named = next((group for group in match.groups() if group), "")
            told = what.format(match[0]) if "{0}" in what else what.format(f": {named}" if named else "")
            return HostFailed(told, hint=f"{hint}; {log}")
    return None


def _explain_silence(failure: Failure, log: str) -> ToolFailed:
    """Explain why SSH never came up, from the guest's console and from how the attempts ended."""
    console = read_tail(failure.serial_log) if failure.serial_log else ""
    fault = find_fault(console) if console else None
    reasons = [*([fault.cause] if fault else []), *_read_handshakes(failure.handshakes)]
    if not reasons and console:
        reasons.append(f"the guest came as far as: {find_stage(console)}; it may only need more time (ssh_timeout)")
    if failure.serial_log and not console:
        reasons.append("the guest wrote nothing to its serial console: firmware, boot order or console= are likely")
    return ToolFailed(
        "SSH never came up in the machine that Packer started" + (f": {reasons[0]}" if reasons else ""),
        detail=last_lines(console, _SERIAL_LINES),
        hint="\n".join([*(f"perhaps: {reason}" for reason in reasons[1:]), log]),
    )


def _read_handshakes(handshakes: Iterable[str]) -> list[str]:
    """Return what the SSH attempts in Packer's log mean, the strongest first."""
    text = "\n".join(handshakes)
    return [reason for sign, reason in _SIGNS if re.search(sign, text)]


def _add_leftover(problem: ImagekitError, failure: Failure) -> ImagekitError:
    """Add that Packer could not remove the VM, when it said so."""
    left = next((match[0] for line in failure.said if (match := _BY_HAND.search(line))), "")
    if left:
        problem.hint = f"a VM is still on the cluster ({left}): imagekit leftovers --remove\n{problem.hint}"
    return problem
