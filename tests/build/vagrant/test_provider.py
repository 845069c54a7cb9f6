"""Which provider, and why; and what to install when there is none."""

from pathlib import Path

import pytest

from imagekit.build.vagrant.model import VmProvider
from imagekit.build.vagrant.provider import NEEDS, choose_provider, explain_lack
from imagekit.build.vagrant.tool import find_vagrant
from imagekit.errors import Refused, ToolMissing
from tests.build.vagrant.stand_in import StandInVagrant


def test_what_is_installed_is_chosen(vagrant: StandInVagrant) -> None:
    """libvirt and its plugin are here, and the reason says so."""
    choice = choose_provider(find_vagrant(), None, None, system="linux")
    assert choice.provider is VmProvider.LIBVIRT
    assert choice.reason == "libvirt is installed"
    assert vagrant.state == "not_created"


def test_existing_vm_keeps_its_provider(vagrant: StandInVagrant) -> None:
    """What a VM was made with counts, without asking for plugins; another one is refused, with the way out."""
    tool = find_vagrant()
    assert choose_provider(tool, None, VmProvider.UTM).provider is VmProvider.UTM
    with pytest.raises(Refused, match="was made with utm, not libvirt") as refused:
        choose_provider(tool, VmProvider.LIBVIRT, VmProvider.UTM)
    assert "imagekit vm destroy" in (refused.value.hint or "")
    assert "plugin" not in (vagrant.play / "calls").read_text()


def test_missing_plugin_is_named(vagrant: StandInVagrant, tmp_path: Path) -> None:
    """VMware is there and its plugin is not: the hint is the command."""
    (tmp_path / "bin/vmware").write_text("#!/bin/sh\n")
    (tmp_path / "bin/vmware").chmod(0o755)
    with pytest.raises(ToolMissing, match="plugin vagrant-vmware-desktop is not installed") as missing:
        choose_provider(find_vagrant(), VmProvider.VMWARE, None)
    assert missing.value.hint == "vagrant plugin install vagrant-vmware-desktop"
    assert vagrant.state == "not_created"


def test_nothing_that_works_is_told(vagrant: StandInVagrant) -> None:
    """Without any, every provider of the system is named with what it lacks."""
    vagrant.write("plugins", "")
    with pytest.raises(ToolMissing, match="no provider that works here: Vagrant's plugin vagrant-libvirt") as missing:
        choose_provider(find_vagrant(), None, None, system="linux")
    assert "VirtualBox is not installed" in missing.value.message
    assert missing.value.hint == "vagrant plugin install vagrant-libvirt"


def test_every_provider_has_its_needs() -> None:
    """Each one can say how to get it."""
    assert set(NEEDS) == set(VmProvider)
    lack = explain_lack(VmProvider.PARALLELS, {})
    assert lack is not None
    assert "vagrant plugin install vagrant-parallels" in lack[1]
