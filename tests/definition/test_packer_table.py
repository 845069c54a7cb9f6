"""What [images.NAME.packer] takes: media, templates to clone, scripts, and variables that nobody changes afterwards."""

import json
from pathlib import Path

import pytest

from imagekit.definition import PackerBuild, read_project
from tests.definition.samples import SECRET, Refuse

_SHA = f'sha256 = "{"AB" * 32}"'


def _read(directory: Path, lines: str) -> PackerBuild:
    text = f"[images.template]\nbuilder = 'packer'\n[images.template.packer]\n{lines}\n"
    (directory / "imagekit.toml").write_text(text)
    return read_project(directory).find_image("template").packer


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('source = "qemo"', "or \"proxmox-iso\" or \"proxmox-clone\"; did you mean 'qemu'?"),
        ("source = 1", "source: expected a string"),
        (f'disk = {{ volume = "local:iso/d.iso", path = "d", {_SHA} }}', "disk.volume: unknown key"),
        (f'disk = {{ url = "ftp://m.example/d", {_SHA} }}', "disk.url: 'ftp://m.example/d' is not an http or https"),
        (f'disk = {{ url = "https://me:{SECRET}@m.example/d", {_SHA} }}', "disk.url: carries a user or password"),
        ('disk = { path = "d", sha256 = "sha256:ab" }', "disk.sha256: 'sha256:ab' is not a SHA-256 digest"),
        (f'disk = {{ path = "media/", {_SHA} }}', "disk.path: 'media/' is not a file's name"),
        (f'disk = {{ path = "~no-such-account/d", {_SHA} }}', "disk.path: '~no-such-account/d' names the home"),
        ('iso = { volume = "debian.iso" }', "iso.volume: 'debian.iso' is not a medium on a storage"),
        ('iso = { volume = "local:iso/../x.iso" }', "is not a medium on a storage"),
        ('iso = { volume = "local:backup/x.iso" }', "is not a medium on a storage"),
        ("clone = 99", "clone: the integer 99 is out of range"),
        ("clone = true", "clone: expected an integer, found the boolean true"),
        ('clone = "8000"', "clone: '8000' would be a name; write a VM id without quotes"),
        ('clone = "a_b"', "clone: 'a_b' cannot name a template"),
        ('clone = "-a"', "clone: '-a' cannot name a template"),
        ('playbook = "absent.yml"', "playbook: 'absent.yml' is not a file in"),
        ('scripts = "a.sh"', "scripts: expected an array"),
        ('scripts = ["imagekit.toml", "imagekit.toml"]', "is there twice"),
        ('template = "absent"', "template: 'absent' is not a directory in"),
        ('template = "imagekit.toml"', "template: 'imagekit.toml' is not a directory in"),
        ('template = ""', "template: '' is not a directory's name"),
        ('template = "."\nonly = "-force"', "only: '-force' does not name builds"),
        ('template = "."\nonly = "a b"', "only: 'a b' does not name builds"),
        ('template = "."\nvars = 1', "vars: expected a table of variables, found the integer 1"),
        ('template = "."\nvars = { "a.b" = 1 }', "cannot name a variable of Packer"),
        ('template = "."\nvars = { a = [1, nan] }', "a[1] is nan, which JSON cannot say"),
        ('template = "."\nvars = { a = { b = 2027-01-31 } }', "a.b is a date or time, which JSON cannot say"),
        ('template = "."\nvars = { a = "-----BEGIN PRIVATE KEY-----" }', "vars.a: holds a private key"),
        (f'template = "."\nvars = {{ proxmox_token = "{SECRET}" }}', "set PKR_VAR_proxmox_token in the environment"),
        (f'template = "."\nvars = {{ password = "{SECRET}" }}', "vars.password: a secret would be kept"),
        ('passwort = "x"', "packer.passwort: templates carry no passwords"),
    ],
)  # fmt: skip
def test_wrong_value(refuse: Refuse, line: str, said: str) -> None:
    """A wrong value is the one problem that is told, at its key, and never with a secret."""
    (problem,) = refuse(f"[images.template]\nbuilder = 'packer'\n[images.template.packer]\n{line}\n")
    assert problem.startswith("imagekit.toml:")
    assert said in problem


def test_deep_variables(refuse: Refuse) -> None:
    """Variables that are nested beyond reason are refused, not followed to the end of the stack."""
    (problem,) = refuse(
        f"[images.template]\nbuilder='packer'\npacker = {{ template = '.', vars = {{ a = {'[' * 20}{']' * 20} }} }}"
    )
    assert problem == "imagekit.toml:3: images.template.packer.vars.a: is nested too deeply"


def test_medium_need_not_be_there(tmp_path: Path) -> None:
    """A large file may be on another machine: its path is taken as it is, its digest in small letters."""
    packer = _read(tmp_path, f'disk = {{ path = "~/media/d.qcow2", {_SHA} }}')
    assert packer.disk is not None
    assert packer.disk.path == Path.home() / "media" / "d.qcow2"
    assert packer.disk.sha256 == "ab" * 32
    packer = _read(tmp_path, f'iso = {{ url = "http://m.example/d.iso", {_SHA} }}')
    assert packer.iso is not None
    assert packer.iso.url == "http://m.example/d.iso"
    assert _read(tmp_path, 'iso = { volume = "nfs-1:iso/debian-12.1.iso" }').iso is not None


@pytest.mark.parametrize("clone", [100, 999_999_999, "debian-12", "base.lab"])
def test_template_to_clone(tmp_path: Path, clone: int | str) -> None:
    """A template is named by its number or by its name."""
    assert _read(tmp_path, f"clone = {json.dumps(clone)}").clone == clone


def test_variables_are_read_only(tmp_path: Path) -> None:
    """A variable is what JSON can say; nobody changes it in the definition, and a copy is what JSON writes."""
    packer = _read(
        tmp_path, 'template = "."\nvars = { n = 1, f = 2.5, t = true, s = "x", l = [1, { k = [2] }], token_id = "a" }'
    )
    expected = {"n": 1, "f": 2.5, "t": True, "s": "x", "l": [1, {"k": [2]}], "token_id": "a"}
    assert packer.copy_variables() == expected
    assert json.loads(json.dumps(packer.copy_variables())) == expected
    with pytest.raises(TypeError):
        packer.variables["n"] = 2  # type: ignore[index] # that is what is tested
    items = packer.variables["l"]
    assert isinstance(items, tuple)
    with pytest.raises(TypeError):
        items[1]["k"] = 3
    assert isinstance(hash(packer), int)
