"""Which provider runs the build VM: the one it was made with, the one that was asked for, or what is installed here."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.vagrant.model import VmProvider
from imagekit.build.vagrant.tool import VagrantTool, list_plugins
from imagekit.errors import Refused, ToolMissing
from imagekit.host import find_tool


@dataclass(frozen=True, slots=True)
class ProviderNeeds:
    """What a provider is made of: Vagrant's plugin, programs or applications, and how to get it.

    Without ``plugin``, Vagrant has it built in. One of ``programs`` and ``places`` is enough.
    """

    label: str
    plugin: str
    programs: tuple[str, ...]
    places: tuple[str, ...]
    get: str


NEEDS: Mapping[VmProvider, ProviderNeeds] = {
    VmProvider.VMWARE: ProviderNeeds(
        "VMware",
        "vagrant-vmware-desktop",
        ("vmware",),
        ("/Applications/VMware Fusion.app",),
        "VMware Fusion or Workstation, and Vagrant's VMware utility (brew install --cask vagrant-vmware-utility)",
    ),
    VmProvider.VIRTUALBOX: ProviderNeeds("VirtualBox", "", ("VBoxManage",), (), "VirtualBox (virtualbox.org)"),
    VmProvider.PARALLELS: ProviderNeeds("Parallels", "vagrant-parallels", ("prlctl",), (), "Parallels Desktop Pro"),
    VmProvider.LIBVIRT: ProviderNeeds(
        "libvirt",
        "vagrant-libvirt",
        ("libvirtd", "virtqemud", "virsh"),
        (),
        "libvirt with QEMU (sudo apt install libvirt-daemon-system)",
    ),
    VmProvider.QEMU: ProviderNeeds(
        "QEMU", "vagrant-qemu", ("qemu-system-aarch64", "qemu-system-x86_64"), (), "QEMU (brew install qemu)"
    ),
    VmProvider.UTM: ProviderNeeds(
        "UTM", "vagrant_utm", ("utmctl",), ("/Applications/UTM.app",), "UTM (brew install --cask utm)"
    ),
}
# The best first: what is fast, headless and has boxes for this processor.
_ORDER = {
    "darwin": (
        VmProvider.VMWARE, VmProvider.PARALLELS, VmProvider.QEMU, VmProvider.UTM, VmProvider.VIRTUALBOX
    ),
    "linux": (VmProvider.LIBVIRT, VmProvider.VIRTUALBOX, VmProvider.VMWARE, VmProvider.QEMU),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """The provider, and why it is that one, as the end of a sentence."""

    provider: VmProvider
    reason: str


def choose_provider(
    tool: VagrantTool, wanted: VmProvider | None, made_with: VmProvider | None, *, system: str = ""
) -> ProviderChoice:
    """Return the provider for the VM; ``made_with`` is what an existing VM was made with.

    ``system`` is this one, as ``sys.platform`` names it, unless given. Raises :class:`Refused` when an existing VM is
    another provider's than ``wanted``, :class:`ToolMissing` when the provider or its plugin is not installed, with
    what to install.
    """
    if made_with is not None:
        if wanted not in (None, made_with):
            raise Refused(
                f"the build VM is there and was made with {made_with}, not {wanted}",
                hint=f"imagekit vm destroy removes it, with the Nix store in it; or keep provider {made_with}",
            )
        return ProviderChoice(made_with, "the VM was made with it")
    plugins = list_plugins(tool)
    if wanted is not None:
        if lack := explain_lack(wanted, plugins):
            raise ToolMissing(f"provider {wanted} cannot be used: {lack[0]}", hint=lack[1])
        return ProviderChoice(wanted, "as set")
    order = _ORDER.get(system or sys.platform, _ORDER["linux"])
    found = [provider for provider in order if not explain_lack(provider, plugins)]
    if not found:
        missing = [lack for provider in order if (lack := explain_lack(provider, plugins))]
        raise ToolMissing(
            f"Vagrant has no provider that works here: {'; '.join(lack[0] for lack in missing)}", hint=missing[0][1]
        )
    return ProviderChoice(found[0], f"{NEEDS[found[0]].label} is installed" + _count_others(found[1:]))


def explain_lack(provider: VmProvider, plugins: Mapping[str, str]) -> tuple[str, str] | None:
    """Return what is missing for ``provider`` and how to get it; ``None`` when nothing is."""
    needs = NEEDS[provider]
    programs = any(find_tool(program, required=False) for program in needs.programs)
    if not programs and not any(Path(place).exists() for place in needs.places):
        return f"{needs.label} is not installed", f"install {needs.get}" + _name_plugin(needs.plugin)
    if needs.plugin and needs.plugin not in plugins:
        return f"Vagrant's plugin {needs.plugin} is not installed", f"vagrant plugin install {needs.plugin}"
    return None


def _name_plugin(plugin: str) -> str:
    return f", then `vagrant plugin install {plugin}`" if plugin else ""


def _count_others(others: list[VmProvider]) -> str:
    return f"; {', '.join(others)} would work too" if others else ""
