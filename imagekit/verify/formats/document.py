"""A report as one JSON document of plain values, and the counts that every form ends with."""

from collections import Counter

from imagekit.report import SCHEMA_VERSION, Finding, Report, Severity
from imagekit.verify.evidence import escape, escape_all


def count_report(report: Report) -> dict[str, int]:
    """Return how many findings there are of each severity, and how many checks passed, saw nothing or were let pass."""
    severities = Counter(finding.severity.value for finding in report.findings)
    return {
        **{severity.value: severities[severity.value] for severity in Severity},
        "pass": len(report.passed),
        "not_observed": len(report.not_observed),
        "suppressed": len(report.suppressed),
    }


def list_ids(report: Report) -> set[str]:
    """Return the id of every check that was made or could not be."""
    ids = {finding.check for finding in report.findings} | {blind.check for blind in report.not_observed}
    return ids | set(report.passed) | {each.finding.check for each in report.suppressed}


def render_json(report: Report) -> dict[str, object]:
    """Return the report as one document of plain values; ``checks`` says which rules were looked for."""
    return {
        "schema_version": SCHEMA_VERSION,
        "target": report.target,
        "view": report.view,
        "profile": report.profile,
        "tool_version": report.tool_version,
        "started": report.started.isoformat(),
        "duration_seconds": report.duration_seconds,
        "failed": report.failed,
        "fit_to_publish": report.fit_to_publish,
        "counts": count_report(report),
        "findings": [_describe(finding) for finding in report.findings],
        "suppressed": [
            {
                **_describe(each.finding),
                "reason": escape(each.reason),
                "until": each.until and each.until.isoformat(),
                "local_only": each.local_only,
            }
            for each in report.suppressed
        ],
        "not_observed": [{"check": blind.check, "reason": escape(blind.reason)} for blind in report.not_observed],
        "passed": list(report.passed),
        "checks": dict.fromkeys(sorted(list_ids(report)), 1),
        "boot": escape_all(report.boot),
    }


def _describe(finding: Finding) -> dict[str, object]:
    return {
        "check": finding.check,
        "severity": finding.severity.value,
        "path": escape(finding.path),
        "found": escape(finding.found),
        "why": finding.why,
        "fix": write_fix(finding),
    }


def write_fix(finding: Finding) -> str:
    """Return the finding's fix with its path in place of ``$path``, quoted for a shell."""
    import shlex

    return escape(finding.fix.replace('"$path"', shlex.quote(escape(finding.path))))
