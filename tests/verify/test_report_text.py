"""The three renderings of a report."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from xml.etree import ElementTree as Xml

from imagekit.report import Finding, NotObserved, Report, Severity
from imagekit.verify import render_json, render_junit, render_text

HOSTILE = "/tmp/\x1b[2J<b>&\x00\u202e"


def make_report() -> Report:
    """Return a report with one of everything, and a hostile path."""

    def finding(check: str, severity: Severity, path: str) -> Finding:
        return Finding(check, severity, path, "found", "why <it> hurts", "mend it")

    return Report(
        target="disk.raw",
        view="disk",
        profile="template",
        tool_version="0",
        started=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
        duration_seconds=0.25,
        findings=(
            finding("apt-lists", Severity.INFO, "/var/lib/apt/lists"),
            finding("tmp-contents", Severity.WARN, HOSTILE),
            finding("machine-id", Severity.FAIL, "/etc/machine-id"),
        ),
        not_observed=(NotObserved("fs-clean", "dark \x1b[0m"), NotObserved("partition-table", "dark \x1b[0m")),
        passed=("logs", "hostname"),
    )


def test_text_is_worst_first_and_counts_last() -> None:
    """Fails come first, each with its fix, and the last line counts."""
    lines = render_text(make_report()).splitlines()
    assert lines[0].split()[:3] == ["fail", "machine-id", "/etc/machine-id"]
    assert lines[1].strip() == "fix: mend it"
    assert lines[-1] == "disk.raw: 1 fail, 1 warn, 1 info, 2 passed, 2 not observed (0.25 s)"
    assert any("fs-clean, partition-table" in line for line in lines)


def test_no_rendering_carries_control_characters() -> None:
    """A path that would clear the screen is harmless in each of the three."""
    report = make_report()
    for text in (render_text(report), json.dumps(render_json(report), ensure_ascii=False), render_junit(report)):
        assert not any(mark in text for mark in ("\x1b", "\x00", "\u202e"))
        assert "\\x1b[2J" in text.replace("\\\\", "\\")


def test_json_is_one_plain_document() -> None:
    """The document carries its schema, the counts and every id that was looked for."""
    document = json.loads(json.dumps(render_json(make_report())))
    assert document["schema_version"] == 1
    assert document["failed"] is True
    assert document["counts"] == {"fail": 1, "warn": 1, "info": 1, "pass": 2, "not_observed": 2}
    assert len(document["checks"]) == 7
    assert document["findings"][0]["check"] == "apt-lists"
    assert document["started"] == "2026-11-21T12:00:00+00:00"


def test_junit_has_a_suite_per_subject() -> None:
    """A fail is a failure, a warning passes with its text, what was not seen is skipped."""
    root = Xml.fromstring(render_junit(make_report()))
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert {suite.get("name") for suite in root} >= {"imagekit.verify.identity", "imagekit.verify.disk"}
    assert cases["machine-id"].find("failure") is not None
    assert cases["tmp-contents"].find("failure") is None
    assert "warn" in (cases["tmp-contents"].findtext("system-out") or "")
    assert cases["fs-clean"].find("skipped") is not None
    assert len(cases["logs"]) == 0
    assert cases["machine-id"].get("classname") == "imagekit.verify.identity"


def test_junit_knows_damage() -> None:
    """Damage has no check of its own and still is a failure."""
    finding = Finding("image-damaged", Severity.FAIL, "disk", "found", "why", "fix")
    report = replace(make_report(), findings=(finding,))
    assert Xml.fromstring(render_junit(report)).find(".//failure") is not None
