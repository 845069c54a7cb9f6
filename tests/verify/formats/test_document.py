"""The report that programs read, and what no form may carry."""

import json

import pytest

from imagekit.verify.formats.document import render_json
from imagekit.verify.formats.fixes import render_fixes
from imagekit.verify.formats.junit import render_junit
from imagekit.verify.formats.markdown import render_markdown
from imagekit.verify.formats.text import render_text
from tests.verify.formats.sample import REPORT

_FORMS = {
    "text": render_text,
    "json": lambda report: json.dumps(render_json(report), ensure_ascii=False),
    "junit": render_junit,
    "markdown": render_markdown,
    "fixes": render_fixes,
}


@pytest.mark.parametrize("form", _FORMS)
def test_no_form_carries_control_characters(form: str) -> None:
    """What would clear the screen or turn the line around is harmless in each of them."""
    text = _FORMS[form](REPORT)
    assert not any(mark in text for mark in ("\x1b", "\x00", "\u202e"))
    assert "x1b" in text


def test_json_is_one_plain_document() -> None:
    """The document carries its schema, the counts and every id that was looked for."""
    document = json.loads(json.dumps(render_json(REPORT)))
    assert document["schema_version"] == 1
    assert document["failed"] is True
    assert document["fit_to_publish"] is False
    assert document["counts"] == {"fail": 2, "warn": 2, "info": 1, "pass": 2, "not_observed": 2, "suppressed": 2}
    assert len(document["checks"]) == 10
    assert document["findings"][0]["check"] == "apt-lists"
    assert document["suppressed"][0]["until"] == "2027-01-31"
    assert document["started"] == "2026-11-21T12:00:00+00:00"
    assert document["boot"]["clone-a"]["seconds"] == {"ssh": 3.5}
