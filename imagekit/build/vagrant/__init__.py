"""The VM that builds NixOS images where this machine cannot: made and run by Vagrant, entered by SSH."""

from imagekit.build.vagrant.examine import examine_vm
from imagekit.build.vagrant.model import VmProvider, VmSettings, VmState, VmStatus
from imagekit.build.vagrant.opening import open_vm
from imagekit.build.vagrant.vm import BuildVm

__all__ = ["BuildVm", "VmProvider", "VmSettings", "VmState", "VmStatus", "examine_vm", "open_vm"]
