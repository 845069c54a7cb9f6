"""Start a machine, see whether it runs, and end it: politely first, by force last, never somebody else's process."""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imagekit.errors import HostFailed, ToolFailed
from imagekit.host import run, start
from imagekit.host.local import end
from imagekit.machine.model import Machine, make_argv
from imagekit.machine.monitor import send_command

_PAUSE = 0.05
_START_SECONDS = 30.0


class Running:
    """A machine started as our child: it ends when we end it, when we end, or by itself."""

    def __init__(self, machine: Machine, process: Any, messages: Path) -> None:  # noqa: ANN401 - sh has no types
        self.machine = machine
        self._process = process
        self._messages = messages

    def is_alive(self) -> bool:
        """Say whether QEMU still runs."""
        return bool(self._process.is_alive())

    def read_messages(self) -> str:
        """Return the end of what QEMU itself said."""
        with contextlib.suppress(OSError):
            return self._messages.read_bytes()[-2000:].decode(errors="replace").strip()
        return ""

    def end(self) -> None:
        """End QEMU as one pulls a plug."""
        end(self._process)


@contextlib.contextmanager
def start_machine(machine: Machine) -> Iterator[Running]:
    """Run ``machine`` as our child for the length of the block; left in any way, QEMU is gone afterwards.

    Raises :class:`ToolFailed` when QEMU refuses its arguments, :class:`ToolMissing` when it is not installed.
    """
    messages = machine.serial_log.with_suffix(".qemu")
    with messages.open("wb") as file:  # opened here: sh would not close it
        running = Running(machine, start(make_argv(machine), stderr=file), messages)
        try:
            deadline = time.monotonic() + _START_SECONDS
            # The socket exists before the disks are opened; only an answer means that everything is.
            while not _answers(machine):
                if not running.is_alive() or time.monotonic() > deadline:
                    raise ToolFailed("QEMU could not start the machine", detail=running.read_messages())
                time.sleep(_PAUSE)
            yield running
        finally:
            running.end()
            for leftover in (machine.monitor_socket, machine.agent_socket, machine.pidfile):
                leftover.unlink(missing_ok=True)


def start_detached(machine: Machine) -> int:
    """Start ``machine`` so that it outlives us and return its process id.

    QEMU returns only after its sockets, port and pid file exist. Raises :class:`ToolFailed` when it cannot.
    """
    machine.pidfile.unlink(missing_ok=True)
    run([*make_argv(machine), "-daemonize"], timeout=_START_SECONDS)
    pid = find_running(machine)
    if pid is None:
        raise ToolFailed("QEMU ended at once", hint=f"read {machine.serial_log}")
    return pid


def find_running(machine: Machine) -> int | None:
    """Return the process id of ``machine`` when it runs. A pid file alone is not believed: pids are used again."""
    try:
        pid = int(machine.pidfile.read_text())
        os.kill(pid, 0)
    except (OSError, ValueError):
        return None
    return pid if pid > 1 and _is_ours(pid, machine) else None


def stop_machine(machine: Machine, *, patience: float) -> None:
    """Press the power button, wait ``patience`` seconds, then pull the plug; nothing happens to a stopped machine.

    Raises :class:`HostFailed` when QEMU survives even that.
    """
    pid = find_running(machine)
    if pid is None:
        return
    for command, seconds in (("system_powerdown", patience), ("quit", 5.0)):
        if seconds <= 0:
            continue
        with contextlib.suppress(HostFailed):
            send_command(machine.monitor_socket, command)
        if _wait_for_end(machine, seconds):
            return
    # Still this QEMU, asked again a moment before: the pid cannot have gone to anybody else meanwhile.
    if find_running(machine) == pid:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    if not _wait_for_end(machine, 5.0):
        raise HostFailed(f"QEMU process {pid} of {machine.name} cannot be ended")


def _answers(machine: Machine) -> bool:
    try:
        send_command(machine.monitor_socket, "query-status", timeout=2.0)
    except HostFailed:
        return False
    return True


def _wait_for_end(machine: Machine, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while find_running(machine) is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE)
    machine.pidfile.unlink(missing_ok=True)
    return True


def _is_ours(pid: int, machine: Machine) -> bool:
    """Say whether process ``pid`` is the QEMU of ``machine``: by its arguments, or by the UUID that it tells."""
    if sys.platform == "linux":
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return str(machine.uuid).encode() in words and os.fsencode(machine.pidfile) in words
    try:
        return send_command(machine.monitor_socket, "query-uuid") == {"UUID": str(machine.uuid)}
    except HostFailed:
        return False
