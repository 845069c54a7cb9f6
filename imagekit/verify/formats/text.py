"""A report as a table for people: worst first, each with why it hurts and what mends it; the last line counts."""

from collections.abc import Iterator

from imagekit.report import Finding, Report, Suppressed
from imagekit.verify.evidence import escape
from imagekit.verify.formats.document import count_report, write_fix
from imagekit.verify.judge import RANK

_WIDTH = 120
_INDENT = " " * 6
_COMPARED = ("machine_id", "hostname", "addresses")


def render_text(report: Report) -> str:
    """Return the report as text; findings that share check, severity and fix share its lines."""
    import textwrap  # here: the other forms do without

    lines: list[str] = []
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in sorted(report.findings, key=lambda each: RANK[each.severity]):
        groups.setdefault((finding.severity, finding.check, write_fix(finding)), []).append(finding)
    for (_, _, fix), findings in groups.items():
        lines += _write_group(findings, fix)
    for each in report.suppressed:
        lines.append(f"allow {_name_allowed(each)}")
    reasons: dict[str, list[str]] = {}
    for blind in report.not_observed:
        reasons.setdefault(blind.reason, []).append(blind.check)
    for reason, checks in reasons.items():
        text = f"not observed ({escape(reason)}): {', '.join(checks)}"
        lines += textwrap.wrap(text, _WIDTH, subsequent_indent=_INDENT, break_long_words=False)
    lines += list_clones(report)
    return "\n".join([*lines, summarize(report)]) + "\n"


def summarize(report: Report) -> str:
    """Return the one line that says how it went."""
    counts = count_report(report)
    allowed = f", {counts['suppressed']} allowed" if report.suppressed else ""
    return (
        f"{escape(report.target)}: {counts['fail']} fail, {counts['warn']} warn, {counts['info']} info, "
        f"{counts['pass']} passed, {counts['not_observed']} not observed{allowed} ({report.duration_seconds:.2f} s)"
    )


def _write_group(findings: list[Finding], fix: str) -> Iterator[str]:
    first, *others = findings
    yield f"{first.severity.value:<5} {first.check}  {escape(first.path)}  {escape(first.found)}"
    for other in others:
        yield f"{_INDENT}{' ' * len(first.check)}  {escape(other.path)}  {escape(other.found)}"
    yield f"{_INDENT}why: {escape(first.why)}"
    yield f"{_INDENT}fix: {fix}"


def _name_allowed(each: Suppressed) -> str:
    until = f", until {each.until}" if each.until else ""
    local = "; such an image must not be published" if each.local_only else ""
    reason = escape(each.reason or "no reason given")
    return f"{each.finding.check}  {escape(each.finding.path)}  {reason}{until}{local}"


def list_clones(report: Report) -> Iterator[str]:
    """Yield what the booted clones showed, side by side where they can be compared, and where one stopped."""
    clones = [(name, facts) for name, facts in (report.boot or {}).items() if isinstance(facts, dict)]
    for name, facts in clones:
        shown = [
            f"{key} {escape(str(facts[key]))}" for key in ("machine_id", "hostname", "addresses") if facts.get(key)
        ]
        yield f"clone {escape(name)}: {', '.join(shown) or 'told nothing'}"
        stopped = facts.get("stopped")
        if isinstance(stopped, dict):
            yield f"{_INDENT}{escape(str(stopped.get('message', '')))}"
        end = facts.get("console_end")
        for line in end if isinstance(end, list | tuple) else ():
            yield f"{_INDENT}| {escape(str(line))}"
