"""Run the checks over a view and write down what each of them saw.

Every check is counted exactly once: as findings, as passed, or as not observed. Damage that a check meets is a finding
of its own (``image-damaged``), and the check itself is not observed. So is the time that an image used up
(``image-too-slow``): a hostile image must not turn into a pass by being slow.
"""

import time
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import imagekit
from imagekit.errors import ImageDamaged, VerificationFailed
from imagekit.progress import Event, Progress, silent
from imagekit.report import Finding, NotObserved, Report, Severity, Suppressed
from imagekit.verify.catalogue import require_known, select_checks
from imagekit.verify.check import Check, Policy, Profile, Seen, Subject
from imagekit.verify.directory_view import is_live_root, open_directory_view
from imagekit.verify.disk_view import open_disk_view
from imagekit.verify.evidence import escape
from imagekit.verify.judge import MOST_SEEN, RANK, make_findings, split_allowed
from imagekit.verify.view import CannotSee, View, ViewKind
from imagekit.verify.vm_config import VmConfig
from imagekit.verify.vm_view import open_vm_view

if TYPE_CHECKING:
    from imagekit.definition.model import Allowance

_SECONDS = 60.0
_DEEP_SECONDS = 600.0
_SLOWEST = 20 << 20  # bytes a second: a deep run may be that slow on a large disk
DAMAGED = "image-damaged"
TOO_SLOW = "image-too-slow"


def verify_disk(
    path: Path, policy: Policy | None = None, *, vm_config: VmConfig | None = None, progress: Progress = silent
) -> Report:
    """Check the disk image at ``path`` and return the report; nothing is written, mounted or repaired.

    With ``vm_config``, the VM that the disk is meant for is checked as well, and the two against each other.

    Raises :class:`VerificationFailed` when the file is no disk or holds no operating system or several, and
    :class:`imagekit.errors.DefinitionInvalid` for a policy about checks that there are not. A damaged disk gives a
    report that says so.
    """
    opening = open_disk_view(path, vm_config=vm_config, progress=progress)
    return verify_view(opening, ViewKind.DISK, str(path), policy or Policy(), progress)


def verify_directory(path: Path, policy: Policy | None = None, *, progress: Progress = silent) -> Report:
    """Check the tree under directory ``path``; what only a disk has is not observed. Raises as :func:`verify_disk`.

    The root of a machine that runs is refused except as a clone: its logs and keys are no dirt.
    """
    policy = policy or Policy()
    if policy.profile is not Profile.CLONE and is_live_root(path):
        raise VerificationFailed(
            f"{path} is the root of a machine that runs, and would be judged as {policy.profile.value}",
            hint="verify it with --profile clone, or over SSH; a template is verified when it is shut down",
        )
    return verify_view(open_directory_view(path), ViewKind.DIRECTORY, str(path), policy, progress)


def verify_vm_config(config: VmConfig, policy: Policy | None = None, *, progress: Progress = silent) -> Report:
    """Check a Proxmox VM's configuration by itself; what only its disk shows is not observed."""
    return verify_view(open_vm_view(config), ViewKind.VM_CONFIG, f"vm:{config.name}", policy or Policy(), progress)


def verify_view(
    opening: AbstractContextManager[View], kind: ViewKind, target: str, policy: Policy, progress: Progress
) -> Report:
    """Run the checks of the policy's profile over a view that ``opening`` opens; the report calls it ``target``."""
    require_known(policy)
    checks = select_checks(policy.profile, None)
    started, clock = datetime.now(UTC), time.monotonic()
    recorder = _Recorder(policy)
    try:
        with opening as view:
            checks = select_checks(policy.profile, view)
            recorder.seconds = _budget_seconds(view, policy)
            # From here on: a packed disk was unpacked first, which takes what it takes and shows its progress.
            view.deadline = time.monotonic() + recorder.seconds
            # a quick run is over before anybody has read a line about it
            recorder.run(checks, view, view.deadline, progress if policy.deep else silent)
    except ImageDamaged as damage:  # before any check could run
        recorder.note_damage(Path(target).name, damage)
        recorder.not_observed += [NotObserved(check.id, "the image is damaged") for check in checks]
    return Report(
        target=escape(target),
        view=kind.value,
        profile=policy.profile.value,
        tool_version=imagekit.__version__,
        started=started,
        duration_seconds=round(time.monotonic() - clock, 3),
        findings=tuple(sorted(recorder.findings, key=lambda each: (RANK[each.severity], each.check, each.path))),
        not_observed=tuple(recorder.not_observed),
        passed=tuple(recorder.passed),
        suppressed=tuple(recorder.suppressed),
    )


