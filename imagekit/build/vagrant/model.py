"""What the build VM may be: the providers that Vagrant can run it with, and what the operator asks for."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

MIB = 1 << 20
GIB = 1 << 30


class VmProvider(StrEnum):
    """Vagrant's providers that the Vagrantfile knows, by Vagrant's names."""

    VMWARE = "vmware_desktop"
    VIRTUALBOX = "virtualbox"
    PARALLELS = "parallels"
    LIBVIRT = "libvirt"
    QEMU = "qemu"
    UTM = "utm"


class VmState(StrEnum):
    """What the VM is doing; providers have many more words (``shutoff``, ``poweroff``, ``aborted``, ``paused`` …)."""

    ABSENT = "absent"
    RUNNING = "running"
    STOPPED = "stopped"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class VmSettings:
    """The build VM that the operator wants.

    ``directory`` is where its project lies and Vagrant keeps its state, absolute and the VM's alone. ``provider``
    ``None`` chooses by what is installed. ``box`` and ``box_version`` replace the default box; a version needs a box.
    ``cpus`` 0 and ``memory`` 0 take a share of this machine; ``memory`` and ``disk`` are in bytes. ``boot_timeout`` is
    how many seconds the VM may take to answer, 0 for ten minutes.
    """

    directory: Path
    provider: VmProvider | None = None
    box: str = ""
    box_version: str = ""
    cpus: int = 0
    memory: int = 0
    disk: int = 64 * GIB
    boot_timeout: int = 0


@dataclass(frozen=True, slots=True)
class VmStatus:
    """How the VM is. ``said`` is the provider's own word for the state, empty when there is no VM."""

    state: VmState
    provider: VmProvider | None
    said: str = ""
