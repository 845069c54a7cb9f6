"""The proof: two clones of the disk are booted as Proxmox would, entered from outside, asked, and compared.

Two, because twins are invisible on one machine: a machine id left in the image boots green alone. The disk itself is
only read; everything a clone writes goes into an overlay that is thrown away.
"""

import contextlib
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from imagekit.errors import HostFailed
from imagekit.host.ssh import SshHost, make_key
from imagekit.image import DiskFormat
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.firmware import FirmwareFiles
from imagekit.machine.model import Disk, Machine, choose_cpu_model, make_mac
from imagekit.machine.monitor import ping_agent
from imagekit.machine.overlay import create_overlay
from imagekit.machine.ports import reserve_port
from imagekit.machine.run import start_machine
from imagekit.machine.runtime import find_runtime_dir, make_machine_dir
from imagekit.machine.seed import make_seed, write_seed
from imagekit.machine.serial import Stage, last_lines, read_tail
from imagekit.machine.wait import (
    BootStopped,
    WaitCancelled,
    Watch,
    choose_patience,
    log_in_when_ready,
    read_facts_over_ssh,
    read_facts_through_agent,
    wait_for_ssh,
)
from imagekit.progress import Event, Progress, silent
from imagekit.report import Finding, NotObserved
from imagekit.verify.boot.checks import Observation, Rules, judge_clones

GIB = 1 << 30
_NAMES = ("clone-a", "clone-b")
_QEMU_MIB = 700  # what QEMU takes beside the guest's memory, most of it code translated by emulation
_AGENT_SECONDS = 20.0
_LOGIN_SECONDS = 60.0
_CONSOLE_LINES = 20


@dataclass(frozen=True, slots=True)
class BootProof:
    """What booting two clones proved. ``facts`` holds plain values by clone name, for :attr:`Report.boot`."""

    findings: tuple[Finding, ...]
    passed: tuple[str, ...]
    not_observed: tuple[NotObserved, ...]
    facts: dict[str, object]
    duration_seconds: float

    @property
    def proven(self) -> bool:
        """Say whether every check was made and passed."""
        return not self.findings and not self.not_observed


@dataclass(frozen=True, slots=True)
class _Plan:
    """What both clones share: where they live, how they are made, how long they may take, who may enter."""

    disk: Path
    directory: Path
    logs: Path
    accelerator: Accelerator
    firmware: FirmwareFiles
    memory_mib: int
    cpus: int
    disk_bytes: int
    stage_seconds: float
    user: str
    key: Path
    public_key: str
    foreign_key: Path


def prove_clones(
    disk: Path,
    *,
    accelerator: Accelerator,
    firmware: FirmwareFiles,
    workdir: Path,
    scratch: Path | None = None,
    memory_mib: int = 1024,
    timeout_seconds: float = 0,
    growth_bytes: int = GIB,
    user: str = "debian",
    allow_users: tuple[str, ...] = (),
    progress: Progress = silent,
) -> BootProof:
    """Boot two clones of the raw ``disk``, each ``growth_bytes`` larger than it, and judge what they show.

    ``timeout_seconds`` bounds each stage of a boot; 0 chooses 300 s under emulation, 90 s otherwise. ``user`` is the
    image's default user, ``allow_users`` are accounts that the image may have beside it. Serial logs stay in
    ``workdir`` when something is wrong, and nothing else ever does; keys and overlays are made in ``scratch``
    (``workdir`` without it), where only ``kill -9`` leaves them. Raises :class:`ToolFailed`, :class:`ToolMissing`
    and :class:`HostFailed` when this host cannot run machines; a bad image is no exception but findings.
    """
    started = time.monotonic()
    workdir.mkdir(parents=True, exist_ok=True)
    together = _has_memory(2 * (memory_mib + _QEMU_MIB))
    with tempfile.TemporaryDirectory(dir=scratch or workdir, prefix="boot-") as name:
        directory = Path(name)
        foreign = directory / "foreign_key"
        make_key(foreign)
        plan = _Plan(
            disk=disk,
            directory=directory,
            logs=workdir,
            accelerator=accelerator,
            firmware=firmware,
            memory_mib=memory_mib,
            cpus=choose_cpus(together=together),
            disk_bytes=disk.stat().st_size + growth_bytes,
            stage_seconds=timeout_seconds or choose_patience(accelerator),
            user=user,
            key=directory / "key",
            public_key=make_key(directory / "key"),
            foreign_key=foreign,
        )
        groups = [_NAMES] if together else [(name,) for name in _NAMES]
        clones = [clone for group in groups for clone in _observe_group(plan, group, progress)]
        findings, passed, unseen = judge_clones(clones, Rules(user, allow_users))
        if findings or unseen:
            for clone in clones:
                _keep_log(directory / clone.name / "serial.log", Path(clone.console))
    facts: dict[str, object] = {clone.name: _describe(clone) for clone in clones}
    return BootProof(tuple(findings), tuple(passed), tuple(unseen), facts, time.monotonic() - started)


