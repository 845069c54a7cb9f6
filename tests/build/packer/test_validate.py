"""What Packer says of templates, as problems that a person can act on."""

from pathlib import Path

import pytest

from imagekit.build.packer.tool import PackerTool
from imagekit.build.packer.validate import check_format, read_diagnostics, validate_template
from imagekit.errors import DefinitionInvalid, ToolMissing
from tests.build.packer.conftest import write_shell

_GOOD = write_shell("true")
_NEEDS = """packer {
  required_plugins {
    x = {
      version = ">= 1"
      source  = "github.com/a/x"
    }
  }
}
"""


def write_template(place: Path, text: str) -> Path:
    """Write a template directory."""
    (place / "t").mkdir()
    (place / "t/main.pkr.hcl").write_text(text)
    return place / "t"


def test_good_template_has_no_warning(packer: PackerTool, tmp_path: Path) -> None:
    """A template without mistakes is accepted, and nothing is left in the workspace."""
    template = write_template(tmp_path, _GOOD)
    workspace = tmp_path / "w"
    workspace.mkdir()
    assert validate_template(packer, template, workspace=workspace) == ()
    assert list(workspace.iterdir()) == []


def test_every_error_is_a_problem_with_its_place(packer: PackerTool, tmp_path: Path) -> None:
    """Two unknown arguments are two problems, each with file and line."""
    text = _GOOD.replace('communicator = "none"', 'communicator = "none"\n  bogus = 1').replace(
        "provisioner", 'provisioner "shell-local" {\n    wrong = 1\n  }\n  provisioner'
    )
    template = write_template(tmp_path, text)
    with pytest.raises(DefinitionInvalid) as caught:
        validate_template(packer, template, workspace=tmp_path)
    problems = caught.value.problems
    assert (
        f'{template}/main.pkr.hcl:4: Unsupported argument: An argument named "bogus" is not expected here.' in problems
    )
    assert caught.value.exit_code == 3


def test_undefined_variable_is_a_problem(packer: PackerTool, tmp_path: Path) -> None:
    """A variable without a value is named; given by the environment it is there, and no error shows it."""
    declared = 'variable "token" {\n  type = string\n}\n'
    template = write_template(tmp_path, write_shell("true", extra=declared))
    with pytest.raises(DefinitionInvalid) as caught:
        validate_template(packer, template, workspace=tmp_path)
    assert 'Unset variable "token"' in caught.value.problems[0]
    assert validate_template(packer, template, secrets={"token": "canarySecret"}, workspace=tmp_path) == ()
    (template / "main.pkr.hcl").write_text(write_shell("true", extra=declared).replace('"none"', "var.token"))
    with pytest.raises(DefinitionInvalid) as caught:
        validate_template(packer, template, secrets={"token": "canarySecret"}, workspace=tmp_path)
    assert "canarySecret" not in str(caught.value.problems)


def test_undeclared_name_in_a_variable_file_is_a_warning(packer: PackerTool, tmp_path: Path) -> None:
    """A name in a variable file that the template does not declare is a warning of one line."""
    (tmp_path / "v.json").write_text('{"unknown": 1}')
    [warning] = validate_template(
        packer, write_template(tmp_path, _GOOD), var_files=[tmp_path / "v.json"], workspace=tmp_path
    )
    assert warning.startswith('Undefined variable: The variable "unknown" was set but was not declared')
    assert "\n" not in warning


def test_only_that_names_nothing_is_an_error(packer: PackerTool, tmp_path: Path) -> None:
    """Packer calls a template valid of which `only` leaves nothing; a build of it would fail."""
    with pytest.raises(DefinitionInvalid) as caught:
        validate_template(packer, write_template(tmp_path, _GOOD), only="null.other", workspace=tmp_path)
    assert "Possible build names: [null.test]" in caught.value.problems[0]


def test_syntax_only_needs_no_values(packer: PackerTool, tmp_path: Path) -> None:
    """Only the syntax is looked at: no plugin and no value is needed, and a missing brace is found."""
    template = write_template(tmp_path, _NEEDS + 'variable "a" {\n  type = string\n}\n' + _GOOD)
    assert validate_template(packer, template, workspace=tmp_path, syntax_only=True) == ()
    (template / "main.pkr.hcl").write_text(_GOOD.removesuffix("}\n"))
    with pytest.raises(DefinitionInvalid, match="does not accept"):
        validate_template(packer, template, workspace=tmp_path, syntax_only=True)


def test_missing_plugin_is_a_missing_tool(packer: PackerTool, tmp_path: Path) -> None:
    """A plugin that the template asks for and that is not there has exit code 9 and the command that brings it."""
    template = write_template(tmp_path, _NEEDS + _GOOD)
    with pytest.raises(ToolMissing, match=r"github\.com/a/x >= 1") as caught:
        validate_template(packer, template, workspace=tmp_path)
    assert f"{packer.program} init {template}" in str(caught.value.hint)
    (template / "main.pkr.hcl").write_text('packer {\n  required_version = ">= 99"\n}\n' + _GOOD)
    with pytest.raises(ToolMissing, match="Unsupported Packer Core version"):
        validate_template(packer, template, workspace=tmp_path)


def test_missing_directory_is_a_problem(packer: PackerTool, tmp_path: Path) -> None:
    """A template directory that is not there is a mistake of the definition; an empty one too."""
    with pytest.raises(DefinitionInvalid, match="is not there"):
        validate_template(packer, tmp_path / "absent", workspace=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DefinitionInvalid) as caught:
        validate_template(packer, tmp_path / "empty", workspace=tmp_path)
    assert len(caught.value.problems) == 1


def test_format_is_checked(packer: PackerTool, tmp_path: Path) -> None:
    """Files that `packer fmt` would change are named; one that does not parse is an error."""
    template = write_template(tmp_path, _GOOD.lstrip())
    assert check_format(packer, template, tmp_path) == ()
    (template / "ugly.pkr.hcl").write_text("locals {\na=1\n}\n")
    assert check_format(packer, template, tmp_path) == ("ugly.pkr.hcl",)
    (template / "ugly.pkr.hcl").write_text("locals {\n")
    with pytest.raises(DefinitionInvalid):
        check_format(packer, template, tmp_path)


def test_wrapped_diagnostics_become_lines() -> None:
    """Diagnostics as Packer wraps them are cut apart, joined again, and keep their places."""
    text = """Error: Unsupported argument

  on a.pkr.hcl line 11:
  (source code not available)

An argument named "bogus" is not expected here.

Warning: something that is long enough to
be wrapped

  on b.pkr.hcl line 4, in source "null" "x":
   4: build {

There is no closing brace for this block before the end of the file. This may be
caused by incorrect brace nesting elsewhere in this file.

"""
    first, second = read_diagnostics(text, Path("/t"))
    assert first.describe() == '/t/a.pkr.hcl:11: Unsupported argument: An argument named "bogus" is not expected here.'
    assert first.error
    assert not second.error
    assert second.describe().startswith(
        "/t/b.pkr.hcl:4: something that is long enough to be wrapped: There is no closing brace for this block before"
    )


def test_text_of_another_form_is_one_error() -> None:
    """What is no diagnostic is told as it is."""
    [only] = read_diagnostics('"x": stat x: no such file or directory', Path("/t"))
    assert only.describe() == '"x": stat x: no such file or directory'
    assert list(read_diagnostics("", Path("/t"))) == []
