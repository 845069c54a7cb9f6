"""Verify a running machine over SSH."""

from imagekit.host.ssh_target import SshTarget
from imagekit.progress import Progress, silent
from imagekit.report import Report
from imagekit.verify.check import Policy, Profile
from imagekit.verify.run import verify_view
from imagekit.verify.view import ViewKind


def verify_ssh(
    target: SshTarget,
    policy: Policy | None = None,
    *,
    against: SshTarget | None = None,
    progress: Progress = silent,
) -> Report:
    """Check the running machine ``target`` and return the report; nothing is written there.

    Without a policy it is judged as a clone; ``against`` is a machine that it must not be a twin of. What only root
    may see is not observed unless the login is root's or has passwordless sudo. Raises
    :class:`imagekit.errors.HostFailed` when one of them cannot be asked.
    """
    from imagekit.verify.ssh.view import open_ssh_view  # here: who verifies a disk need not load it

    wanted = policy or Policy(profile=Profile.CLONE)
    opening = open_ssh_view(target, wanted, against=against, progress=progress)
    return verify_view(opening, ViewKind.SSH, str(target), wanted, progress)
