"""Verify a running machine over SSH."""

from imagekit.host.ssh_target import SshTarget
from imagekit.progress import Progress, silent
from imagekit.report import Report
from imagekit.verify.check import Policy, Profile
from imagekit.verify.run import verify_view
from imagekit.verify.ssh_view import open_ssh_view
from imagekit.verify.view import ViewKind


def verify_ssh(target: SshTarget, policy: Policy | None = None, *, progress: Progress = silent) -> Report:
    """Check the running machine ``target`` and return the report; nothing is written there.

    Without a policy it is judged as a clone. What only root may see is not observed unless the login is root's or has
    passwordless sudo. Raises :class:`imagekit.errors.HostFailed` when it cannot be asked.
    """
    wanted = policy or Policy(profile=Profile.CLONE)
    return verify_view(open_ssh_view(target, wanted, progress=progress), ViewKind.SSH, str(target), wanted, progress)
