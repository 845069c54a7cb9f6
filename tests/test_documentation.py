"""What the documents claim about settings, options and commands is what the program has."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from imagekit.cli import COMMANDS
from imagekit.settings import AcceleratorChoice, Settings, name_variable, read_settings

_ROOT = Path(__file__).parent.parent
_DOCUMENTS = sorted([_ROOT / "README.md", *(_ROOT / "docs").glob("*.md")])
_NOT_SETTINGS = ("origins",)


def _read_table() -> dict[str, list[str]]:
    """Return the rows of the settings table by key."""
    rows = {}
    for line in (_ROOT / "docs" / "settings.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 5 and cells[0].startswith("`"):
            rows[cells[0].strip("`")] = cells[1:]
    return rows


def test_every_setting_is_documented() -> None:
    """The table has exactly the settings that there are, in their order, each with its variable."""
    table = _read_table()
    assert list(table) == [field.name for field in fields(Settings) if field.name not in _NOT_SETTINGS]
    for name, (variable, *_) in table.items():
        assert variable == f"`{name_variable(name)}`"


def test_documented_defaults_are_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each default in the table is what holds when nothing is set."""
    table, settings = _read_table(), read_settings({})
    for name, kind in (("store", "DATA"), ("cache", "CACHE"), ("state", "STATE")):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path))
        assert table[name][2] == f"`$XDG_{kind}_HOME/imagekit`"
        assert getattr(read_settings({}), name) == tmp_path / "imagekit"
    assert table["accelerator"][1] == ", ".join(f"`{choice}`" for choice in AcceleratorChoice)
    assert table["accelerator"][2] == f"`{settings.accelerator}`"
    assert table["boot_timeout"][2] == f"`{settings.boot_timeout}`"
    assert settings.mke2fs is None


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    """Every relative link names a file that is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", _DOCUMENTS, ids=lambda path: path.name)
def test_commands_in_documents_exist(document: Path) -> None:
    """Every ``imagekit COMMAND`` in code is a command, and every long option there is one of it."""
    import click

    from imagekit.cli import imagekit

    code = re.findall(r"`(imagekit [^`\n]+)`|^((?:\S*/)?imagekit [^\n#]+)", document.read_text(), re.MULTILINE)
    for line in (first or second for first, second in code):
        for part in re.split(r",? then |&&", line):
            words = part.split()
            assert words[1] in COMMANDS or words[1].startswith("-"), part
            command = imagekit.get_command(click.Context(imagekit), words[1])
            options = (
                [option for one in command.params for option in (*one.opts, *one.secondary_opts)] if command else []
            )
            unknown = [word for word in words[2:] if word.startswith("--") and word not in options]
            assert unknown == [], part


def test_reference_of_the_checks_is_current() -> None:
    """The document is what ``imagekit verify --list-checks --format markdown`` writes; ``just checks`` does it."""
    from imagekit.verify import list_checks
    from imagekit.verify.formats.markdown import render_checks

    assert (_ROOT / "docs" / "checks.md").read_text() == render_checks(list_checks())


def test_checks_of_a_boot_are_documented() -> None:
    """The page about verification names each check that booting makes."""
    from imagekit.verify.boot.checks import CHECKS

    text = (_ROOT / "docs" / "verification.md").read_text()
    assert [check for check in CHECKS if f"`{check}`" not in text] == []
