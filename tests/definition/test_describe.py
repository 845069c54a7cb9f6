"""Definitions as JSON documents."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from imagekit.definition import (
    ImageDefinition,
    NixBuild,
    Site,
    describe_image,
    describe_project,
    make_sd_image,
    read_project,
)
from imagekit.errors import DefinitionInvalid

_TEXT = """
[images.template]
features = ["promtail"]
promtail = { loki_url = "http://loki/", package = "deb/p.deb" }
[[images.template.files]]
path = "/etc/motd"
source = "motd.txt"
"""


def _make_project(directory: Path) -> Path:
    (directory / "deb").mkdir(parents=True)
    (directory / "deb" / "p.deb").write_bytes(b"abc")
    (directory / "motd.txt").write_bytes(b"")
    (directory / "imagekit.toml").write_text(_TEXT)
    return directory


def test_description_is_complete_json() -> None:
    """Every field that says something of its kind is in a definition's description, as plain JSON."""
    document = describe_image(ImageDefinition("template"))
    assert list(document) == [field.name for field in fields(ImageDefinition) if field.name not in ("nix", "site")]
    assert json.loads(json.dumps(document)) == document
    assert document["size"] == 2 << 30
    assert document["base"] == {"distribution": "debian", "release": "bookworm"}
    assert document["promtail"] is None
    assert type(document["kind"]) is str


def test_description_of_a_card_has_its_site(tmp_path: Path) -> None:
    """An SD image is described by its flake and its site, without what only templates have."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "flake.nix").touch()
    card = make_sd_image("pihole", nix=NixBuild(flake=tmp_path / "mine"), site=Site())
    document = describe_image(card)
    assert json.loads(json.dumps(document)) == document
    assert document["nix"] == {"flake": {"name": "mine"}, "attribute": "pihole-image", "configuration": "pihole"}
    site = document["site"]
    assert isinstance(site, dict)
    assert (site["address"], site["dns"]) == ("192.168.0.53/24", ["9.9.9.9", "1.1.1.1"])
    assert "size" not in document
    assert "vm_id" not in document


def test_description_is_the_same_everywhere(tmp_path: Path) -> None:
    """The same project in another directory has the same description: files stand as name and digest."""
    one, two = (read_project(_make_project(tmp_path / name)).find_image("template") for name in ("one", "two"))
    assert describe_image(one) == describe_image(two)
    assert str(tmp_path) not in json.dumps(describe_image(one))
    assert describe_image(one)["promtail"] == {
        "loki_url": "http://loki/",
        "package": {"name": "p.deb", "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    }
    assert describe_image(one)["files"] == [
        {
            "path": "/etc/motd",
            "content": None,
            "source": {
                "name": "motd.txt",
                "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            },
            "mode": "0644",
            "owner": "root",
            "group": "root",
        }
    ]
    (two.files[0].source or Path()).write_text("changed")
    assert describe_image(one) != describe_image(two)


_PACKER = """
[images.template]
builder = "packer"
[images.template.packer]
iso = { path = "media/netinst.iso", sha256 = "%s" }
playbook = "site.yml"
scripts = ["b.sh", "a.sh"]
[images.own]
vm_id = 9001
builder = "packer"
[images.own.packer]
template = "mine"
only = "qemu.*"
vars = { z = 1, a = { y = [1, 2.5, true], b = "x" } }
"""


def _make_packer_project(directory: Path) -> Path:
    (directory / "mine" / "http").mkdir(parents=True)
    for name in ("site.yml", "a.sh", "b.sh", "mine/build.pkr.hcl", "mine/http/user-data"):
        (directory / name).write_bytes(b"abc")
    (directory / "imagekit.toml").write_text(_PACKER % ("AB" * 32))
    return directory


def test_packer_is_described(tmp_path: Path) -> None:
    """What Packer runs is there as names and digests, a medium with the digest that it must have, variables sorted."""
    project = read_project(_make_packer_project(tmp_path / "one"))
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    described = describe_image(project.find_image("template"))
    assert json.loads(json.dumps(described)) == described
    assert described["packer"] == {
        "source": None,
        "disk": None,
        "iso": {"sha256": "ab" * 32, "path": "netinst.iso", "url": None, "volume": None},
        "clone": None,
        "playbook": {"name": "site.yml", "sha256": abc},
        "scripts": [{"name": "b.sh", "sha256": abc}, {"name": "a.sh", "sha256": abc}],
        "template": None,
        "only": "",
        "variables": {},
    }
    own = describe_image(project.find_image("own"))
    again = describe_image(read_project(_make_packer_project(tmp_path / "two")).find_image("own"))
    assert json.dumps(own) == json.dumps(again)
    assert str(tmp_path) not in json.dumps(own)
    packer = own["packer"]
    assert isinstance(packer, dict)
    assert packer["template"]["name"] == "mine"
    assert json.dumps(packer["variables"]) == '{"a": {"b": "x", "y": [1, 2.5, true]}, "z": 1}'
    (tmp_path / "one" / "mine" / "http" / "user-data").write_bytes(b"abd")
    assert describe_image(project.find_image("own")) != again


def test_project_shows_packer_as_it_is_on_this_machine(tmp_path: Path) -> None:
    """The document of a project has whole paths and reads no medium."""
    directory = _make_packer_project(tmp_path / "one")
    values = describe_project(read_project(directory))["values"]
    assert isinstance(values, dict)
    assert json.loads(json.dumps(values)) == values
    assert values["images.template.packer.playbook"] == {
        "value": str(directory / "site.yml"),
        "origin": "imagekit.toml:6",
    }
    assert values["images.template.packer.iso"]["value"]["path"] == str(directory / "media" / "netinst.iso")
    assert values["images.own.packer.vars"]["value"]["z"] == 1
    assert values["images.own.packer.vars"]["origin"] == "imagekit.toml:14"


def test_file_that_went_away(tmp_path: Path) -> None:
    """A source that is gone since the definition was read is an error with its name."""
    image = read_project(_make_project(tmp_path / "one")).find_image("template")
    (tmp_path / "one" / "motd.txt").unlink()
    with pytest.raises(DefinitionInvalid, match=r"motd\.txt cannot be read"):
        describe_image(image)


def test_project_has_values_with_origins(tmp_path: Path) -> None:
    """The document of a project has each value with its origin, and the same keys whatever is set."""
    document = describe_project(read_project(_make_project(tmp_path / "one")))
    built_in = describe_project(read_project(tmp_path))
    assert json.loads(json.dumps(document)) == document
    assert document["schema_version"] == 1
    assert document["path"] == str(tmp_path / "one" / "imagekit.toml")
    assert built_in["path"] is None
    values, defaults = document["values"], built_in["values"]
    assert isinstance(values, dict)
    assert isinstance(defaults, dict)
    assert list(values) == [key for key in defaults if key.startswith("images.template.")]
    assert values["images.template.features"] == {"value": ["promtail"], "origin": "imagekit.toml:3"}
    assert values["images.template.promtail.loki_url"] == {"value": "http://loki/", "origin": "imagekit.toml:4"}
    assert values["images.template.promtail.package"]["value"] == str(tmp_path / "one" / "deb" / "p.deb")
    assert defaults["images.template.promtail.package"] == {"value": None, "origin": "default"}
    assert values["images.template.vm_id"] == {"value": 9000, "origin": "default"}
