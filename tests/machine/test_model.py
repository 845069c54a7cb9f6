"""QEMU's command line."""

import itertools
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest

from imagekit.image import DiskFormat
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.model import Disk, Machine, choose_cpu_model, make_argv, make_mac

MACHINE = Machine(
    name="one",
    uuid=UUID("11111111-2222-3333-4444-555555555555"),
    mac="52:54:00:aa:bb:cc",
    memory_mib=1024,
    cpus=2,
    cpu_model="qemu64,-cx16",
    accelerator=Accelerator.TCG,
    firmware_code=Path("/fw/code.fd"),
    firmware_vars=Path("/m/vars.fd"),
    disks=(Disk(Path("/m/a,b.qcow2"), DiskFormat.QCOW2),),
    seed=Path("/m/seed.iso"),
    ssh_port=22022,
    serial_log=Path("/m/serial.log"),
    monitor_socket=Path("/r/monitor.sock"),
    agent_socket=Path("/r/agent.sock"),
    pidfile=Path("/r/qemu.pid"),
)


def _values(argv: list[str], option: str) -> list[str]:
    return [value for name, value in itertools.pairwise(argv) if name == option]


def test_machine_is_what_the_template_expects() -> None:
    """q35 with two flash halves, the seed as a SCSI CD, a card with our MAC, no default devices, our UUID."""
    argv = make_argv(MACHINE)
    assert _values(argv, "-machine")[0].startswith("q35,")
    assert "pflash0=code,pflash1=vars" in _values(argv, "-machine")[0]
    assert _values(argv, "-uuid") == [str(MACHINE.uuid)]
    devices = _values(argv, "-device")
    assert "scsi-hd,bus=scsi.0,drive=disk0,bootindex=1" in devices
    assert "scsi-cd,bus=scsi.0,drive=seed" in devices
    assert any(device.startswith("virtio-net-pci") and MACHINE.mac in device for device in devices)
    assert any("org.qemu.guest_agent.0" in device for device in devices)
    assert {"-nodefaults", "-no-user-config", "-no-reboot"} <= set(argv)


def test_ssh_is_reachable_on_loopback_only() -> None:
    """The guest's port 22 is never offered to the network."""
    (netdev,) = _values(make_argv(MACHINE), "-netdev")
    assert "hostfwd=tcp:127.0.0.1:22022-:22" in netdev


def test_commas_in_paths_are_doubled() -> None:
    """QEMU splits options at commas; a path with one would otherwise become another option."""
    drives = _values(make_argv(MACHINE), "-blockdev")
    assert any(drive.endswith("file.filename=/m/a,,b.qcow2") for drive in drives)


def test_firmware_code_is_never_written() -> None:
    """The shared half is opened read-only, the machine's own half is not."""
    code, variables, *_ = _values(make_argv(MACHINE), "-blockdev")
    assert "read-only=on" in code
    assert "read-only" not in variables


def test_disk_format_is_always_said() -> None:
    """No drive is left to QEMU's guess, which a guest's own bytes could lead astray."""
    assert all(drive.startswith(("driver=raw,", "driver=qcow2,")) for drive in _values(make_argv(MACHINE), "-blockdev"))


def test_lasting_machine_reboots_and_flushes() -> None:
    """A clone restarts when its guest asks; only disks that are thrown away skip flushes."""
    assert "-no-reboot" not in make_argv(replace(MACHINE, reboots=True))
    assert not any("no-flush" in value for value in make_argv(MACHINE))
    assert any("cache.no-flush=on" in value for value in make_argv(replace(MACHINE, durable=False)))


def test_isolated_guest_reaches_nothing() -> None:
    """QEMU's network lets an isolated guest answer on its forwarded port and reach nothing by itself."""
    assert any("restrict=on" in value for value in _values(make_argv(replace(MACHINE, isolated=True)), "-netdev"))
    assert any("restrict=off" in value for value in _values(make_argv(MACHINE), "-netdev"))


def test_processor_avoids_what_breaks_guests() -> None:
    """Under emulation cmpxchg16b is off (Debian 13's kernel dies at it); with hardware the host's own is used."""
    assert "-cx16" in choose_cpu_model(Accelerator.TCG)
    assert choose_cpu_model(Accelerator.KVM) == choose_cpu_model(Accelerator.HVF) == "host"


@pytest.mark.parametrize(
    "wrong", [{"mac": "52:54:00:aa:bb:cc,x=y"}, {"ssh_port": 0}, {"ssh_port": 65536}, {"memory_mib": 0}, {"cpus": 0}]
)
def test_impossible_machine_cannot_be_made(wrong: dict[str, object]) -> None:
    """A value that would end in QEMU's options is right or refused."""
    with pytest.raises(ValueError, match="not a"):
        replace(MACHINE, **wrong)  # type: ignore[arg-type] # the point is to try wrong ones


def test_mac_addresses_are_local_and_differ() -> None:
    """Two machines never share an address but by a chance of one in 16 million."""
    first, second = make_mac(), make_mac()
    assert first.startswith("52:54:00:")
    assert first != second
