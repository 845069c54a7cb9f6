"""The report that CI servers read."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest
import xmlschema

from imagekit.report import Finding, Report, Severity
from imagekit.verify import verify_directory
from imagekit.verify.formats.junit import render_junit
from tests.verify.formats.sample import REPORT, make_finding

_SCHEMA = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))


def _read(report: Report) -> dict[str, Xml.Element]:
    return {str(case.get("name")): case for case in Xml.fromstring(render_junit(report)).iter("testcase")}


def test_junit_has_a_suite_per_subject() -> None:
    """A fail is a failure, a warning passes with its text, what was not seen or is allowed is skipped."""
    cases = _read(REPORT)
    suites = {suite.get("name") for suite in Xml.fromstring(render_junit(REPORT))}
    assert suites >= {"imagekit.verify.identity", "imagekit.verify.disk"}
    assert cases["machine-id"].find("failure") is not None
    assert cases["tmp-contents"].find("failure") is None
    assert "warn" in (cases["tmp-contents"].findtext("system-out") or "")
    assert cases["fs-clean"].find("skipped") is not None
    assert cases["shell-history"].find("skipped") is not None
    assert len(cases["logs"]) == 0
    assert cases["machine-id"].get("classname") == "imagekit.verify.identity"


def test_junit_is_valid(clean_tree: Path) -> None:
    """The document keeps the schema, with hostile names in it and for a real run."""
    _SCHEMA.validate(render_junit(REPORT))
    _SCHEMA.validate(render_junit(verify_directory(clean_tree)))


def test_schema_can_refuse() -> None:
    """The schema is no formality: a suite without its counts is refused."""
    broken = render_junit(REPORT).replace('errors="0"', "", 1)
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        _SCHEMA.validate(broken)


def test_check_with_failure_and_blindness_is_one_outcome() -> None:
    """A check that found something before it could not see further is a failure, and nothing else."""
    report = replace(REPORT, findings=(make_finding("fs-clean", Severity.FAIL, "partition 2"),))
    assert [child.tag for child in _read(report)["fs-clean"]] == ["failure"]
    _SCHEMA.validate(render_junit(report))


def test_junit_knows_damage() -> None:
    """Damage has no check of its own and still is a failure."""
    finding = Finding("image-damaged", Severity.FAIL, "disk", "found", "why", "fix")
    assert _read(replace(REPORT, findings=(finding,)))["image-damaged"].find("failure") is not None
