"""Run the checks over a view and write down what each of them saw.

Every check is counted exactly once: as findings, as passed, or as not observed. Damage that a check meets is a finding
of its own (``image-damaged``), and the check itself is not observed.
"""

import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import imagekit
from imagekit.errors import DefinitionInvalid, ImageDamaged, VerificationFailed
from imagekit.progress import Event, Progress, silent
from imagekit.report import Finding, NotObserved, Report, Severity
from imagekit.verify.check import Check, Policy, Profile, Seen, Subject
from imagekit.verify.checks import CHECKS
from imagekit.verify.directory_view import open_directory_view
from imagekit.verify.disk_view import open_disk_view
from imagekit.verify.evidence import escape
from imagekit.verify.view import CannotSee, View, ViewKind

MOST_FINDINGS = 20
_MOST_SEEN = 10_000
_MOST_JOINED = 5
_SECONDS = 60.0
_RANK = {Severity.FAIL: 0, Severity.WARN: 1, Severity.INFO: 2}
DAMAGED = "image-damaged"


def verify_disk(path: Path, policy: Policy | None = None, *, progress: Progress = silent) -> Report:
    """Check the disk image at ``path`` and return the report; nothing is written, mounted or repaired.

    Raises :class:`VerificationFailed` when the file is no disk or holds no operating system or several. A damaged disk
    gives a report that says so.
    """
    return verify_view(open_disk_view(path), ViewKind.DISK, str(path), policy or Policy(), progress)


def verify_directory(path: Path, policy: Policy | None = None, *, progress: Progress = silent) -> Report:
    """Check the tree under directory ``path``; what only a disk has is not observed. Raises as :func:`verify_disk`."""
    return verify_view(open_directory_view(path), ViewKind.DIRECTORY, str(path), policy or Policy(), progress)


def list_checks(profile: str | None = None) -> tuple[Check, ...]:
    """Return every check, or those of one profile; raises :class:`DefinitionInvalid` for an unknown profile."""
    if profile is None:
        return CHECKS
    wanted = parse_profile(profile)
    return tuple(check for check in CHECKS if wanted in check.profiles)


def parse_profile(text: str) -> Profile:
    """Return the profile called ``text``; raises :class:`DefinitionInvalid` with the names that exist."""
    try:
        return Profile(text)
    except ValueError:
        names = ", ".join(profile.value for profile in Profile)
        raise DefinitionInvalid(f"there is no profile {escape(text)!r}", hint=f"one of: {names}") from None


def find_check(check_id: str) -> Check:
    """Return the check with this id; raises :class:`DefinitionInvalid` with the nearest id."""
    from difflib import get_close_matches

    for check in CHECKS:
        if check.id == check_id:
            return check
    near = get_close_matches(check_id, [check.id for check in CHECKS], 1)
    hint = f"did you mean {near[0]}?" if near else "imagekit verify --list-checks shows all ids"
    raise DefinitionInvalid(f"there is no check {escape(check_id)!r}", hint=hint)


def explain(check_id: str) -> str:
    """Return what a check looks for, why, and how to mend it; raises :class:`DefinitionInvalid` for an unknown id."""
    check = find_check(check_id)
    profiles = ", ".join(profile.value for profile in check.profiles)
    return "\n".join(
        (
            f"{check.id} ({check.severity.value}, {check.subject.value}; profiles: {profiles})",
            f"looks: {' '.join((check.find.__doc__ or '').split())}",
            f"why:   {check.why}",
            f"fix:   {check.fix}",
        )
    )


def verify_view(
    opening: AbstractContextManager[View], kind: ViewKind, target: str, policy: Policy, progress: Progress
) -> Report:
    """Run the checks of the policy's profile over a view that ``opening`` opens; the report calls it ``target``."""
    checks = select_checks(policy.profile, kind)
    started, clock = datetime.now(UTC), time.monotonic()
    recorder = _Recorder()
    try:
        with opening as view:
            checks = select_checks(policy.profile, kind, with_vm_config=view.has_vm_config)
            view.deadline = clock + _SECONDS
            recorder.run(checks, view, policy, view.deadline, progress)
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
        findings=tuple(sorted(recorder.findings, key=lambda each: (_RANK[each.severity], each.check, each.path))),
        not_observed=tuple(recorder.not_observed),
        passed=tuple(recorder.passed),
    )


