"""The Vagrant that is there: found, its version read, and quiet."""

from pathlib import Path

import pytest

from imagekit.build.vagrant.tool import find_vagrant, list_plugins, make_vagrant_environment
from imagekit.errors import ToolFailed, ToolMissing
from tests.build.vagrant.stand_in import StandInVagrant


def test_version_and_plugins(vagrant: StandInVagrant) -> None:
    """Both are read from what Vagrant says; the plugin's place is no part of its version."""
    tool = find_vagrant()
    assert tool.version == "2.3.4"
    assert list_plugins(tool) == {"vagrant-libvirt": "0.11.2"}
    assert "VAGRANT_CHECKPOINT_DISABLE=1" in (vagrant.play / "environment").read_text()


def test_missing_vagrant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without one, the hint is how to get it on this system."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("imagekit.build.vagrant.tool.sys.platform", "darwin")
    monkeypatch.setattr("imagekit.build.vagrant.tool.find_tool", lambda _name, required: "")
    with pytest.raises(ToolMissing, match="vagrant is not installed") as missing:
        find_vagrant()
    assert "brew install --cask vagrant" in (missing.value.hint or "")
    assert "vagrant-vmware-utility" in (missing.value.hint or "")


def test_old_vagrant(vagrant: StandInVagrant) -> None:
    """A version from before 2.3 is as good as none."""
    vagrant.write("version", "Vagrant 2.2.19\n")
    with pytest.raises(ToolMissing, match=r"Vagrant 2\.2\.19 is older than 2\.3"):
        find_vagrant()


def test_strange_vagrant(vagrant: StandInVagrant) -> None:
    """A program that says something else is not used."""
    vagrant.write("version", "hello\n")
    with pytest.raises(ToolFailed, match="does not tell its version"):
        find_vagrant()


def test_environment_is_passed_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """Vagrant's own places are passed on; a Vagrantfile of the operator's is not chosen by accident."""
    monkeypatch.setenv("VAGRANT_HOME", "/boxes")
    monkeypatch.setenv("VAGRANT_VAGRANTFILE", "Other")
    environment = make_vagrant_environment({"VAGRANT_CWD": "/x"})
    assert environment["VAGRANT_HOME"] == "/boxes"
    assert environment["VAGRANT_CWD"] == "/x"
    assert "VAGRANT_VAGRANTFILE" not in environment
