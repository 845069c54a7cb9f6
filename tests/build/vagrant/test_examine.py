"""The row of ``imagekit doctor``: what is there, or what to install."""

import pytest

from imagekit.build.vagrant import BuildVm, VmSettings, examine_vm
from tests.build.vagrant.stand_in import StandInVagrant


@pytest.fixture(autouse=True)
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a machine on which libvirt is what there is."""
    monkeypatch.setattr("sys.platform", "linux")


def test_what_is_there(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """Version, provider and reason; with a VM, how to see it. Nobody must have it."""
    row = examine_vm(settings)
    assert (row.ok, row.required) == (True, False)
    assert row.found == "Vagrant 2.3.4 with libvirt (libvirt is installed)"
    BuildVm(settings).up()
    assert examine_vm(settings).found == "Vagrant 2.3.4 with libvirt (the VM was made with it)"
    assert examine_vm(settings).note == "imagekit vm status says how it is"
    assert vagrant.state == "running"


def test_what_is_missing(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """A missing plugin is the finding and its command the note."""
    vagrant.write("plugins", "")
    row = examine_vm(settings)
    assert not row.ok
    assert "plugin vagrant-libvirt is not installed" in row.found
    assert row.note == "vagrant plugin install vagrant-libvirt"


def test_mac_user_is_told(settings: VmSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Vagrant on macOS: the commands of Homebrew."""
    monkeypatch.setattr("sys.platform", "darwin")
    monkeypatch.setattr("imagekit.build.vagrant.tool.find_tool", lambda _name, required: "")
    row = examine_vm(settings)
    assert row.found == "vagrant is not installed"
    assert "brew install --cask vagrant" in row.note
