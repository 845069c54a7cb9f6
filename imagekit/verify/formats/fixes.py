"""What a person would run in the guest to mend what was found, as a shell script; imagekit itself changes nothing.

A check's fix is our own text; what stands in backticks in it is a command, in which ``"$path"`` is the finding's path.
A path from the image stands in the script only quoted, or, when it has a character that is not printable, not at all:
a hostile name can neither become a command nor reach the terminal.
"""

import re
import shlex

from imagekit.report import Finding, Report
from imagekit.verify.evidence import escape
from imagekit.verify.formats.text import summarize
from imagekit.verify.judge import RANK

_COMMAND = re.compile("`([^`]+)`")
_PLACEHOLDER = re.compile(r"\b(?:USER|FILE|NAME|UNIT|PACKAGE|DEVICE|VMID|KEY)\b")


def render_fixes(report: Report) -> str:
    """Return a POSIX shell script with one block per finding, worst first; what is no command stands as a comment."""
    lines = [
        "#!/bin/sh",
        "# Run as root in the guest, after reading each step. Then shut down and verify again.",
        f"# {summarize(report)}",
        "set -eu",
    ]
    done: set[str] = set()
    for finding in sorted(report.findings, key=lambda each: RANK[each.severity]):
        lines += ["", f"# {finding.severity.value}: {finding.check}: {escape(finding.path)}: {escape(finding.found)}"]
        step = _write_step(finding)
        lines += [f"# do: {escape(finding.fix)}"] if step is None else [step] if step not in done else ["# as above"]
        done.add(step or "")
    return "\n".join(lines) + "\n"


def _write_step(finding: Finding) -> str | None:
    """Return the first command of the fix, ready to run; ``None`` when a person has to fill something in."""
    match = _COMMAND.search(finding.fix)
    if match is None or _PLACEHOLDER.search(match.group(1)):
        return None
    command = match.group(1)
    if '"$path"' not in command:
        return command
    if finding.path != escape(finding.path) or "\\" in finding.path or not finding.path.startswith("/"):
        return None
    return command.replace('"$path"', shlex.quote(finding.path))
