"""A report as JUnit XML, in the shape that Jenkins' xUnit plugin, GitLab and Forgejo read."""

from imagekit.report import Finding, Report, Severity
from imagekit.verify.checks import CHECKS
from imagekit.verify.evidence import escape
from imagekit.verify.formats.document import list_ids, write_fix


def render_junit(report: Report) -> str:
    """Return the report as JUnit XML: a suite per subject, a case per check; a warning passes with its text."""
    from xml.etree import ElementTree as Xml  # here: 10 ms that the other formats need not pay

    subjects = {check.id: check.subject.value for check in CHECKS}
    by_check: dict[str, list[Finding]] = {}
    for finding in report.findings:
        by_check.setdefault(finding.check, []).append(finding)
    blind = {each.check: each.reason for each in report.not_observed}
    suites: dict[str, list[Xml.Element]] = {}
    for check in sorted(list_ids(report)):
        subject = subjects.get(check, "image")
        case = Xml.Element("testcase", classname=f"imagekit.verify.{subject}", name=check, time="0")
        findings = by_check.get(check, [])
        allowed = [each for each in report.suppressed if each.finding.check == check]
        failures = [each for each in findings if each.severity is Severity.FAIL]
        if failures:
            failure = Xml.SubElement(case, "failure", message=_clean(failures[0].why), type=check)
            failure.text = _clean("\n".join(_write_line(each) for each in failures))
        elif check in blind:
            Xml.SubElement(case, "skipped", message=_clean(blind[check]))
        elif allowed:
            Xml.SubElement(case, "skipped", message=_clean(f"allowed: {allowed[0].reason or 'no reason given'}"))
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
    return f"{severity}: {escape(finding.path)}: {escape(finding.found)}\n  fix: {write_fix(finding)}"


def _clean(text: str) -> str:
    """Return text that XML 1.0 can hold: line by line, everything else that is no printable character escaped."""
    return "\n".join(escape(line, 4000) for line in text.split("\n"))
