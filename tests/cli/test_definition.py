"""init, config and doctor: what there is to say before anything is built."""

import json
from pathlib import Path

import pytest

from imagekit.doctor import BOOT_TOOLS, BUILD_TOOLS
from tests.cli.conftest import Program


def test_what_init_writes_means_the_defaults(program: Program) -> None:
    """The starter file is found by config, and changes no value of the built-in project."""
    before = {key: value["value"] for key, value in program("config", "--json").json()["values"].items()}
    path = program("init").output.rstrip("\n")
    assert Path(path).is_file()
    after = program("config", "--json").json()
    assert {key: value["value"] for key, value in after["values"].items()} == before
    assert after["path"] == path


def test_config_tells_where_a_value_is_from(program: Program) -> None:
    """Each value is shown with its line in the file, or as a default; the document says the same."""
    Path("imagekit.toml").write_text('[images.web]\nsize = "4G"\n')
    (line,) = [line for line in program("config").output.splitlines() if line.startswith("images.web.size ")]
    assert line.split() == ["images.web.size", str(4 << 30), "imagekit.toml:2"]
    document = program("config", "--json").json()
    assert document["values"]["images.web.size"] == {"value": 4 << 30, "origin": "imagekit.toml:2"}
    assert document["values"]["images.web.vm_id"]["origin"] == "default"


_CANARY = "c0ffee00-feed-4bad-8bad-canary000005"


def test_config_shows_the_cluster(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster's values in force stand below the images, each with its origin; the secret's value is nowhere."""
    assert program("config", "--json").json()["cluster"] is None
    assert "cluster." not in program("config").output
    Path("imagekit.toml").write_text('[images.web]\n[cluster]\nurl = "https://pve.example"\nstorage = "tank"\n')
    monkeypatch.setenv("PROXMOX_TOKEN_ID", "imagekit@pve!build")
    monkeypatch.setenv("PROXMOX_TOKEN_SECRET", _CANARY)
    monkeypatch.setenv("PROXMOX_INSECURE", "true")
    said = program("config")
    rows = {line.split()[0]: line.split()[1:] for line in said.output.splitlines()}
    assert rows["cluster.url"] == ['"https://pve.example:8006"', "imagekit.toml:3"]
    assert rows["cluster.storage"] == ['"tank"', "imagekit.toml:4"]
    assert rows["cluster.tls"] == ['"insecure"', "PROXMOX_INSECURE"]
    assert rows["cluster.token_secret"] == ["(not", "shown)", "PROXMOX_TOKEN_SECRET"]
    assert rows["cluster.bridge"] == ['"vmbr0"', "default"]
    document = program("config", "--json").json()
    assert document["cluster"]["cluster.token_id"] == {"value": "imagekit@pve!build", "origin": "PROXMOX_TOKEN_ID"}
    assert document["cluster"]["cluster.token_secret"] == {"value": None, "origin": "PROXMOX_TOKEN_SECRET"}
    assert _CANARY not in said.output + said.errors + json.dumps(document)


def test_config_tells_what_is_wrong_with_the_cluster(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistakes about the cluster end with the exit code of mistakes; what is only missing is shown as that."""
    monkeypatch.setenv("PROXMOX_URL", "https://pve.example")
    assert program("config").output.count("missing") == 2
    monkeypatch.setenv("PROXMOX_TOKEN_ID", f"imagekit@pve!build={_CANARY}")
    said = program("config", status=3)
    assert "PROXMOX_TOKEN_ID: has more than an id" in said.errors
    assert _CANARY not in said.output + said.errors
    Path("imagekit.toml").write_text(f'[cluster]\ntoken_secret = "{_CANARY}"\n')
    said = program("config", status=3)
    assert "imagekit.toml:2: cluster.token_secret: holds a secret" in said.errors
    assert _CANARY not in said.output + said.errors


def test_doctor_looks_at_every_tool(program: Program) -> None:
    """Each tool of a build and a boot has a line; a machine that can do all of it ends with 0."""
    said = program("doctor")
    assert said.errors == ""
    table = said.output.partition("\n\n")[0]  # long advice is below it
    lines = {line.split()[1]: line for line in table.splitlines()[1:]}
    for tool in (*BUILD_TOOLS, *BOOT_TOOLS):
        assert lines[tool].startswith("ok ")
    abilities = program("doctor", "--json").json()["abilities"]
    assert {"subject", "ok", "found", "note", "required"} == set(abilities[0])
    assert len(abilities) == len(table.splitlines()) - 1


def test_doctor_names_what_is_missing(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing tool is marked, its package is named, and the exit code is that of a missing tool."""
    monkeypatch.setattr("imagekit.doctor.find_tool", lambda name, required: "" if name == "mmdebstrap" else name)
    said = program("doctor", status=9)
    (line,) = [line for line in said.output.splitlines() if "mmdebstrap" in line]
    assert line.split()[:3] == ["MISSING", "mmdebstrap", "missing"]
    assert "mmdebstrap" in line.split("missing")[1]
    document = json.loads(program("doctor", "--json", status=9).output)
    assert [one["subject"] for one in document["abilities"] if not one["ok"] and one["required"]] == ["mmdebstrap"]
