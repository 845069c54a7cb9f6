"""vm: start, status, entering, halting and removing the build VM; Vagrant is a stand-in with a real one's words."""

import sys
from pathlib import Path

import pytest

from imagekit.build.vagrant.lock import hold_vm
from imagekit.settings import read_settings
from tests.build.vagrant.stand_in import StandInVagrant
from tests.cli.conftest import Program


@pytest.fixture
def vagrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInVagrant:
    """Return the stand-in, found as ``vagrant``, and a box for any processor."""
    stand_in = StandInVagrant(tmp_path / "play")
    stand_in.install(tmp_path / "bin", monkeypatch)
    monkeypatch.setenv("IMAGEKIT_VAGRANT_BOX", "imagekit-test")
    monkeypatch.setattr(sys, "platform", "linux")
    return stand_in


def _find_directory() -> Path:
    return read_settings({}).state / "vagrant"


def test_life_of_a_vm(program: Program, vagrant: StandInVagrant) -> None:
    """Up, looked at, halted, removed; results on standard output, messages beside it."""
    assert program("vm", "status").output == "the VM is absent\n"
    made = program("vm", "up")
    assert made.output == ""
    assert "a VM is made with libvirt: libvirt is installed" in made.errors
    assert "booting the VM" in made.errors
    assert made.errors.endswith("the VM is running (libvirt)\n")
    assert program("vm", "status").output == "the VM is running (libvirt)\n"
    assert program("vm", "halt").errors.endswith("the VM is halted\n")
    assert program("vm", "status").output == "the VM is stopped (libvirt, as libvirt says: shutoff)\n"
    assert program("vm", "destroy", "--yes").errors.endswith("the VM is removed\n")
    assert vagrant.state == "not_created"


def test_status_as_json(program: Program, vagrant: StandInVagrant) -> None:
    """One document, the same keys with a VM and without."""
    assert program("vm", "status", "--json").json() == {
        "schema_version": 1,
        "state": "absent",
        "provider": None,
        "provider_state": None,
        "directory": str(_find_directory()),
    }
    program("vm", "up")
    document = program("vm", "status", "--json").json()
    assert (document["state"], document["provider"], document["provider_state"]) == ("running", "libvirt", "running")
    assert vagrant.state == "running"


def test_without_a_vm_there_is_nothing_to_do(program: Program, vagrant: StandInVagrant) -> None:
    """Halt and destroy of no VM are no errors; entering one is."""
    assert program("vm", "halt").errors == "there is no VM\n"
    assert program("vm", "destroy").errors == "there is no VM\n"
    said = program("vm", "ssh", status=8)
    assert said.errors == "error: the build VM is not running\nhint: imagekit vm up starts it\n"
    assert vagrant.list_calls() == []


def test_destroy_asks(program: Program, vagrant: StandInVagrant) -> None:
    """With nobody at the terminal and no --yes, nothing is removed."""
    program("vm", "up")
    said = program("vm", "destroy", status=7)
    assert "the Nix store on it would be gone" in said.errors
    assert "--yes removes it" in said.errors
    assert vagrant.state == "running"


@pytest.mark.parametrize("command", [("up",), ("halt",), ("destroy", "--yes")])
def test_vm_in_use_is_left_alone(command: tuple[str, ...], program: Program, vagrant: StandInVagrant) -> None:
    """While a build has it, nobody changes it, and the sentence says who has it; its status can be read."""
    program("vm", "up")
    with hold_vm(_find_directory(), "imagekit build pihole"):
        said = program("vm", *command, status=8)
        assert "the build VM is in use by PID" in said.errors
        assert "(imagekit build pihole)" in said.errors
        assert program("vm", "status").output == "the VM is running (libvirt)\n"
    assert vagrant.state == "running"


def test_failure_shows_what_vagrant_said(program: Program, vagrant: StandInVagrant) -> None:
    """A sentence, the end of Vagrant's words, a hint, and exit code 8."""
    vagrant.plan("up", "up-no-network", status=1)
    said = program("vm", "up", status=8)
    assert "error: libvirt could not start the VM's network\n" in said.errors
    assert "  | Error while activating network" in said.errors
    assert "hint: it needs dnsmasq" in said.errors


def test_vm_left_up_by_hand_is_nobodys_leftover(program: Program, vagrant: StandInVagrant) -> None:
    """After `vm up`, a mark of a build that was killed is gone."""
    _find_directory().mkdir(parents=True)
    (_find_directory() / "ours").touch()
    program("vm", "up")
    assert not (_find_directory() / "ours").exists()
    assert vagrant.state == "running"


@pytest.mark.parametrize(("source", "origin"), [("flag", "--vagrant-provider"), ("variable", "IMAGEKIT_VAGRANT_")])
def test_provider_that_does_not_exist(
    source: str, origin: str, program: Program, vagrant: StandInVagrant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The setting is named by where it was written, and a near one is proposed."""
    if source == "variable":
        monkeypatch.setenv("IMAGEKIT_VAGRANT_PROVIDER", "libvirtd")
    arguments = ["--provider", "libvirtd"] if source == "flag" else []
    said = program("vm", "up", *arguments, status=3)
    assert origin in said.errors
    assert "'libvirtd' is not one of vmware_desktop" in said.errors
    assert "did you mean 'libvirt'?" in said.errors
    assert vagrant.list_calls() == []


def test_command_runs_in_the_vm(program: Program, vagrant: StandInVagrant, tmp_path: Path) -> None:
    """`vm ssh` is ssh with the VM's file, and ends with the exit code of what ran there."""
    program("vm", "up")
    (tmp_path / "bin/ssh").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/argv\nexit 7\n')
    (tmp_path / "bin/ssh").chmod(0o755)
    program("vm", "ssh", "--", "uname", "-m", status=7)
    config = _find_directory() / "ssh_config"
    assert (tmp_path / "argv").read_text().split() == ["-F", str(config), "imagekit-vm", "--", "uname", "-m"]
    assert config.stat().st_mode & 0o777 == 0o600
    assert vagrant.state == "running"
