"""What is known to be wrong before Packer runs: all of the lint's errors first, then Packer's own, then warnings."""

from pathlib import Path

import pytest

from imagekit.build.packer.check import check_template
from imagekit.build.packer.tool import PackerTool
from imagekit.errors import DefinitionInvalid, ExitCode
from tests.build.packer.conftest import write_shell

_REQUIRES = 'packer {\n  required_version = ">= 1.14.0"\n}\n'
_UNKNOWN = '\nlocals {\n  x = nothing("here")\n}\n'  # only Packer knows which functions there are
_NO_PLUGIN = """
source "qemu" "web" {
  iso_url          = "/nowhere/disk.img"
  iso_checksum     = "none"
  disk_image       = true
  output_directory = "/nowhere/output"
}
build {
  sources = ["source.qemu.web"]
}
"""


def write_template(place: Path, text: str) -> Path:
    """Write a template directory."""
    (place / "t").mkdir(exist_ok=True)
    (place / "t" / "main.pkr.hcl").write_text(text)
    return place / "t"


def test_good_template_has_nothing_to_tell(packer: PackerTool, tmp_path: Path) -> None:
    """A template without mistakes is worth no warning."""
    template = write_template(tmp_path, write_shell("true", extra=_REQUIRES))
    assert check_template(packer, template, {}, [], workspace=tmp_path) == ()


def test_warnings_do_not_stop(packer: PackerTool, tmp_path: Path) -> None:
    """What the lint only warns of is returned, a line each with file, line and rule."""
    template = write_template(tmp_path, write_shell("true"))
    (warning,) = check_template(packer, template, {}, [], workspace=tmp_path)
    assert warning.startswith(f"{template}/main.pkr.hcl:1: warning: ")
    assert warning.endswith("[required-version]")


def test_lint_is_first_and_tells_all(packer: PackerTool, tmp_path: Path) -> None:
    """With errors of the lint Packer is not asked: it would stop at its own first, and needs its plugins for that.
    Every error is told, and no warning among them.
    """
    template = write_template(tmp_path, _NO_PLUGIN + _UNKNOWN)
    with pytest.raises(DefinitionInvalid, match="would fail late") as caught:
        check_template(packer, template, {}, [], workspace=tmp_path)
    problems = caught.value.problems
    assert len(problems) > 1
    assert all(": error: " in problem for problem in problems)
    assert any("[qemu-image-missing]" in problem for problem in problems)
    assert caught.value.exit_code is ExitCode.DEFINITION
    assert "docs/packer-lint.md" in str(caught.value.hint)


def test_packer_is_asked_after_the_lint(packer: PackerTool, tmp_path: Path) -> None:
    """What only Packer knows to be wrong is told by Packer, when the lint has no error; warnings go under then."""
    template = write_template(tmp_path, write_shell("true", extra=_UNKNOWN))
    with pytest.raises(DefinitionInvalid) as caught:
        check_template(packer, template, {}, [], workspace=tmp_path)
    assert any("nothing" in problem for problem in caught.value.problems)
    assert not any("required-version" in problem for problem in caught.value.problems)


def test_missing_checksum_of_our_own_disk_is_expected(packer: PackerTool, tmp_path: Path) -> None:
    """Packer's complaint that a disk made a moment ago has no checksum is no news, and its others are."""
    disk = tmp_path / "disk.img"
    disk.touch()
    text = _NO_PLUGIN.replace("/nowhere", str(tmp_path)).replace(
        "disk_image ",
        'communicator = "none"\n  disk_size = "1G"\n  accelerator = "tcg"\n  efi_boot = true\n  efi_firmware_code = '
        '"/usr/share/OVMF/OVMF_CODE_4M.fd"\n  efi_firmware_vars = "/usr/share/OVMF/OVMF_VARS_4M.fd"\n  disk_image ',
    )
    plugin = 'qemu = {\n      source  = "github.com/hashicorp/qemu"\n      version = ">= 1.0.9"\n    }'
    needs = f"  required_plugins {{\n    {plugin}\n  }}\n}}\n"
    template = write_template(tmp_path, _REQUIRES.removesuffix("}\n") + needs + text)
    (tmp_path / "v.json").write_text('{"unknown": 1}')
    said = check_template(packer, template, {}, [tmp_path / "v.json"], workspace=tmp_path)
    assert not any("checksum" in line and "specified" in line for line in said)
    assert any("unknown" in line for line in said)


def test_secret_is_in_no_message(packer: PackerTool, tmp_path: Path) -> None:
    """A secret that Packer gets by its environment is in no problem, not even where Packer shows the value."""
    extra = (
        'variable "token" {\n  type = string\n  sensitive = true\n  validation {\n'
        '    condition = length(var.token) < 3\n    error_message = "Too long."\n  }\n}\n'
    )
    template = write_template(tmp_path, write_shell("echo ${var.token}", extra=_REQUIRES + extra))
    with pytest.raises(DefinitionInvalid) as caught:
        check_template(packer, template, {}, [], workspace=tmp_path, secrets={"token": "canarySecret"})
    assert "canarySecret" not in str(caught.value.problems) + str(caught.value) + str(caught.value.hint)
