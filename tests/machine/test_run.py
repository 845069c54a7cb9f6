"""Starting and ending real QEMUs on a blank disk: nothing boots, everything else is real."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.errors import ToolFailed
from imagekit.image import DiskFormat
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.firmware import find_firmware
from imagekit.machine.model import EMULATED_CPU, Disk, Machine, make_mac
from imagekit.machine.monitor import send_command
from imagekit.machine.ports import reserve_port
from imagekit.machine.run import find_running, start_detached, start_machine, stop_machine
from imagekit.machine.runtime import make_machine_dir


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """Return a machine with a blank disk and no seed."""
    import shutil
    from uuid import uuid4

    firmware = find_firmware()
    shutil.copyfile(firmware.variables, tmp_path / "vars.fd")
    (tmp_path / "disk.raw").write_bytes(b"")
    os.truncate(tmp_path / "disk.raw", 8 << 20)
    identity = uuid4()
    sockets = make_machine_dir(str(identity))
    with reserve_port(tmp_path / "ports", lambda: ()) as port:
        pass
    return Machine(
        name="blank",
        uuid=identity,
        mac=make_mac(),
        memory_mib=128,
        cpus=1,
        cpu_model=EMULATED_CPU,
        accelerator=Accelerator.TCG,
        firmware_code=firmware.code,
        firmware_vars=tmp_path / "vars.fd",
        disks=(Disk(tmp_path / "disk.raw", DiskFormat.RAW),),
        seed=None,
        ssh_port=port,
        serial_log=tmp_path / "serial.log",
        monitor_socket=sockets / "monitor.sock",
        agent_socket=sockets / "agent.sock",
        pidfile=sockets / "qemu.pid",
    )


def _is_process(pid: int) -> bool:
    return Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes() != b""


def test_child_runs_inside_the_block_only(machine: Machine) -> None:
    """The machine runs and tells its UUID; after an exception inside the block its process is gone."""
    seen: list[int | None] = []

    def interrupt() -> None:
        with start_machine(machine) as running:
            assert running.is_alive()
            assert send_command(machine.monitor_socket, "query-uuid") == {"UUID": str(machine.uuid)}
            seen.append(find_running(machine))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    (pid,) = seen
    assert pid is not None
    assert not _is_process(pid)
    assert not machine.monitor_socket.exists()


def test_detached_machine_is_found_and_stopped(machine: Machine) -> None:
    """A daemon is found by its pid file; a guest that ignores the power button loses its plug."""
    pid = start_detached(machine)
    try:
        assert find_running(machine) == pid
    finally:
        stop_machine(machine, patience=0.3)
    assert find_running(machine) is None
    assert not _is_process(pid)
    stop_machine(machine, patience=0.3)  # a stopped machine stays as it is


def test_pid_of_another_process_is_never_taken_for_ours(machine: Machine) -> None:
    """A stale pid file that names a living process of somebody else is not believed, and nobody is killed."""
    machine.pidfile.write_text(f"{os.getpid()}\n")
    assert find_running(machine) is None
    stop_machine(machine, patience=0)
    pid = start_detached(machine)
    try:
        other = replace(machine, uuid=type(machine.uuid)(int=1))
        assert find_running(other) is None
    finally:
        stop_machine(machine, patience=0)
    assert not _is_process(pid)


def test_qemu_that_refuses_is_told_in_its_own_words(machine: Machine) -> None:
    """A disk that is not there ends the start with QEMU's message, at once and for both ways to start."""
    broken = replace(machine, disks=(Disk(Path("/nowhere/disk.raw"), DiskFormat.RAW),))
    begun = time.monotonic()
    with pytest.raises(ToolFailed) as caught, start_machine(broken):
        pass
    assert "/nowhere/disk.raw" in caught.value.detail
    with pytest.raises(ToolFailed) as caught:
        start_detached(broken)
    assert "/nowhere/disk.raw" in caught.value.detail
    assert time.monotonic() - begun < 10
