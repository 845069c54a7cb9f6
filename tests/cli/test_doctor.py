"""``doctor``: what Packer lacks here and what a cluster lacks, as a table, as a document, and as an exit code."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagekit.host import find_tool
from tests.build.packer.test_tool import write_plugin, write_program
from tests.cli.conftest import Program

_TOKEN = "packer@pve!imagekit"
_CANARY = "5a1dca9a-4e1d-4c0f-9d6a-0ca9a57ec9e7"


@pytest.fixture
def pve(program: Program, fakepve: Any, fakepve_cafile: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster that the project names, with an image to install there and all that its build needs."""
    fakepve.apitokens[_TOKEN] = _CANARY
    fakepve.store_file("local", "debian.iso", 1 << 30)
    Path("imagekit.toml").write_text(
        "[images.template]\n"
        'builder = "packer"\n'
        'packer = {source = "proxmox-iso", iso = {volume = "local:iso/debian.iso"}}\n'
        f'[cluster]\nurl = "{fakepve.url}"\nnode = "pve1"\nca_file = "{fakepve_cafile}"\n'
    )
    monkeypatch.setenv("PROXMOX_VE_API_TOKEN", f"{_TOKEN}={_CANARY}")
    yield fakepve
    # the stand-in stops its loop without waiting for connections to end, which leaves sockets open
    deadline = time.monotonic() + 5
    while fakepve.runner.server.connections and time.monotonic() < deadline:
        time.sleep(0.002)


def test_fit(program: Program, pve: Any) -> None:
    """A cluster that has everything is fit: exit code 0, and each thing that was looked at has its row."""
    said = program("doctor", "--cluster")
    assert "MISSING" not in said.output
    rows = [line.split("  ") for line in said.output.splitlines() if line.startswith("ok")]
    assert len(rows) > 8
    assert "the lowest free one of" in said.output
    document = program("doctor", "--cluster", "--json").json()
    assert {"Proxmox VE", "node", "VM id", "storage local-lvm"} <= {one["subject"] for one in document["abilities"]}


def test_unfit(program: Program, pve: Any) -> None:
    """What is missing is marked, with what to do below the table, and the exit code is the host's."""
    pve.grant("packer@pve", "/storage/local", "Datastore.Audit")
    said = program("doctor", "--cluster", status=8)
    assert "MISSING  rights on /storage/local " in said.output
    assert "  to grant: pveum role add Imagekit-storage-local --privs" in said.output
    assert _CANARY not in said.output + said.errors
    abilities = program("doctor", "--cluster", "--json", status=8).json()["abilities"]
    assert any(one["required"] and not one["ok"] for one in abilities)


def test_image_that_is_built_elsewhere(program: Program, pve: Any) -> None:
    """Without an image for the cluster its fitness for one is looked at all the same."""
    path = Path("imagekit.toml")
    path.write_text("[images.web]\n" + path.read_text().partition("\n[cluster]")[2].join(["[cluster]", ""]))
    assert "ISO storage local" in program("doctor", "--cluster").output


def test_unreachable(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that does not answer is one row, and the exit code is the host's."""
    monkeypatch.setenv("PROXMOX_VE_ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv("PROXMOX_VE_API_TOKEN", f"{_TOKEN}={_CANARY}")
    said = program("doctor", "--cluster", status=8)
    assert "MISSING  cluster  nothing listens at 127.0.0.1:1" in said.output


def test_no_cluster(program: Program) -> None:
    """Without a cluster the variables that would name one are named."""
    said = program("doctor", "--cluster", status=3)
    assert "no cluster is configured" in said.errors
    assert "PROXMOX_VE_ENDPOINT" in said.errors
    assert "PROXMOX_VE_API_TOKEN" in said.errors


def test_no_packer(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Packer has a row that says how to get it, and does what the local builder needs: 0."""
    monkeypatch.setenv("IMAGEKIT_PACKER", "/bin/true")
    said = program("doctor")
    (row,) = [line for line in said.output.splitlines() if line.startswith("no  packer ")]
    assert "/bin/true is another program of that name" in row
    assert ".ci/setup --packer" in said.output.partition("\n\n")[2]
    subjects = {one["subject"]: one for one in program("doctor", "--json").json()["abilities"]}
    assert (subjects["packer"]["ok"], subjects["packer"]["required"]) == (False, False)
    assert not any(subject.startswith("packer-plugin") for subject in subjects)


def test_packer_and_its_plugins(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packer and each plugin have a row with the version; a missing or old one says what installs it."""
    packer = write_program(tmp_path / "packer", "Packer v1.16.0")
    write_plugin(tmp_path / "plugins", "1.0.9")
    write_plugin(tmp_path / "plugins", "1.1.1", source="github.com/hashicorp/proxmox")
    monkeypatch.setenv("IMAGEKIT_PACKER", str(packer))
    monkeypatch.setenv("IMAGEKIT_PACKER_PLUGINS", str(tmp_path / "plugins"))
    abilities = {one["subject"]: one for one in program("doctor", "--json").json()["abilities"]}
    assert abilities["packer"]["found"] == f"1.16.0 ({packer})"
    assert (abilities["packer-plugin-qemu"]["ok"], abilities["packer-plugin-qemu"]["found"]) == (True, "1.0.9")
    assert abilities["packer-plugin-ansible"]["found"] == "missing"
    assert abilities["packer-plugin-proxmox"]["found"] == "1.1.1, 1.2.2 or later is needed"
    command = f"{packer} plugins install github.com/hashicorp/proxmox '>= 1.2.2'"
    assert command in abilities["packer-plugin-proxmox"]["note"]
    assert (
        f"\npacker-plugin-proxmox:\n  PACKER_PLUGIN_PATH={tmp_path / 'plugins'} {command}\n" in program("doctor").output
    )
    assert abilities["ansible-playbook"]["ok"] is bool(find_tool("ansible-playbook", required=False))
