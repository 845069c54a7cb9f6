"""Errors: what a script may rely on is documented, and the document is true."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import imagekit
from imagekit.errors import DefinitionInvalid, ExitCode, ImagekitError, ToolFailed

_TABLE = Path(__file__).parent.parent / "docs" / "exit-codes.md"
_ROW = re.compile(r"^\| *(\d+) *\| *([^|]+?) *\| *([^|]+?) *\|$", re.MULTILINE)


def _read_table() -> dict[int, str]:
    return {int(code): meaning for code, meaning, _cause in _ROW.findall(_TABLE.read_text())}


def _list_errors(root: type[ImagekitError]) -> Iterator[type[ImagekitError]]:
    yield root
    for child in root.__subclasses__():
        yield from _list_errors(child)


def _import_everything() -> None:
    """Load every module, so that an error class defined outside of errors.py is seen as well."""
    for module in pkgutil.walk_packages(imagekit.__path__, "imagekit."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def test_exit_code_table_matches_enum() -> None:
    """The documented codes are exactly those of ExitCode, each once and with a meaning of its own."""
    rows = _ROW.findall(_TABLE.read_text())
    assert [int(row[0]) for row in rows] == [code.value for code in ExitCode]
    assert len({meaning for _, meaning, _ in rows}) == len(rows)


def test_every_error_has_documented_code() -> None:
    """Every error of every module ends with a documented code, and only the root stands for a bug."""
    _import_everything()
    table = _read_table()
    errors = set(_list_errors(ImagekitError)) - {ImagekitError}
    assert errors
    for error in errors:
        assert error.exit_code in table, error
        assert error.exit_code not in (ExitCode.DONE, ExitCode.BUG), error
        assert error.__doc__, error


@pytest.mark.parametrize("code", [code for code in ExitCode if 3 <= code <= 9])
def test_every_operator_code_has_error(code: ExitCode) -> None:
    """A documented code of the operator's errors is one that some error really has."""
    assert any(error.exit_code is code for error in _list_errors(ImagekitError))


def test_error_carries_message_and_hint() -> None:
    """An error is its message as text and keeps the hint apart."""
    error = ImagekitError("the disk is full", hint="free some space")
    assert (str(error), error.message, error.hint) == ("the disk is full", "the disk is full", "free some space")


def test_details_are_kept() -> None:
    """Problems become a tuple that nobody can change later, and a tool's words are kept apart from the sentence."""
    problems = ["one", "two"]
    error = DefinitionInvalid("two mistakes", problems=problems)
    problems.clear()
    assert error.problems == ("one", "two")
    assert ToolFailed("mke2fs failed", detail="no space").detail == "no space"
