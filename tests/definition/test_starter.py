"""The file that ``imagekit init`` writes, and the reference of every key, agree with the parser."""

import re
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from imagekit.cluster import Placement
from imagekit.definition import (
    FileEntry,
    ImageDefinition,
    NixBuild,
    PackerBuild,
    Site,
    SshPolicy,
    User,
    VerifyPolicy,
    make_sd_image,
    read_project,
    render_starter,
)
from imagekit.definition.cluster_table import CLUSTER
from imagekit.definition.image_table import CARD_TABLES, TABLES
from imagekit.definition.model import Base
from imagekit.definition.read import name_field
from imagekit.definition.starter import render_value

_REFERENCE = Path(__file__).parent.parent.parent / "docs" / "definition.md"
_HEADER = re.compile(r"#?\[+(?:images\.(?:template|pihole)\.?)?(\w*)\]+")
_SETTING = re.compile(r"#(\w+) = ")
_NOUNS = {
    "": ImageDefinition,
    "base": Base,
    "ssh": SshPolicy,
    "verify": VerifyPolicy,
    "packer": PackerBuild,
    "files": FileEntry,
    "users": User,
    "nix": NixBuild,
    "site": Site,
}


_TEMPLATE, _, _CARD = render_starter().partition("# The SD image of a Pi-hole")


def _list_settings(text: str = _TEMPLATE) -> list[tuple[str, str]]:
    """Return table and key of every commented setting of the starter, in order."""
    table, found = "", []
    for line in text.splitlines():
        if header := _HEADER.fullmatch(line):
            table = header.group(1)
        elif setting := _SETTING.match(line):
            found.append((table, setting.group(1)))
    return found


def _uncomment(wanted: set[tuple[str, str]]) -> str:
    """Return the starter with the settings ``wanted`` in force, and the headers of their tables."""
    builder = "packer" if any(name == "packer" for name, _ in wanted) else "local"
    table, lines = "", []
    for line in _TEMPLATE.splitlines():
        if header := _HEADER.fullmatch(line):
            table = header.group(1)
            line = line.lstrip("#") if any(name == table for name, _ in wanted) else line
        elif (setting := _SETTING.match(line)) and (table, setting.group(1)) in wanted:
            line = line[1:]
            if setting.group(1) == "features" and ("promtail", "loki_url") in wanted:
                line = 'features = ["promtail"]'
            if setting.group(1) == "builder":
                line = f'builder = "{builder}"'
        lines.append(line)
    return "\n".join(lines)


def _read(directory: Path, text: str) -> ImageDefinition:
    for name in ("promtail.deb", "motd.txt", "site.yml", "provision.sh"):
        (directory / name).touch()
    (directory / "packer").mkdir(exist_ok=True)
    (directory / "imagekit.toml").write_text(text)
    return read_project(directory).find_image("template")


def test_starter_means_the_default(tmp_path: Path) -> None:
    """The starter as it is written defines exactly the built-in image."""
    image = _read(tmp_path, render_starter())
    assert image == read_project(tmp_path.parent).find_image("template")
    assert image == ImageDefinition("template")
    assert read_project(tmp_path).find_image("pihole") == make_sd_image("pihole")
    assert read_project(tmp_path).cluster is None


def test_starter_shows_every_key() -> None:
    """Every key that the parser knows is in the starter once, under its table and with a line that says why."""
    tables = {table: noun for table, noun in TABLES.items() if "." not in table}  # those are shown on one line
    expected = {(table, key) for table, noun in tables.items() for key in noun.keys if table or key not in TABLES}
    expected |= {("cluster", key) for key in CLUSTER.keys}
    found = _list_settings()
    assert set(found) == expected
    assert len(found) == len(set(found))
    lines = _TEMPLATE.splitlines()
    for number, line in enumerate(lines):
        if _SETTING.match(line) and not _SETTING.match(lines[number - 1]):
            assert lines[number - 1].startswith("# "), line


def test_starter_shows_every_key_of_a_card() -> None:
    """Every key of an SD image is in the starter once, but for its kind, which is in force, and the checks' policy."""
    found = _list_settings(_CARD)
    expected = {(table, key) for table in ("nix", "site") for key in CARD_TABLES[table].keys}
    expected |= {("", key) for key in CARD_TABLES[""].keys if key not in CARD_TABLES and key != "kind"}
    assert set(found) == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize(("table", "key"), _list_settings(_CARD))
