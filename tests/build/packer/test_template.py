"""A directory becomes sources as they will be built, with the values that the template and the caller give."""

import os
import time
from pathlib import Path

import pytest

from imagekit.build.packer.template import Template, read_template
from imagekit.build.packer.values import UNKNOWN
from imagekit.errors import DefinitionInvalid


def read(directory: Path, text: str, **values: object) -> Template:
    """Read a template of one file."""
    (directory / "t.pkr.hcl").write_text(text)
    return read_template(directory, values)


def settle(directory: Path, expression: str, more: str = "", **values: object) -> object:
    """Return what one expression in a source comes to."""
    text = f'source "qemu" "t" {{\n  x = {expression}\n}}\n{more}'
    return read(directory, text, **values).sources[0].block.get("x")


_VARIABLE = 'variable "a" {\n  type = string\n  default = "one"\n}\n'


@pytest.mark.parametrize(
    ("expression", "more", "value"),
    [
        ("var.a", _VARIABLE, "one"),
        ('"${var.a}-${local.b}"', _VARIABLE + 'locals {\n  b = [1, 2]\n}\n', UNKNOWN),
        ('"${var.a}-${local.b[1]}"', _VARIABLE + 'locals {\n  b = [1, 2]\n}\n', "one-2"),
        ("local.b.c", 'locals {\n  b = { c = { d = true } }\n}\n', {"d": True}),
        ("local.b", 'local "b" {\n  expression = "x"\n}\n', "x"),
        ("local.b", "locals {\n  b = local.c\n  c = local.b\n}\n", UNKNOWN),
        ("var.a", 'variable "a" {\n}\n', UNKNOWN),
        ("var.a", 'variable "a" {\n  default = env("HOME")\n}\n', UNKNOWN),
        ("var.a", 'variable "a" {\n  type = number\n  default = "9"\n}\n', 9),
        ("var.a", 'variable "a" {\n  type = string\n  default = 9000\n}\n', "9000"),
        ("var.a", 'variable "a" {\n  default = "x"\n  sensitive = true\n}\n', UNKNOWN),
        ("data.amazon-ami.x.id", "", UNKNOWN),
        ("null", "", None),
        ('""', "", None),
    ],
)  # fmt: skip
def test_value_is_computed(expression: str, more: str, value: object, tmp_path: Path) -> None:
    """Variables, locals and strings of them are computed; what only Packer knows is unknown."""
    assert settle(tmp_path, expression, more) == value


def test_values_win_over_files_and_files_over_defaults(tmp_path: Path) -> None:
    """Packer's order of values is kept."""
    more = _VARIABLE + 'variable "b" {\n  default = 1\n}\nvariable "c" {\n  default = 1\n}\n'
    (tmp_path / "x.auto.pkrvars.hcl").write_text("b = 2\nc = 2\n")
    (tmp_path / "y.auto.pkrvars.json").write_text('{"c": 3}')
    assert settle(tmp_path, "[var.a, var.b, var.c]", more, a="given") == ("given", 2, 3)


def test_path_of_the_template_is_known(tmp_path: Path) -> None:
    """``path.root`` is the directory."""
    assert settle(tmp_path, '"${path.root}/x"') == f"{tmp_path}/x"


def test_build_has_its_own_say(tmp_path: Path) -> None:
    """What a build's source block says lies on top of the source, under the build's names."""
    text = """
source "qemu" "t" {
  memory = 1
  cpus   = 1
}
build {
  name    = "first"
  sources = ["source.qemu.t"]
  source "qemu.t" {
    name   = "big"
    memory = 2
  }
}
"""
    template = read(tmp_path, text)
    assert [build.full_name for build in template.builds] == ["first.qemu.t", "first.qemu.big"]
    assert [(build.block.get("memory"), build.block.get("cpus")) for build in template.builds] == [(1, 1), (2, 1)]


