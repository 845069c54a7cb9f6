"""A machine as a value, and the QEMU command line that makes it real. Nothing here touches the system."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never
from uuid import UUID, uuid4

from imagekit.image import DiskFormat
from imagekit.machine.accelerator import QEMU, Accelerator

MIB = 1 << 20
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")

# An x86-64-v2 processor without cmpxchg16b. `max` boots slower under emulation: the guest then uses vector code that
# is emulated one lane at a time. Debian 13's kernel 6.12 dies at random at an emulated cmpxchg16b (QEMU 7.2).
EMULATED_CPU = "qemu64,-cx16,+ssse3,+sse4.1,+sse4.2,+popcnt"


@dataclass(frozen=True, slots=True)
class Disk:
    """A disk file and its format. A qcow2 overlay names its backing file and that file's format itself."""

    path: Path
    format: DiskFormat


@dataclass(frozen=True, slots=True)
class Machine:
    """A q35 machine with UEFI, one network card behind QEMU's own network, and everything else on virtio.

    ``firmware_vars`` is this machine's own copy. ``ssh_port`` is the port on 127.0.0.1 that leads to the guest's
    port 22. ``seed`` is shown as a SCSI CD, because Debian's cloud kernel has no AHCI driver. A machine with
    ``reboots`` restarts when its guest asks; without, QEMU ends. ``durable`` false means that the disks are thrown
    away afterwards, so flushes are skipped. An ``isolated`` guest reaches nothing outside: no host, no network.
    """

    name: str
    uuid: UUID
    mac: str
    memory_mib: int
    cpus: int
    cpu_model: str
    accelerator: Accelerator
    firmware_code: Path
    firmware_vars: Path
    disks: tuple[Disk, ...]
    seed: Path | None
    ssh_port: int
    serial_log: Path
    monitor_socket: Path
    agent_socket: Path
    pidfile: Path
    reboots: bool = False
    durable: bool = True
    isolated: bool = False

    def __post_init__(self) -> None:
        if not _MAC.fullmatch(self.mac):
            raise ValueError(f"not a MAC address: {self.mac!r}")
        if not 1 <= self.ssh_port <= 65535:
            raise ValueError(f"not a port: {self.ssh_port}")
        if self.memory_mib < 64 or self.cpus < 1:
            raise ValueError(f"not a machine: {self.memory_mib} MiB of memory, {self.cpus} processors")


def make_mac() -> str:
    """Return a random address under QEMU's prefix 52:54:00."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in uuid4().bytes[:3])


def choose_cpu_model(accelerator: Accelerator) -> str:
    """Return the processor model that boots fastest and safely under ``accelerator``."""
    match accelerator:
        case Accelerator.KVM | Accelerator.HVF:
            return "host"
        case Accelerator.TCG:
            return EMULATED_CPU
        case _ as never:
            assert_never(never)


def make_argv(machine: Machine) -> list[str]:
    """Return QEMU's command line for ``machine`` (qemu-system-x86_64(1)); commas in paths are doubled as it asks."""
    argv = [QEMU, "-name", machine.name, "-nodefaults", "-no-user-config", "-display", "none"]
    argv += ["-machine", "q35,smm=off,vmport=off,pflash0=code,pflash1=vars", "-accel", machine.accelerator]
    argv += ["-cpu", machine.cpu_model, "-smp", str(machine.cpus), "-m", str(machine.memory_mib)]
    argv += ["-uuid", str(machine.uuid), "-rtc", "base=utc", "-boot", "menu=off,strict=on"]
    argv += [] if machine.reboots else ["-no-reboot"]
    argv += ["-blockdev", f"driver=raw,node-name=code,read-only=on,{_file(machine.firmware_code)}"]
    argv += ["-blockdev", f"driver=raw,node-name=vars,{_file(machine.firmware_vars)}"]
    argv += ["-device", "virtio-scsi-pci,id=scsi"]
    for number, disk in enumerate(machine.disks):
        flushes = "" if machine.durable else ",cache.no-flush=on"
        argv += ["-blockdev", f"driver={disk.format},node-name=disk{number},discard=unmap{flushes},{_file(disk.path)}"]
        argv += ["-device", f"scsi-hd,bus=scsi.0,drive=disk{number},bootindex={number + 1}"]
    if machine.seed is not None:
        argv += ["-blockdev", f"driver=raw,node-name=seed,read-only=on,{_file(machine.seed)}"]
        argv += ["-device", "scsi-cd,bus=scsi.0,drive=seed"]
    # Unless isolated, the guest reaches out as this user could; from outside only the loopback port leads in.
    restrict = "on" if machine.isolated else "off"
    argv += ["-netdev", f"user,id=net,restrict={restrict},hostfwd=tcp:127.0.0.1:{machine.ssh_port}-:22"]
    argv += ["-device", f"virtio-net-pci,netdev=net,mac={machine.mac},romfile="]  # no ROM: nothing boots from network
    argv += ["-object", "rng-builtin,id=entropy", "-device", "virtio-rng-pci,rng=entropy"]
    argv += ["-chardev", f"file,id=serial,path={_escape(machine.serial_log)}", "-serial", "chardev:serial"]
    argv += ["-chardev", f"socket,id=agent,path={_escape(machine.agent_socket)},server=on,wait=off"]
    argv += ["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
    argv += ["-chardev", f"socket,id=monitor,path={_escape(machine.monitor_socket)},server=on,wait=off"]
    argv += ["-mon", "chardev=monitor,mode=control", "-pidfile", str(machine.pidfile)]
    return argv


def _file(path: Path) -> str:
    return f"file.driver=file,file.filename={_escape(path)}"


def _escape(path: Path) -> str:
    return str(path).replace(",", ",,")
