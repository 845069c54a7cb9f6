"""Templates that are made to keep the lint busy, or to put something into its messages."""

import time
from pathlib import Path

import pytest

from imagekit.build.packer.lint import format_mistake, lint_template
from tests.build.packer.lint.clean import CLEAN, write_template


def _edit(old: str, new: str) -> str:
    assert old in CLEAN["iso"]
    return CLEAN["iso"].replace(old, new, 1)


_HOSTILE = {
    "thousands of unknown fields": _edit("  vga {", "".join(f"  field{n} = 1\n" for n in range(4000)) + "  vga {"),
    "names that never end": _edit("auto<aOn>", "{{.a" * 20000),
    "keys that never end": _edit("auto<aOn>", "<" * 40000),
    "a long value": _edit('"ovmf"', f'"{"x" * 60000}"'),
    "user-data that is no end of lists": _edit("        hostname: ${var.name}", "        a: " + "[" * 40000),
    "user-data of aliases": _edit(
        "        hostname: ${var.name}",
        "        a0: &a0 [x]\n"
        + "".join(f"        a{n + 1}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]\n" for n in range(40)),
    ),
    "a path with a NUL": _edit("    cd_content = {", '    cd_files = ["a\\u0000b", "c\\u0000*"]\n    cd_content = {'),
    "a path that is too long": _edit("    cd_content = {", f'    cd_files = ["{"x" * 5000}"]\n    cd_content = {{'),
    "a pattern for the whole disk": _edit("    cd_content = {", '    cd_files = ["/**/*"]\n    cd_content = {'),
    "numbers of thousands of digits": _edit('"2048"', f'"{"9" * 6000}"').replace('"serial0"', f'"serial{"9" * 6000}"'),
    "a strange address": _edit("https://pve.example:8006/api2/json", "https://[::1/api2/json"),
}


@pytest.mark.parametrize("text", _HOSTILE.values(), ids=_HOSTILE)
def test_hostile_template_ends_soon(text: str, tmp_path: Path) -> None:
    """The lint ends, with messages of one line each."""
    directory = write_template(tmp_path / "t", text)
    start = time.process_time()
    mistakes = lint_template(directory, values={})
    assert time.process_time() - start < 15
    assert len(mistakes) <= 500
    for mistake in mistakes:
        assert format_mistake(mistake).isprintable()
        assert len(mistake.found) < 10_000


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    """What a template puts into a message cannot move a terminal's cursor or begin a line."""
    (tmp_path / "t.pkr.json").write_text(
        '{"source": {"qemu": {"x\\u001b[2J\\n": {"fake\\nline": 1, "machine_type": "a\\u001b[2J"}}}}'
    )
    lines = [format_mistake(mistake) for mistake in lint_template(tmp_path, values={})]
    assert any("fake" in line for line in lines)
    assert all(line.isprintable() for line in lines)
