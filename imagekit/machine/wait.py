"""Wait for a machine to come up, and say where it stopped when it does not.

SSH alone is no sign: a guest without network still answers its agent and tells why, and one at a prompt still writes
to its serial port. So all three are watched, and a wait ends as soon as waiting longer is useless.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.host.ssh import HostKey, SshHost, answers_ssh
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.guest import DOCUMENT_BYTES, GuestFacts, make_nonce, make_script, parse_document
from imagekit.machine.model import Machine
from imagekit.machine.monitor import run_through_agent
from imagekit.machine.serial import Fault, Stage, find_fault, find_stage, last_lines, read_tail

_POLL_SECONDS = 0.4
_AGENT_SECONDS = 15.0
_LOGIN_SECONDS = 30.0
_RETRY_SECONDS = 2.0
_LOG_BYTES = 64 << 20
_ORDER = tuple(Stage)
_STATE_SCRIPT = "systemctl is-system-running"
_ENDED_STATES = ("running", "degraded", "maintenance")


class BootStopped(HostFailed):
    """A machine did not come up: it stopped in ``stage``; ``fault`` is what its console says, if it says anything."""

    def __init__(self, message: str, *, stage: Stage, fault: Fault | None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stage = stage
        self.fault = fault


class WaitCancelled(Exception):
    """The waiting was called off by its caller."""


@dataclass(frozen=True, slots=True)
class Watch:
    """What to watch and for how long: each stage of the boot may take ``stage_seconds``."""

    machine: Machine
    is_alive: Callable[[], bool]
    stage_seconds: float
    on_stage: Callable[[Stage], None]
    cancelled: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Entry:
    """A logged-in connection and how it was had: the methods offered before, and whether a foreign key got in."""

    host: SshHost
    methods: tuple[str, ...]
    foreign_key_accepted: bool


def choose_patience(accelerator: Accelerator) -> float:
    """Return how many seconds one stage of a boot may take under ``accelerator`` before it counts as hung."""
    return 300.0 if accelerator is Accelerator.TCG else 90.0


def wait_for_ssh(watch: Watch) -> None:
    """Return when the guest's SSH server greets.

    Raises :class:`BootStopped` when QEMU ended, the console shows a fault that waiting does not mend, the guest says
    that its boot is over and still nobody greets, or a stage takes too long; :class:`WaitCancelled`.
    """
    stage, since = Stage.FIRMWARE, time.monotonic()
    next_question, endings = since + _AGENT_SECONDS, 0
    watch.on_stage(stage)
    while True:
        if answers_ssh("127.0.0.1", watch.machine.ssh_port, 1.0):
            watch.on_stage(Stage.SSH)
            return
        if watch.cancelled():
            raise WaitCancelled
        text = read_tail(watch.machine.serial_log)
        reached = find_stage(text)
        if _ORDER.index(reached) > _ORDER.index(stage):
            stage, since = reached, time.monotonic()
            watch.on_stage(stage)
        fault = find_fault(text)
        if not watch.is_alive():
            raise _stop(watch, stage, fault, "the machine ended by itself")
        if fault is not None and fault.final:
            raise _stop(watch, stage, fault, fault.cause)
        now = time.monotonic()
        if now > next_question and _ORDER.index(stage) >= _ORDER.index(Stage.USERSPACE):
            next_question = now + _AGENT_SECONDS
            endings = endings + 1 if _says_boot_ended(watch.machine) else 0
        if endings >= 2:
            raise _stop(watch, stage, fault, "the guest says that its boot is over, but no SSH server answers")
        if now - since > watch.stage_seconds:
            cause = fault.cause if fault else f"nothing new for {watch.stage_seconds:.0f} s"
            raise _stop(watch, stage, fault, cause)
        if _log_bytes(watch.machine) > _LOG_BYTES:
            raise _stop(watch, stage, fault, "the guest floods its serial port")
        time.sleep(_POLL_SECONDS)


def log_in_when_ready(
    watch: Watch, user: str, key: Path, *, host_key: HostKey | None, foreign_key: Path | None = None
) -> Entry:
    """Return a logged-in connection to a guest whose SSH server greets.

    sshd may run before cloud-init has made the user, so a refusal counts only once the guest says that its boot is
    over or ``watch.stage_seconds`` have passed. ``foreign_key`` is tried first and must be refused. Raises
    :class:`BootStopped` in stage ``ssh``, :class:`WaitCancelled`.
    """
    since, ended = time.monotonic(), False
    while True:
        refusal, host = "", None
        try:
            host = SshHost.connect("127.0.0.1", watch.machine.ssh_port, timeout=_LOGIN_SECONDS, expected=host_key)
            methods = host.offered_methods(user)
            foreign = host.accepts_key(user, foreign_key) if foreign_key is not None and methods != ("none",) else False
            if methods == ("none",) or foreign or host.accepts_key(user, key):
                return Entry(host, methods, foreign)
            refusal = f"user {user} cannot log in with the key that cloud-init was given"
        except HostFailed as problem:
            refusal = problem.message
        except BaseException:
            if host is not None:
                host.close()
            raise
        if host is not None:
            host.close()
        if watch.cancelled():
            raise WaitCancelled
        if ended or not watch.is_alive() or time.monotonic() - since > watch.stage_seconds:
            raise _stop(watch, Stage.SSH, find_fault(read_tail(watch.machine.serial_log)), refusal)
        time.sleep(_RETRY_SECONDS)
        ended = _says_boot_ended(watch.machine)


def read_facts_over_ssh(host: SshHost, *, timeout: float) -> GuestFacts:
    """Return what the guest says of itself over a logged-in connection, once its boot is over."""
    nonce = make_nonce()
    script = make_script(nonce, wait_seconds=max(1, int(timeout) - 30))
    return parse_document(host.run(script, limit=DOCUMENT_BYTES, timeout=timeout).output, nonce)


def read_facts_through_agent(machine: Machine, *, timeout: float) -> GuestFacts:
    """Return what the guest says of itself through its agent, once its boot is over; needs no network."""
    nonce = make_nonce()
    script = make_script(nonce, wait_seconds=max(1, int(timeout) - 30))
    said = run_through_agent(machine.agent_socket, script, limit=DOCUMENT_BYTES, timeout=timeout)
    return parse_document(said.output, nonce)


def _says_boot_ended(machine: Machine) -> bool:
    """Ask the agent; no answer is no ending."""
    try:
        said = run_through_agent(machine.agent_socket, _STATE_SCRIPT, limit=4096, timeout=5)
    except HostFailed:
        return False
    return said.output.decode(errors="replace").strip() in _ENDED_STATES


def _stop(watch: Watch, stage: Stage, fault: Fault | None, cause: str) -> BootStopped:
    said = last_lines(read_tail(watch.machine.serial_log))
    message = f"{watch.machine.name} stopped in stage {stage}: {cause}"
    hint = f"its console is in {watch.machine.serial_log}" + (f"; it ends with:\n{said}" if said else ", and is empty")
    return BootStopped(message, stage=stage, fault=fault, hint=hint)


def _log_bytes(machine: Machine) -> int:
    try:
        return machine.serial_log.stat().st_size
    except OSError:
        return 0