def test_each_key_of_a_card_can_be_uncommented(tmp_path: Path, table: str, key: str) -> None:
    """Removing one '#' leaves a valid file; a value that has a default stays the default."""
    (tmp_path / "pihole").mkdir()
    (tmp_path / "pihole" / "flake.nix").touch()
    at, lines = "", []
    for line in _CARD.splitlines():
        if header := _HEADER.fullmatch(line):
            at = header.group(1)
        setting = _SETTING.match(line)
        lines.append(line[1:] if setting and (at, setting.group(1)) == (table, key) else line)
    (tmp_path / "imagekit.toml").write_text("# The SD image" + "\n".join(lines))
    project = read_project(tmp_path)
    assert project.origins[".".join(filter(None, ("images.pihole", table, key)))] != "default"
    if key not in ("flake", "ssh_keys"):
        assert project.find_image("pihole") == make_sd_image("pihole")


@pytest.mark.parametrize(("table", "key"), _list_settings())
def test_each_key_can_be_uncommented(tmp_path: Path, table: str, key: str) -> None:
    """Removing one '#' leaves a valid file; a value that has a default stays the default."""
    wanted = {(table, key)}
    match table:
        case "packer":
            wanted |= {("", "builder")} | ({("packer", "template")} if key in ("only", "vars") else set())
            if key in ("source", "template"):
                assert _read(tmp_path, _uncomment(wanted)).packer != PackerBuild()
                return
        case "cluster":
            _read(tmp_path, _uncomment(wanted))
            cluster = read_project(tmp_path).cluster
            assert cluster is not None
            assert list(cluster.origins) == [key]
            if key in ("storage", "iso_storage", "bridge", "vlan", "build_ids"):  # these are shown with their defaults
                assert getattr(cluster, key) == getattr(Placement(node=""), key)
            return
        case "promtail":
            wanted |= {("promtail", "loki_url"), ("promtail", "package"), ("", "features")}
        case "files":
            wanted |= {("files", "path")} | ({("files", "content")} if key != "source" else set())
        case "users":
            wanted |= {("users", "name"), ("users", "ssh_keys")}
        case _:
            assert _read(tmp_path, _uncomment(wanted)) == ImageDefinition("template")
            assert read_project(tmp_path).origins[".".join(filter(None, ("images.template", table, key)))] != "default"
            return
    image = _read(tmp_path, _uncomment(wanted))
    made = getattr(image, table)
    noun = made[0] if isinstance(made, tuple) else made
    defaults = {field.name: field.default for field in fields(noun)}
    if table == "packer":
        assert getattr(noun, name_field(key)) != getattr(PackerBuild(), name_field(key))
    elif key not in ("content", "source", "ssh_keys") and defaults[key] is not MISSING:
        assert getattr(noun, key) == defaults[key]
    assert getattr(noun, name_field(key)) is not None


def test_render_value_refuses_nouns() -> None:
    """What has no form on one line is a mistake in the starter, not text that TOML would misread."""
    with pytest.raises(TypeError, match="ssh"):
        render_value("ssh", SshPolicy())


def _read_reference() -> dict[str, dict[str, str]]:
    """Return the documented keys and their default cells, by table."""
    found: dict[str, dict[str, str]] = {}
    table = ""
    for line in _REFERENCE.read_text().splitlines():
        if header := re.fullmatch(r"## `\[+(?:images\.NAME\.?)?([\w.]*)\]+`", line):
            table = header.group(1)
        elif row := re.match(r"\| `(\w+)` \| [^|]+ \| ([^|]+) \| [^|]+\.\s*\|$", line):
            found.setdefault(table, {})[row.group(1)] = row.group(2)
    return found


def test_reference_documents_every_key() -> None:
    """The reference has each key of the parser's tables and no other; a card shares its keys with templates."""
    assert {table: set(keys) for table, keys in _read_reference().items()} == {
        table: set(noun.keys) for table, noun in {**CARD_TABLES, **TABLES, "cluster": CLUSTER}.items()
    }
    assert set(CARD_TABLES[""].keys) - {"nix", "site"} <= set(TABLES[""].keys)


def test_reference_states_true_defaults() -> None:
    """A default in the reference is the one that the noun has, and what is required has none."""
    for table, keys in _read_reference().items():
        if table == "cluster" or table.startswith("packer."):
            continue  # none of these has a default of its own
        for key, cell in keys.items():
            if cell.startswith("`"):
                noun = _NOUNS[table]
                made = noun("x") if table not in ("base", "ssh", "verify", "packer", "nix", "site") else noun()
                assert cell == f"`{render_value(key, getattr(made, key))}`", (table, key)
            else:
                required = key in {**CARD_TABLES, **TABLES}[table].required or (table, key) == ("users", "ssh_keys")
                assert (cell == "required") == required, (table, key)
