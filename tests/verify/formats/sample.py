"""A report with one of everything, and a hostile path."""

from datetime import UTC, date, datetime

from imagekit.report import Finding, NotObserved, Report, Severity, Suppressed

HOSTILE = "/tmp/\x1b[2J<b>&\x00\u202e|`"
HOSTILE_NAME = "/tmp/a'; reboot; '"


def make_finding(check: str, severity: Severity, path: str, fix: str = "mend it") -> Finding:
    """Return a finding of ``check``."""
    return Finding(check, severity, path, "found", "why <it> hurts", fix)


REPORT = Report(
    target="disk.raw",
    view="disk",
    profile="template",
    tool_version="0",
    started=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
    duration_seconds=0.25,
    findings=(
        make_finding("apt-lists", Severity.INFO, "/var/lib/apt/lists"),
        make_finding("tmp-contents", Severity.WARN, HOSTILE, '`rm -rf "$path"`'),
        make_finding("tmp-contents", Severity.WARN, HOSTILE_NAME, '`rm -rf "$path"`'),
        make_finding("machine-id", Severity.FAIL, "/etc/machine-id", "`: > /etc/machine-id`"),
        make_finding("build-user", Severity.FAIL, "/etc/passwd", "`userdel -rf USER`"),
    ),
    not_observed=(NotObserved("fs-clean", "dark \x1b[0m"), NotObserved("partition-table", "dark \x1b[0m")),
    passed=("logs", "hostname"),
    suppressed=(
        Suppressed(make_finding("shell-history", Severity.WARN, HOSTILE), "kept \x1b[1m", date(2027, 1, 31)),
        Suppressed(make_finding("ssh-host-keys", Severity.FAIL, "/etc/ssh/k"), "a test", None, local_only=True),
    ),
    boot={
        "clone-a": {"machine_id": "a" * 32, "hostname": "clone-a\x1b[2J", "seconds": {"ssh": 3.5}},
        "clone-b": {"stopped": {"stage": "login", "message": "stopped\x00"}, "console_end": ["panic \x1b[2J", "end"]},
    },
)
