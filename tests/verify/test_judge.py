"""What a policy does to findings: lets them pass for a while and with a reason, or makes them worse."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from imagekit.definition import Allowance, SeverityOverride
from imagekit.errors import DefinitionInvalid
from imagekit.report import Severity
from imagekit.verify import Policy, verify_directory
from tests.verify.clean_tree import append, write
from tests.verify.dirty.change import HASH

_DAY = Policy().today  # ages of files are measured against it as well
_ALLOWED = Allowance("tmp-contents", "/var/tmp/a.sh", "our first boot runs it", _DAY)


def test_allowed_finding_is_kept_aside(tree: Path) -> None:
    """What is allowed until today counts for nothing and stays in the report with its reason."""
    write(tree, "/var/tmp/a.sh")
    report = verify_directory(tree, Policy(today=_DAY, allow=(_ALLOWED,)))
    assert report.findings == ()
    assert [(each.finding.path, each.reason, each.until) for each in report.suppressed] == [
        ("/var/tmp/a.sh", "our first boot runs it", _DAY)
    ]
    assert "tmp-contents" not in report.passed


def test_allowance_ends_with_its_day(tree: Path) -> None:
    """A day later the finding is back, and the allowance is a finding too."""
    write(tree, "/var/tmp/a.sh")
    report = verify_directory(tree, Policy(today=_DAY + timedelta(days=1), allow=(_ALLOWED,)))
    assert {finding.check for finding in report.findings} == {"tmp-contents", "allowance-expired"}
    assert report.suppressed == ()


def test_allowance_covers_only_its_path(tree: Path) -> None:
    """What the same check finds elsewhere still counts."""
    write(tree, "/var/tmp/a.sh")
    write(tree, "/tmp/b.sh")
    report = verify_directory(tree, Policy(today=_DAY, allow=(_ALLOWED,)))
    assert [finding.path for finding in report.findings] == ["/tmp/b.sh"]


def test_allowance_covers_what_is_below_its_path(tree: Path) -> None:
    """A directory that is allowed is allowed with all that is in it."""
    write(tree, "/root/.ssh/known_hosts", "host ssh-ed25519 AAAA\n")
    write(tree, "/var/tmp/a.sh")
    report = verify_directory(tree, Policy(today=_DAY, allow=(replace(_ALLOWED, path="/var"),)))
    assert "/var/tmp/a.sh" not in {finding.path for finding in report.findings}


def test_allowance_for_what_was_not_looked_at_is_not_unused(tree: Path) -> None:
    """A check that only a disk can answer says nothing about its allowance when a directory is verified."""
    allowance = Allowance("uefi-fallback", reason="direct kernel boot", until=_DAY)
    report = verify_directory(tree, Policy(today=_DAY, allow=(allowance,)))
    assert report.findings == ()


def test_severity_follows_the_policy(tree: Path) -> None:
    """An operator may hold a check's findings to be worse, or milder, than we do."""
    write(tree, "/var/tmp/a.sh")
    worse = verify_directory(tree, Policy(severity=(SeverityOverride("tmp-contents", Severity.FAIL),)))
    assert worse.failed
    milder = verify_directory(tree, Policy(severity=(SeverityOverride("tmp-contents", Severity.INFO),)))
    assert not milder.failed_strictly or milder.not_observed
    assert [finding.severity for finding in milder.findings] == [Severity.INFO]


def test_twin_makers_are_let_pass_for_local_builds_only(tree: Path) -> None:
    """An identity in a template may be allowed for a build that stays here, never for one that is published."""
    write(tree, "/etc/machine-id", "0123456789abcdef0123456789abcdef\n")
    report = verify_directory(tree, Policy(today=_DAY, allow=(Allowance("machine-id", reason="a test", until=_DAY),)))
    assert not report.failed
    assert [each.local_only for each in report.suppressed] == [True]
    assert not report.fit_to_publish


@pytest.mark.parametrize(
    "policy",
    [
        Policy(allow=(Allowance("shell-histori"),)),
        Policy(severity=(SeverityOverride("shell-histori", Severity.FAIL),)),
    ],
)
def test_policy_about_an_unknown_check_is_refused(policy: Policy, clean_tree: Path) -> None:
    """A misspelled id lets nothing pass silently: it is refused with the id that was probably meant."""
    with pytest.raises(DefinitionInvalid, match="shell-histori") as caught:
        verify_directory(clean_tree, policy)
    assert "shell-history" in (caught.value.hint or "")


def test_severity_of_twin_makers_is_fixed(clean_tree: Path) -> None:
    """What must never be published cannot be talked down."""
    policy = Policy(severity=(SeverityOverride("machine-id", Severity.INFO),))
    with pytest.raises(DefinitionInvalid, match="machine-id"):
        verify_directory(clean_tree, policy)


def test_suppressed_finding_shows_no_secret(tree: Path) -> None:
    """A finding that is let pass is written as carefully as any other."""
    append(tree, "/etc/shadow", f"ops:{HASH}:1::::::\n")
    policy = Policy(today=_DAY, allow=(Allowance("account-passwords", reason="a test", until=_DAY),))
    report = verify_directory(tree, policy)
    assert report.suppressed
    assert "Canary" not in repr(report)
