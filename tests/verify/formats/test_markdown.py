"""The report in a CI job's summary, and the reference of the checks."""

from dataclasses import replace

from imagekit.verify import list_checks
from imagekit.verify.formats.markdown import render_checks, render_markdown
from tests.verify.formats.sample import REPORT


def test_markdown_is_a_table_that_holds() -> None:
    """Every finding is one row of six cells, whatever its path has in it."""
    lines = render_markdown(REPORT).splitlines()
    assert lines[0] == "### ❌ not fit: disk.raw"
    rows = [line for line in lines if line.startswith("| ")][2:]
    assert len(rows) == len(REPORT.findings)
    assert all(row.replace("\\|", "").count("|") == 7 for row in rows)
    assert "machine-id" in rows[0]


def test_markdown_keeps_markup_of_the_image_out() -> None:
    """HTML and links in a name stay text."""
    assert "<b>" not in render_markdown(REPORT)


def test_markdown_says_fit() -> None:
    """A report without findings is fit; one with warnings has remarks."""
    clean = replace(REPORT, findings=(), not_observed=())
    assert render_markdown(clean).startswith("### ✅ fit: ")
    assert render_markdown(replace(REPORT, findings=REPORT.findings[:2])).startswith("### ⚠️ fit, with remarks")


def test_reference_has_every_check_once() -> None:
    """Each check is one row, with its id as code."""
    lines = render_checks(list_checks()).splitlines()
    rows = [line.split("`")[1] for line in lines if line.startswith("| `")]
    assert sorted(rows) == sorted(check.id for check in list_checks())