def test_written_and_given_are_told_apart(tmp_path: Path) -> None:
    """A setting knows the variables that it is made of, and whether the file alone says it."""
    text = _VARIABLE + 'locals {\n  b = "x"\n  c = "${var.a}y"\n}\n'
    block = read(
        tmp_path, text + 'source "qemu" "t" {\n  x = local.b\n  y = local.c\n  z = upper("x")\n}\n'
    ).sources[0].block  # fmt: skip
    assert [block.settings[name].written for name in "xyz"] == [True, False, False]
    assert block.settings["y"].variables == {"a"}


def test_json_says_the_same_as_hcl(tmp_path: Path) -> None:
    """A JSON template is read by the rules of HCL's JSON syntax: labels are levels, lists are many blocks."""
    (tmp_path / "t.pkr.json").write_text(
        """{
  "packer": {"required_version": ">= 1.11.0", "required_plugins": {"q": {"version": ">= 1.0.9", "source": "x/qemu"}}},
  "variable": {"a": {"type": "string", "default": "one"}},
  "locals": {"b": "${var.a}-two"},
  "source": {"proxmox-iso": {"t": {
    "//": "a comment",
    "vm_name": "${local.b}",
    "disks": [{"type": "scsi"}, {"type": "sata"}],
    "boot_iso": {"cd_content": {"user-data": "x"}}
  }}},
  "build": [{"sources": ["source.proxmox-iso.t"]}]
}"""
    )
    template = read_template(tmp_path, {})
    (source,) = template.builds
    assert source.full_name == "proxmox-iso.t"
    assert source.block.get("vm_name") == "one-two"
    assert source.block.settings["vm_name"].line == 7
    assert [disk.read_text("type") for disk in source.block.list_blocks("disks")] == ["scsi", "sata"]
    assert source.block.list_blocks("boot_iso")[0].get("cd_content") == {"user-data": "x"}
    assert template.required_version == ">= 1.11.0"
    assert template.required_plugins["q"].constraint == ">= 1.0.9"


def test_dynamic_blocks_are_remembered(tmp_path: Path) -> None:
    """A kind of block that a ``dynamic`` one makes is not certainly absent."""
    text = 'source "qemu" "t" {\n  dynamic "a" {\n    for_each = [1]\n    content {}\n  }\n}\n'
    block = read(tmp_path, text).sources[0].block
    assert not block.lacks_block("a")
    assert block.lacks_block("b")


def test_locals_that_double_are_refused(tmp_path: Path) -> None:
    """Locals that would fill the memory of the machine end with a sentence."""
    doubling = "".join(f'  a{n + 1} = "${{local.a{n}}}${{local.a{n}}}"\n' for n in range(40))
    start = time.process_time()
    with pytest.raises(DefinitionInvalid, match="grows beyond any use"):
        settle(tmp_path, "local.a40", f'locals {{\n  a0 = "{"x" * 9000}"\n{doubling}}}\n')
    assert time.process_time() - start < 10


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A directory without a template, a FIFO, bytes that are no text and too many files end with a sentence."""
    with pytest.raises(DefinitionInvalid, match="holds no Packer template"):
        read_template(tmp_path, {})
    with pytest.raises(DefinitionInvalid, match="cannot be read as a template"):
        read_template(tmp_path / "nowhere", {})
    os.mkfifo(tmp_path / "a.pkr.hcl")
    with pytest.raises(DefinitionInvalid, match="is not a file"):
        read_template(tmp_path, {})
    (tmp_path / "a.pkr.hcl").unlink()
    (tmp_path / "a.pkr.hcl").write_bytes(b"x = \xff\n")
    with pytest.raises(DefinitionInvalid, match="not UTF-8"):
        read_template(tmp_path, {})
    for number in range(70):
        (tmp_path / f"{number}.pkr.hcl").touch()
    with pytest.raises(DefinitionInvalid, match="more than 64"):
        read_template(tmp_path, {})


def test_large_templates_are_refused(tmp_path: Path) -> None:
    """Files beyond the limits are not even parsed."""
    for name in "abc":
        (tmp_path / f"{name}.pkr.hcl").write_text("# " + "x" * 100_000)
    with pytest.raises(DefinitionInvalid, match="too large for a template"):
        read_template(tmp_path, {})
