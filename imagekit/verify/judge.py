"""From what a check saw to findings: grouped, counted, as bad as the policy says, and without what it lets pass."""

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from imagekit.report import Finding, Severity, Suppressed
from imagekit.verify.check import Check, Policy, Seen
from imagekit.verify.evidence import escape

if TYPE_CHECKING:
    from imagekit.definition.model import Allowance

MOST_FINDINGS = 20
MOST_SEEN = 10_000
RANK = {Severity.FAIL: 0, Severity.WARN: 1, Severity.INFO: 2}
_MOST_JOINED = 5


def make_findings(check: Check, seen: list[Seen], policy: Policy) -> list[Finding]:
    """Make findings: one for each path and severity, at most 20, then one that counts the rest."""
    override = next((each.severity for each in policy.severity if each.check == check.id), None)
    grouped: dict[tuple[str, Severity], list[Seen]] = {}
    for each in seen:
        grouped.setdefault((each.path, override or each.severity or check.severity), []).append(each)
    findings = [_make_finding(check, path, severity, group) for (path, severity), group in grouped.items()]
    findings.sort(key=lambda each: RANK[each.severity])
    rest = findings[MOST_FINDINGS:]
    if not rest:
        return findings
    more = f"and {len(rest)} more places{' or above' if len(seen) >= MOST_SEEN else ''}"
    return [*findings[:MOST_FINDINGS], Finding(check.id, rest[0].severity, "…", more, check.why, check.fix)]


def _make_finding(check: Check, path: str, severity: Severity, group: list[Seen]) -> Finding:
    texts = list(dict.fromkeys(escape(each.found) for each in group))
    found = "; ".join(texts[:_MOST_JOINED])
    if len(texts) > _MOST_JOINED:
        found += f"; and {len(texts) - _MOST_JOINED} more"
    fix = next((each.fix for each in group if each.fix), check.fix)
    return Finding(check.id, severity, escape(path), found, check.why, escape(fix))


def split_allowed(
    check: Check, findings: list[Finding], policy: Policy
) -> tuple[list[Finding], list[Suppressed], "set[Allowance]"]:
    """Return what counts, what the policy lets pass, and the allowances that did so.

    An allowance lets pass what its check found at its path or below it, until the end of its last day.
    """
    allowances = [each for each in policy.allow if each.check == check.id]
    counting, suppressed, used = [], [], set()
    for finding in findings:
        allowance = next((each for each in allowances if _covers(each, finding)), None)
        if allowance is not None:
            used.add(allowance)
        if allowance is None or is_expired(allowance, policy):
            counting.append(finding)
        else:
            suppressed.append(Suppressed(finding, allowance.reason, allowance.until, check.never_published))
    return counting, suppressed, used


def is_expired(allowance: "Allowance", policy: Policy) -> bool:
    """Say whether the allowance's last day is over."""
    return allowance.until is not None and allowance.until < policy.today


def _covers(allowance: "Allowance", finding: Finding) -> bool:
    if not allowance.path:
        return True
    below = allowance.path.rstrip("/") + "/*"
    return any(fnmatchcase(finding.path, pattern) for pattern in (allowance.path, below))
