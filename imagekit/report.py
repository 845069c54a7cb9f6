"""What verification found, as values: written by ``verify``, kept by ``store``, shown by ``cli``.

The store accepts a :class:`VerifiedImage` or a :class:`VerifiedTemplate` and nothing else, so neither a disk nor a
template on the cluster can become a version without its report.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from imagekit.image import BuiltImage, BuiltTemplate

SCHEMA_VERSION = 1


class Severity(StrEnum):
    """How bad a finding is: ``fail`` stops the pipeline, ``warn`` and ``info`` are for a person to weigh."""

    FAIL = "fail"
    WARN = "warn"
    INFO = "info"


class Profile(StrEnum):
    """What the target is or is meant to become; a check belongs to one or more of them."""

    TEMPLATE = "template"  # about to be cloned
    CLONE = "clone"  # a machine that runs: identity exists and is its own, leases and logs are normal
    SD_IMAGE = "sd-image"  # a NixOS card for a Raspberry Pi
    CONTAINER = "container"  # the root of an LXC container: no boot, disk, kernel or agent of its own


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: stable check id, where, what was seen (never a secret), why it hurts, how to mend it."""

    check: str
    severity: Severity
    path: str
    found: str
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class NotObserved:
    """A check whose subject could not be seen, with the reason; never counted as passed."""

    check: str
    reason: str


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that the definition allows, with its reason, and the last day on which it does.

    ``local_only`` marks what may be allowed for a build that stays here, and never for one that is published.
    """

    finding: Finding
    reason: str
    until: date | None = None
    local_only: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one verification: ``passed`` lists check ids whose data was read and found good.

    ``boot`` holds what two booted clones showed (facts by clone name), or ``None`` when no clone was booted.
    ``suppressed`` are findings that the definition allows; they count for nothing and are kept.
    """

    target: str
    view: str
    profile: str
    tool_version: str
    started: datetime
    duration_seconds: float
    findings: tuple[Finding, ...]
    not_observed: tuple[NotObserved, ...]
    passed: tuple[str, ...]
    boot: dict[str, object] | None = None
    suppressed: tuple[Suppressed, ...] = ()

    @property
    def failed(self) -> bool:
        """Say whether any finding is a ``fail``."""
        return any(finding.severity is Severity.FAIL for finding in self.findings)

    @property
    def failed_strictly(self) -> bool:
        """Say whether anything is worse than a hint, or could not be looked at."""
        return bool(self.not_observed) or any(finding.severity is not Severity.INFO for finding in self.findings)

    @property
    def fit_to_publish(self) -> bool:
        """Say whether nothing failed and nothing was let pass that may only be let pass for a build that stays here."""
        return not self.failed and not any(each.local_only for each in self.suppressed)


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """A disk with its history and the report that says it is fit: what the store keeps."""

    built: BuiltImage
    report: Report


@dataclass(frozen=True, slots=True)
class VerifiedTemplate:
    """A template on the cluster with its history and the report on it: what the store records."""

    built: BuiltTemplate
    report: Report
