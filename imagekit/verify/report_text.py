"""A report as text for people, JSON for programs, JUnit for CI. Pure: nothing here prints.

Texts in a :class:`imagekit.report.Finding` were escaped when it was made; whatever a stored report brings is escaped
here once more, because this is the last place before the terminal.
"""

import textwrap
from collections import Counter

from imagekit.report import SCHEMA_VERSION, Finding, Report, Severity
from imagekit.verify.checks import CHECKS
from imagekit.verify.evidence import escape

_RANK = {Severity.FAIL: 0, Severity.WARN: 1, Severity.INFO: 2}
_WIDTH = 120


def count(report: Report) -> dict[str, int]:
    """Return how many findings there are of each severity, and how many checks passed or saw nothing."""
    severities = Counter(finding.severity.value for finding in report.findings)
    return {
        **{severity.value: severities[severity.value] for severity in Severity},
        "pass": len(report.passed),
        "not_observed": len(report.not_observed),
    }


def render_text(report: Report) -> str:
    """Return the report as a table, worst first, with one line of fix under each finding; the last line counts."""
    lines: list[str] = []
    findings = sorted(report.findings, key=lambda finding: _RANK[finding.severity])
    width = max((len(finding.check) for finding in findings), default=0)
    for finding in findings:
        lines.append(
            f"{finding.severity.value:<4}  {finding.check:<{width}}  {escape(finding.path)}  {escape(finding.found)}"
        )
        lines.append(f"      {'':<{width}}  fix: {escape(finding.fix)}")
    reasons: dict[str, list[str]] = {}
    for blind in report.not_observed:
        reasons.setdefault(blind.reason, []).append(blind.check)
    for reason, checks in reasons.items():
        text = f"not observed ({escape(reason)}): {', '.join(checks)}"
        lines += textwrap.wrap(text, _WIDTH, subsequent_indent="      ", break_long_words=False)
    counts = count(report)
    lines.append(
        f"{escape(report.target)}: {counts['fail']} fail, {counts['warn']} warn, {counts['info']} info, "
        f"{counts['pass']} passed, {counts['not_observed']} not observed ({report.duration_seconds:.2f} s)"
    )
    return "\n".join(lines) + "\n"


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
        "counts": count(report),
        "findings": [
            {
                "check": finding.check,
                "severity": finding.severity.value,
                "path": escape(finding.path),
                "found": escape(finding.found),
                "why": finding.why,
                "fix": escape(finding.fix),
            }
            for finding in report.findings
        ],
        "not_observed": [{"check": blind.check, "reason": escape(blind.reason)} for blind in report.not_observed],
        "passed": list(report.passed),
        "checks": dict.fromkeys(sorted(_all_ids(report)), 1),
        "boot": report.boot,
    }


def _all_ids(report: Report) -> set[str]:
    ids = {finding.check for finding in report.findings} | {blind.check for blind in report.not_observed}
    return ids | set(report.passed)


def render_junit(report: Report) -> str:
    """Return the report as JUnit XML: a suite per subject, a case per check; a warning passes with its text."""
    from xml.etree import ElementTree as Xml  # here: 10 ms that the other formats need not pay

    subjects = {check.id: check.subject.value for check in CHECKS}
    by_check: dict[str, list[Finding]] = {}
    for finding in report.findings:
        by_check.setdefault(finding.check, []).append(finding)
    blind = {each.check: each.reason for each in report.not_observed}
    suites: dict[str, list[Xml.Element]] = {}
    for check in sorted(_all_ids(report)):
        subject = subjects.get(check, "image")
        case = Xml.Element("testcase", classname=f"imagekit.verify.{subject}", name=check, time="0")
        findings = by_check.get(check, [])
        failures = [each for each in findings if each.severity is Severity.FAIL]
        if failures:
            failure = Xml.SubElement(case, "failure", message=_clean(failures[0].why), type=check)
            failure.text = _clean("\n".join(_write_line(each) for each in failures))
        elif check in blind:
            Xml.SubElement(case, "skipped", message=_clean(blind[check]))
        if milder := [each for each in findings if each.severity is not Severity.FAIL]:
            Xml.SubElement(case, "system-out").text = _clean("\n".join(_write_line(each) for each in milder))
        suites.setdefault(subject, []).append(case)
    root = Xml.Element("testsuites", name="imagekit verify")
    for subject, cases in suites.items():
        suite = Xml.SubElement(
            root,
            "testsuite",
            name=f"imagekit.verify.{subject}",
            tests=str(len(cases)),
            failures=str(sum(case.find("failure") is not None for case in cases)),
            skipped=str(sum(case.find("skipped") is not None for case in cases)),
            errors="0",
            timestamp=report.started.replace(microsecond=0, tzinfo=None).isoformat(),
        )
        suite.extend(cases)
    Xml.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + Xml.tostring(root, encoding="unicode") + "\n"


def _write_line(finding: Finding) -> str:
    severity = finding.severity.value
    return f"{severity}: {escape(finding.path)}: {escape(finding.found)}\n  fix: {escape(finding.fix)}"


def _clean(text: str) -> str:
    """Return text that XML 1.0 can hold: line by line, everything else that is no printable character escaped."""
    return "\n".join(escape(line, 4000) for line in text.split("\n"))
