"""The report that people read."""

from imagekit.verify.formats.text import render_text
from tests.verify.formats.sample import REPORT


def test_text_is_worst_first_and_counts_last() -> None:
    """Fails come first, each with why and fix, and the last line counts."""
    lines = render_text(REPORT).splitlines()
    assert lines[0].split()[:3] == ["fail", "machine-id", "/etc/machine-id"]
    assert lines[1].strip() == "why: why <it> hurts"
    assert lines[2].strip() == "fix: `: > /etc/machine-id`"
    assert lines[-1] == "disk.raw: 2 fail, 2 warn, 1 info, 2 passed, 2 not observed, 2 allowed (0.25 s)"
    assert any("fs-clean, partition-table" in line for line in lines)


def test_fix_names_the_path_quoted() -> None:
    """A command is shown with the finding's own path, ready for a shell."""
    assert "`rm -rf '/tmp/a'\"'\"'; reboot; '\"'\"''`" in render_text(REPORT)


def test_text_shows_what_was_let_pass() -> None:
    """An allowance is shown with reason and day, and with what it costs."""
    text = render_text(REPORT)
    assert "until 2027-01-31" in text
    assert "must not be published" in text


def test_text_shows_what_the_clones_showed() -> None:
    """The clones can be compared line by line, and one that stopped shows its console's end."""
    text = render_text(REPORT)
    assert f"clone clone-a: machine_id {'a' * 32}" in text
    assert "| panic" in text
