"""The build VM as the pipeline sees it: the operator's settings become a VM, or the reason why there is none."""

from pathlib import Path

import pytest

from imagekit.build.vagrant import VmProvider
from imagekit.errors import SettingsInvalid
from imagekit.pipeline.vm import explain_vm, read_vm_settings
from imagekit.settings import read_settings
from tests.build.vagrant.stand_in import StandInVagrant

_GIB = 1 << 30


@pytest.fixture
def vagrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInVagrant:
    """Return the stand-in, found as ``vagrant`` on a Linux machine."""
    stand_in = StandInVagrant(tmp_path / "play")
    stand_in.install(tmp_path / "bin", monkeypatch)
    monkeypatch.setattr("sys.platform", "linux")
    return stand_in


def test_settings_become_a_vm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting arrives in its unit, in a directory of the state."""
    for name, value in (("PROVIDER", "utm"), ("BOX", "own/box"), ("CPUS", "3"), ("MEMORY", "5G"), ("DISK", "90G")):
        monkeypatch.setenv(f"IMAGEKIT_VAGRANT_{name}", value)
    monkeypatch.setenv("IMAGEKIT_BOOT_TIMEOUT", "900")
    settings = read_settings({})
    vm = read_vm_settings(settings)
    assert vm.directory == settings.state / "vagrant"
    assert (vm.provider, vm.box, vm.box_version) == (VmProvider.UTM, "own/box", "")
    assert (vm.cpus, vm.memory, vm.disk, vm.boot_timeout) == (3, 5 * _GIB, 90 * _GIB, 900)


def test_unknown_provider_is_a_wrong_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named by where it was written."""
    monkeypatch.setenv("IMAGEKIT_VAGRANT_PROVIDER", "hyperv")
    with pytest.raises(SettingsInvalid) as invalid:
        read_vm_settings(read_settings({}))
    assert invalid.value.problems[0].startswith("IMAGEKIT_VAGRANT_PROVIDER: 'hyperv' is not one of vmware_desktop, ")


def test_vm_that_could_be_had(vagrant: StandInVagrant) -> None:
    """The reason is part of the sentence about which builder was chosen; nothing is started for it."""
    assert explain_vm(read_settings({})) == ("Vagrant 2.3.4 can run a VM with libvirt (libvirt is installed)", "")
    assert vagrant.list_calls() == []


def test_vm_that_could_not_be_had(vagrant: StandInVagrant) -> None:
    """The reason why not is told instead, and is no error: other builders may do."""
    vagrant.write("plugins", "")
    could, could_not = explain_vm(read_settings({}))
    assert could == ""
    assert "Vagrant has no provider that works here" in could_not
