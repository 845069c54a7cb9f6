"""A report as Markdown for the summary of a CI job, and the checks as the reference that the documents have."""

from imagekit.report import Finding, Report, Severity
from imagekit.verify.check import Check, Profile, Subject
from imagekit.verify.evidence import escape
from imagekit.verify.formats.document import write_fix
from imagekit.verify.formats.text import list_clones, summarize
from imagekit.verify.judge import RANK

_MARKS = {Severity.FAIL: "❌ fail", Severity.WARN: "⚠️ warn", Severity.INFO: "💡 info"}
_LETTERS = {Profile.TEMPLATE: "T", Profile.CLONE: "C", Profile.SD_IMAGE: "S", Profile.CONTAINER: "K"}
_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>#|~&"})
_FENCE = "```"


def render_markdown(report: Report) -> str:
    """Return the report as Markdown: the verdict, a table of findings worst first, what was let pass or not seen."""
    verdict = "❌ not fit" if report.failed else "⚠️ fit, with remarks" if report.failed_strictly else "✅ fit"
    lines = [f"### {verdict}: {_quote(report.target)}", "", _quote(summarize(report)), ""]
    if report.findings:
        lines += ["| | check | where | found | why | fix |", "| --- | --- | --- | --- | --- | --- |"]
        lines += [_write_row(finding) for finding in sorted(report.findings, key=lambda each: RANK[each.severity])]
        lines.append("")
    for each in report.suppressed:
        until = f", until {each.until}" if each.until else ""
        where = f"{_quote(each.finding.check)} at {_quote(each.finding.path)}"
        lines.append(f"- allowed: {where}: {_quote(each.reason or 'no reason given')}{until}")
    if report.not_observed:
        lines += ["<details><summary>Not observed</summary>", ""]
        lines += [f"- {_quote(blind.check)}: {_quote(blind.reason)}" for blind in report.not_observed]
        lines += ["", "</details>"]
    if clones := list(list_clones(report)):
        lines += ["", f"{_FENCE}text", *(line.replace(_FENCE, "~~~") for line in clones), _FENCE]
    return "\n".join(lines).rstrip() + "\n"


def _write_row(finding: Finding) -> str:
    cells = (finding.check, finding.path, finding.found, finding.why, write_fix(finding))
    return f"| {_MARKS[finding.severity]} | {' | '.join(_quote(cell) for cell in cells)} |"


def _quote(text: str) -> str:
    """Return text that stays text in a Markdown table, whatever an image put into it."""
    return escape(text).translate(_SPECIAL)


def render_checks(checks: tuple[Check, ...]) -> str:
    """Return the reference of ``checks`` as Markdown: a table for each subject."""
    lines = [
        "# The checks",
        "",
        f"`imagekit verify` makes these {len(checks)} checks. This page is what `--list-checks --format markdown`",
        "writes; a test keeps it current. A letter says for which profile a check is: **T** template, **C** running",
        "clone, **S** SD image, **K** container. Ids never change their meaning. What stands in code in a fix is a",
        "command; `$path` in it is the path of the finding.",
    ]
    for subject in Subject:
        of_subject = [check for check in checks if check.subject is subject]
        if not of_subject:
            continue
        lines += [
            "",
            f"## {subject.value}",
            "",
            "| id | severity | for | why | fix |",
            "| --- | --- | --- | --- | --- |",
        ]
        for check in of_subject:
            letters = "".join(_LETTERS[profile] for profile in Profile if profile in check.profiles)
            cells = (f"`{check.id}`", check.severity.value, letters, _keep_code(check.why), _keep_code(check.fix))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _keep_code(text: str) -> str:
    """Return our own text for a table: what stands in backticks stays code."""
    parts = text.split("`")
    return "`".join(part.replace("|", "\\|") if at % 2 else _quote(part) for at, part in enumerate(parts))