def _budget_seconds(view: View, policy: Policy) -> float:
    """Return how long a run may take: a deep one reads the whole disk, so that its size counts."""
    if not policy.deep:
        return _SECONDS
    try:
        return _DEEP_SECONDS + view.disk().size / _SLOWEST
    except CannotSee:
        return _DEEP_SECONDS


class _Recorder:
    """Collects what the checks of one run saw."""

    def __init__(self, policy: Policy) -> None:
        self.findings: list[Finding] = []
        self.not_observed: list[NotObserved] = []
        self.passed: list[str] = []
        self.suppressed: list[Suppressed] = []
        self.seconds = _SECONDS
        self._policy = policy
        self._used: set[Allowance] = set()
        self._judged: set[str] = set()
        self._noted: set[str] = set()

    def run(self, checks: tuple[Check, ...], view: View, deadline: float, progress: Progress) -> None:
        """Make the checks; those about the policy come last, since they ask what it let pass."""
        for done, check in enumerate(sorted(checks, key=lambda each: each.subject is Subject.POLICY)):
            progress(Event("verifying", done, len(checks), "checks", check.id))
            policy = self._policy
            if check.subject is Subject.POLICY:
                policy = replace(policy, unused=self._list_unused())
            self._run_check(check, view, policy, deadline)
        progress(Event("verifying", len(checks), len(checks), "checks"))

    def _run_check(self, check: Check, view: View, policy: Policy, deadline: float) -> None:
        seen: list[Seen] = []
        reason = self._judge_time(check, deadline)
        try:
            for each in () if reason else islice(check.find(view, policy), MOST_SEEN):
                seen.append(each)
                if reason := self._judge_time(check, deadline):
                    break
        except CannotSee as blind:
            reason = self._judge_time(check, deadline) or blind.reason
        except ImageDamaged as damage:
            self.note_damage(check.id, damage)
            reason = f"the image is damaged: {damage.message}"
        except VerificationFailed as problem:  # no permission, no reader
            reason = problem.message
        findings, suppressed, used = split_allowed(check, make_findings(check, seen, policy), policy)
        self.findings += findings
        self.suppressed += suppressed
        self._used |= used
        if reason:
            self.not_observed.append(NotObserved(check.id, escape(reason)))
            return
        self._judged.add(check.id)
        if not seen:
            self.passed.append(check.id)

    def _list_unused(self) -> tuple["Allowance", ...]:
        """Return the allowances that let nothing pass although their check was made."""
        return tuple(each for each in self._policy.allow if each.check in self._judged and each not in self._used)

    def _judge_time(self, check: Check, deadline: float) -> str:
        """Return why the check cannot be made any more once the time is over, and note that as a finding."""
        if time.monotonic() <= deadline:
            return ""
        said = f"the time for one image, {self.seconds:.0f} s, was used up"
        why = "what was not looked at has not passed"
        self._note(TOO_SLOW, check.id, said, why, "look at what makes it slow, or verify it in parts")
        return said

    def note_damage(self, where: str, damage: ImageDamaged) -> None:
        """Add a finding for damage, once for each message."""
        why = "bytes that contradict themselves cannot be trusted to boot, nor to be clean"
        self._note(DAMAGED, where, damage.message, why, "build or convert the image again")

    def _note(self, check: str, where: str, found: str, why: str, fix: str) -> None:
        if found not in self._noted:
            self._noted.add(found)
            self.findings.append(Finding(check, Severity.FAIL, escape(where), escape(found), why, fix))