def select_checks(profile: Profile, kind: ViewKind, *, with_vm_config: bool = False) -> tuple[Check, ...]:
    """Return the checks of a profile that are about this kind of target.

    Those of a VM's configuration are about the VM and not about its disk: they are made when one was given, and are
    the only ones when nothing else was.
    """
    about_vm = tuple(check for check in CHECKS if check.subject is Subject.VM_CONFIG and profile in check.profiles)
    if kind is ViewKind.VM_CONFIG:
        return about_vm
    others = tuple(check for check in CHECKS if check.subject is not Subject.VM_CONFIG and profile in check.profiles)
    return (*others, *about_vm) if with_vm_config else others


class _Recorder:
    """Collects what the checks of one run saw."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.not_observed: list[NotObserved] = []
        self.passed: list[str] = []
        self._damages: set[str] = set()

    def run(self, checks: tuple[Check, ...], view: View, policy: Policy, deadline: float, progress: Progress) -> None:
        for done, check in enumerate(checks):
            progress(Event("verifying", done, len(checks), "checks", check.id))
            if time.monotonic() > deadline:
                self.not_observed.append(NotObserved(check.id, f"the budget of {_SECONDS:g} s was used up"))
            else:
                self._run_check(check, view, policy, deadline)
        progress(Event("verifying", len(checks), len(checks), "checks"))

    def _run_check(self, check: Check, view: View, policy: Policy, deadline: float) -> None:
        seen: list[Seen] = []
        reason = ""
        try:
            for each in islice(check.find(view, policy), _MOST_SEEN):
                seen.append(each)
                if time.monotonic() > deadline:
                    reason = f"the budget of {_SECONDS:g} s was used up"
                    break
        except CannotSee as blind:
            reason = blind.reason
        except ImageDamaged as damage:
            self.note_damage(check.id, damage)
            reason = f"the image is damaged: {damage.message}"
        except VerificationFailed as problem:  # no permission, no reader
            reason = problem.message
        self.findings += _judge(check, seen)
        if reason:
            self.not_observed.append(NotObserved(check.id, escape(reason)))
        elif not seen:
            self.passed.append(check.id)

    def note_damage(self, where: str, damage: ImageDamaged) -> None:
        """Add a finding for damage, once for each message."""
        if damage.message in self._damages:
            return
        self._damages.add(damage.message)
        self.findings.append(
            Finding(
                check=DAMAGED,
                severity=Severity.FAIL,
                path=escape(where),
                found=escape(damage.message),
                why="bytes that contradict themselves cannot be trusted to boot, nor to be clean",
                fix="build or convert the image again",
            )
        )


def _judge(check: Check, seen: list[Seen]) -> list[Finding]:
    """Make findings: one for each path and severity, at most 20, then one that counts the rest."""
    grouped: dict[tuple[str, Severity], list[Seen]] = {}
    for each in seen:
        grouped.setdefault((each.path, each.severity or check.severity), []).append(each)
    findings = [_make_finding(check, path, severity, group) for (path, severity), group in grouped.items()]
    findings.sort(key=lambda each: _RANK[each.severity])
    rest = findings[MOST_FINDINGS:]
    if not rest:
        return findings
    more = f"and {len(rest)} more places{' or above' if len(seen) >= _MOST_SEEN else ''}"
    return [*findings[:MOST_FINDINGS], Finding(check.id, rest[0].severity, "…", more, check.why, check.fix)]


def _make_finding(check: Check, path: str, severity: Severity, group: list[Seen]) -> Finding:
    texts = list(dict.fromkeys(escape(each.found) for each in group))
    found = "; ".join(texts[:_MOST_JOINED])
    if len(texts) > _MOST_JOINED:
        found += f"; and {len(texts) - _MOST_JOINED} more"
    fix = next((each.fix for each in group if each.fix), check.fix)
    return Finding(check.id, severity, escape(path), found, check.why, escape(fix))
