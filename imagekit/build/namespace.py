"""Run a build step where it is root over its own tree: in namespaces of its own, with or without real privileges.

An ordinary user becomes root of a user namespace through the ranges in ``/etc/subuid`` (newuidmap(1)); root needs no
user namespace. In both, a mount and a PID namespace make sure that a step that is killed leaves no mount and no
process: ``unshare --kill-child`` ends PID 1 of the namespace, the kernel the rest (unshare(1), pid_namespaces(7)).
"""

import functools
import os
import pwd
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from imagekit.errors import HostFailed, ToolFailed
from imagekit.host import find_tool, run
from imagekit.host.local import Completed

# unshare itself ignores SIGTERM while its child runs, so the parent-death signal has to be one that it cannot ignore.
_ISOLATED = ("--mount", "--pid", "--fork", "--kill-child")
_GUARD = ("setpriv", "--pdeathsig", "KILL", "--")
# Files get the modes that their makers mean, whatever the operator's umask.
_PLAIN_UMASK = ("sh", "-c", 'umask 022; exec "$@"', "sh")
_RANGES = (Path("/etc/subuid"), Path("/etc/subgid"))
_ROOT_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin")


@functools.cache
def namespace_command() -> tuple[str, ...]:
    """Return the command prefix that makes a step root over its tree.

    Raises :class:`HostFailed` saying what is missing when this user may not use user namespaces and is not root.
    """
    if os.geteuid() == 0:
        # A container may forbid namespaces even to root; the steps then run plainly, as root.
        candidates: list[tuple[str, ...]] = [(*_GUARD, "unshare", *_ISOLATED)]
        if not shares_mounts():
            # In a chroot unshare cannot make / private; where no mount is shared, that is not needed either.
            candidates.append((*_GUARD, "unshare", "--propagation", "unchanged", *_ISOLATED))
        return next((command for command in candidates if not _why_unusable(command)), ())
    ordinary = (*_GUARD, "unshare", "--user", "--map-root-user", "--map-auto", *_ISOLATED)
    if why := _why_unusable(ordinary):
        raise _explain_refusal(why)
    return ordinary


def run_isolated(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Completed:
    """Run a step as root of its own namespaces, with root's PATH and HOME and the umask 022.

    Nothing of the operator's session reaches the step, since it could reach the image. Raises :class:`ToolFailed`
    naming the step's program, and :class:`HostFailed` when this user may make no namespaces.
    """
    path = os.pathsep.join(dict.fromkeys([*os.environ.get("PATH", os.defpath).split(os.pathsep), *_ROOT_PATH]))
    surroundings = {"HOME": "/root", "USER": "root", "LOGNAME": "root", "TERM": "dumb", "PATH": path}
    program = Path(argv[0]).name
    find_tool(argv[0])
    command = [*namespace_command(), *_PLAIN_UMASK, *argv]
    try:
        return run(command, environment=surroundings | dict(environment or {}), on_line=on_line)
    except ToolFailed as problem:
        message = problem.message.replace(Path(command[0]).name, program, 1)
        raise ToolFailed(message, detail=problem.detail, hint=problem.hint) from problem


def shares_mounts(mountinfo: Path = Path("/proc/self/mountinfo")) -> bool:
    """Say whether a mount made here would appear elsewhere (the optional fields of proc_pid_mountinfo(5))."""
    try:
        return any("shared:" in line.partition(" - ")[0] for line in mountinfo.read_text().splitlines())
    except OSError:
        return True


def _why_unusable(prefix: Sequence[str]) -> str:
    """Return why no step can run under ``prefix`` here; empty when one can."""
    try:
        said = run([*prefix, "true"], check=False, timeout=20)
    except ToolFailed as problem:
        return problem.message
    return "" if said.status == 0 else said.errors.strip() or f"status {said.status}"


def _explain_refusal(why: str) -> HostFailed:
    """Return the error for an ordinary user, with what is missing: the program, the ranges or the permission."""
    name = _user_name()
    sudo = "or run imagekit with sudo"
    if not find_tool("newuidmap", required=False):
        hint = f"sudo apt install uidmap, {sudo}"
    elif not all(_has_range(path, name) for path in _RANGES):
        hint = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}, {sudo}"
    else:
        hint = (
            "the kernel forbids it; look at the sysctls kernel.unprivileged_userns_clone, user.max_user_namespaces and "
            f"kernel.apparmor_restrict_unprivileged_userns, {sudo}"
        )
    first = why.splitlines()[0]
    return HostFailed(f"user {name} may not make user namespaces, and is not root: {first}", hint=hint)


def _user_name() -> str:
    """Return this user's name, or number where no database has one (in a container)."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _has_range(path: Path, name: str) -> bool:
    """Say whether subuid(5) or subgid(5) gives ``name``, by name or number, a range of identities."""
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.split(":", 1)[0] in (name, str(os.geteuid())) for line in lines)