def choose_cpus(*, together: bool) -> int:
    """Return the processors of one clone: at most two, and no more than this host has for all that run at once."""
    return max(1, min(2, (os.cpu_count() or 1) // (2 if together else 1)))


def _observe_group(plan: _Plan, names: tuple[str, ...], progress: Progress) -> list[Observation]:
    """Run the clones of ``names`` at the same time. However this is left, their QEMUs are gone and threads ended."""
    started = time.monotonic()
    stages = dict.fromkeys(names, Stage.FIRMWARE)
    stop = threading.Event()
    # Machines end first (inner), so that threads that wait for one are released before the pool joins them (outer).
    with ThreadPoolExecutor(len(names)) as pool, contextlib.ExitStack() as running:
        try:
            watches = {name: running.enter_context(_started(plan, name, stages, stop)) for name in names}
            futures = [pool.submit(_observe, plan, name, watch, stop) for name, watch in watches.items()]
            while not all(future.done() for future in futures):
                for future in futures:
                    if future.done():
                        future.result()  # a bug in one thread ends both clones now
                _tell(progress, stages, time.monotonic() - started)
                time.sleep(0.25)
            return [future.result() for future in futures]
        finally:
            stop.set()


@contextlib.contextmanager
def _started(plan: _Plan, name: str, stages: dict[str, Stage], stop: threading.Event) -> Iterator[Watch]:
    """Make and start one clone: its own overlay, variables, seed, UUID, MAC address, port and sockets."""
    directory = plan.directory / name
    directory.mkdir()
    shutil.copyfile(plan.firmware.variables, directory / "vars.fd")
    create_overlay(plan.disk, directory / "disk.qcow2", plan.disk_bytes)
    identity = uuid4()
    seed = make_seed(instance_id=f"imagekit-{identity}", hostname=name, ssh_keys=[plan.public_key])
    write_seed(directory / "seed.iso", seed)
    sockets = make_machine_dir(str(identity))
    try:
        with reserve_port(find_runtime_dir(), lambda: ()) as port:
            machine = Machine(
                name=name,
                uuid=identity,
                mac=make_mac(),
                memory_mib=plan.memory_mib,
                cpus=plan.cpus,
                cpu_model=choose_cpu_model(plan.accelerator),
                accelerator=plan.accelerator,
                firmware_code=plan.firmware.code,
                firmware_vars=directory / "vars.fd",
                disks=(Disk(directory / "disk.qcow2", DiskFormat.QCOW2),),
                seed=directory / "seed.iso",
                ssh_port=port,
                serial_log=directory / "serial.log",
                monitor_socket=sockets / "monitor.sock",
                agent_socket=sockets / "agent.sock",
                pidfile=sockets / "qemu.pid",
                durable=False,
                isolated=True,  # an image that is only being judged has no business on the operator's network
            )
            with start_machine(machine) as running:
                yield Watch(machine, running.is_alive, plan.stage_seconds, _setter(stages, name), stop.is_set)
    finally:
        shutil.rmtree(sockets, ignore_errors=True)


def _setter(stages: dict[str, Stage], name: str) -> Callable[[Stage], None]:
    def set_stage(stage: Stage) -> None:
        stages[name] = stage

    return set_stage


def _observe(plan: _Plan, name: str, watch: Watch, stop: threading.Event) -> Observation:
    """See all that there is to see of one clone; a boot that stops is asked through the agent, if that answers."""
    seen = Observation(name, str(plan.logs / f"boot-{name}.log"), plan.disk_bytes)
    try:
        return _observe_running(plan, seen, watch)
    except BootStopped as problem:
        seen = replace(seen, stopped=_renamed(problem, watch, seen))
        try:
            facts = read_facts_through_agent(watch.machine, timeout=_AGENT_SECONDS)
        except HostFailed:
            stop.set()  # nothing can be compared any more: the other clone need not go on
            return replace(seen, agent_answers=False)
        return replace(seen, facts=facts, agent_answers=True)
    except WaitCancelled:
        return seen
    except HostFailed as problem:
        stopped = BootStopped(f"{name} stopped in stage {Stage.SSH}: {problem.message}", stage=Stage.SSH, fault=None)
        return replace(seen, stopped=stopped)


def _observe_running(plan: _Plan, seen: Observation, watch: Watch) -> Observation:
    started = time.monotonic()
    wait_for_ssh(watch)
    greeted = time.monotonic() - started
    entry = log_in_when_ready(watch, plan.user, plan.key, host_key=None, foreign_key=plan.foreign_key)
    with entry.host:
        entered = time.monotonic() - started
        watch.on_stage(Stage.CLOUD_INIT)
        facts = read_facts_over_ssh(entry.host, timeout=plan.stage_seconds)
    finished = time.monotonic() - started
    with SshHost.connect(
        "127.0.0.1", watch.machine.ssh_port, timeout=_LOGIN_SECONDS, expected=entry.host.host_key
    ) as again:
        password = again.accepts_password(plan.user, secrets.token_urlsafe(12))
    return replace(
        seen,
        facts=facts,
        host_key=entry.host.host_key,
        methods=entry.methods,
        foreign_key_accepted=entry.foreign_key_accepted,
        password_accepted=password,
        agent_answers=ping_agent(watch.machine.agent_socket, timeout=_AGENT_SECONDS),
        seconds=(("ssh", greeted), ("login", entered), ("done", finished)),
    )


def _renamed(problem: BootStopped, watch: Watch, seen: Observation) -> BootStopped:
    """Say where the console will be found afterwards, not where it is now."""
    hint = (problem.hint or "").replace(str(watch.machine.serial_log), seen.console)
    return BootStopped(problem.message, stage=problem.stage, fault=problem.fault, hint=hint)


def _describe(clone: Observation) -> dict[str, object]:
    facts: dict[str, object] = clone.facts.describe() if clone.facts else {}
    facts["seconds"] = {name: round(value, 1) for name, value in clone.seconds}
    if clone.stopped is not None:
        facts["stopped"] = {"stage": str(clone.stopped.stage), "message": clone.stopped.message}
        facts["console_end"] = last_lines(read_tail(Path(clone.console)), _CONSOLE_LINES).splitlines()
    return facts


def _tell(progress: Progress, stages: dict[str, Stage], elapsed: float) -> None:
    detail = ", ".join(f"{name}: {stage}" for name, stage in stages.items())
    count = "two clones" if len(stages) > 1 else "a clone"
    progress(Event(f"booting {count}", done=int(elapsed), unit="s", detail=detail))


def _keep_log(log: Path, kept: Path) -> None:
    """Move a console's log to where it stays, which may be on another file system."""
    with contextlib.suppress(FileNotFoundError):
        shutil.move(log, kept)


def _has_memory(mib: int) -> bool:
    """Say whether ``mib`` are available; where the kernel does not tell (macOS), half of all memory counts."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) >> 10 >= mib
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 21 >= mib
