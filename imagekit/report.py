"""What verification found, as values: written by ``verify``, kept by ``store``, shown by ``cli``.

A :class:`VerifiedImage` is the only thing the store accepts, so an image cannot become a version without its report.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from imagekit.image import BuiltImage

SCHEMA_VERSION = 1


class Severity(StrEnum):
    """How bad a finding is: ``fail`` stops the pipeline, ``warn`` and ``info`` are for a person to weigh."""

    FAIL = "fail"
    WARN = "warn"
    INFO = "info"


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
class Report:
    """The outcome of one verification: ``passed`` lists check ids whose data was read and found good.

    ``boot`` holds what two booted clones showed (facts by clone name), or ``None`` when no clone was booted.
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

    @property
    def failed(self) -> bool:
        """Say whether any finding is a ``fail``, or a check that had to be made could not be."""
        return any(finding.severity is Severity.FAIL for finding in self.findings)


@dataclass(frozen=True, slots=True)
class VerifiedImage:
    """A disk with its history and the report that says it is fit: what the store accepts."""

    built: BuiltImage
    report: Report
