"""Clones of a stored disk that run here under QEMU: made in a blink, started, proven up, stopped, removed.

The stored disk is only read: a clone writes to a thin overlay. A running clone belongs to nobody; it outlives the
command that started it, and ``stop`` finds it by its pid file and asks twice whose process that is.
"""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from imagekit.deliver.clone import Clone, CloneState, CloneStatus, find_directory, read_clone, write_clone
from imagekit.errors import HostFailed, Refused
from imagekit.host.ssh import HostKey, SshHost, make_key
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.firmware import FirmwareFiles
from imagekit.machine.guest import GuestFacts
from imagekit.machine.model import choose_cpu_model, make_mac
from imagekit.machine.overlay import create_overlay
from imagekit.machine.ports import is_free, reserve_port
from imagekit.machine.run import find_running, start_detached, stop_machine
from imagekit.machine.runtime import find_machine_dir, find_runtime_dir, make_machine_dir
from imagekit.machine.seed import make_seed, write_seed
from imagekit.machine.serial import Stage
from imagekit.machine.wait import (
    BootStopped,
    Watch,
    choose_patience,
    log_in_when_ready,
    read_facts_over_ssh,
    read_facts_through_agent,
    wait_for_ssh,
)
from imagekit.progress import Event, Progress, silent

_ASIDE = ".making-"
_POWER_BUTTON_SECONDS = 60.0
_ABANDONED_SECONDS = 3600.0


def create_clone(
    disk: Path,
    name: str,
    *,
    reference: str,
    digest: str,
    clones_dir: Path,
    accelerator: Accelerator,
    firmware: FirmwareFiles,
    ssh_keys: Sequence[str] = (),
    user: str = "debian",
    memory_mib: int = 1024,
    cpus: int = 2,
    disk_bytes: int = 0,
    user_data: bytes | None = None,
) -> Clone:
    """Make a stopped clone of the raw ``disk`` and return it; takes the same moment whatever the disk's size.

    ``ssh_keys`` are public key lines; without any, a key is made and kept with the clone. ``disk_bytes`` 0 keeps the
    image's size. ``user_data`` is merged with what imagekit gives cloud-init. Raises :class:`DefinitionInvalid` for a
    bad name, :class:`Refused` when the name is taken, :class:`HostFailed` when the disk would shrink. A crash leaves
    a directory that begins with ``.making-``; the next call removes old ones.
    """
    target = find_directory(clones_dir, name)
    clones_dir.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(clones_dir)
    if target.exists():
        raise _taken(name)
    identity = uuid4()
    aside = Path(tempfile.mkdtemp(prefix=_ASIDE, dir=clones_dir))
    try:
        size = disk_bytes or disk.stat().st_size
        create_overlay(disk, aside / "disk.qcow2", size)
        shutil.copyfile(firmware.variables, aside / "vars.fd")
        keys = list(ssh_keys) or [make_key(aside / "id_ed25519", f"imagekit-{name}")]
        seed = make_seed(instance_id=f"imagekit-{identity}", hostname=name, ssh_keys=keys, user_data=user_data)
        write_seed(aside / "seed.iso", seed)
        with reserve_port(find_runtime_dir(), lambda: _list_ports(clones_dir)) as port:
            clone = Clone(
                name=name,
                reference=reference,
                digest=digest,
                backing=disk.resolve(),
                user=user,
                uuid=identity,
                mac=make_mac(),
                port=port,
                memory_mib=memory_mib,
                cpus=cpus,
                disk_bytes=size,
                accelerator=accelerator,
                cpu_model=choose_cpu_model(accelerator),
                firmware_code=firmware.code,
                sockets=find_machine_dir(str(identity)),
                own_key=not ssh_keys,
                created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
                directory=aside,
            )
            write_clone(clone)
            try:
                aside.rename(target)  # refuses a directory that is not empty: two makers of one name cannot both win
            except OSError as problem:
                raise _taken(name) from problem
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return replace(clone, directory=target)


def list_clones(clones_dir: Path) -> list[CloneStatus]:
    """Return every clone by name with what it does now. Raises :class:`HostFailed` for a record that is damaged."""
    return [find_status(clone) for clone in _read_clones(clones_dir)]


def find_status(clone: Clone) -> CloneStatus:
    """Return what ``clone`` does now."""
    pid = find_running(clone.machine())
    return CloneStatus(clone, CloneState.STOPPED if pid is None else CloneState.RUNNING, pid)


def open_clone(clones_dir: Path, name: str) -> Clone:
    """Return the clone called ``name``; raises :class:`HostFailed` when there is none."""
    return read_clone(find_directory(clones_dir, name))


def start_clone(clone: Clone, *, accelerator: Accelerator | None = None) -> Clone:
    """Start a stopped clone and return it; its port changes when somebody else took it meanwhile.

    ``accelerator`` replaces the recorded one, since a host may have won or lost KVM. A running clone is returned as it
    is. Raises :class:`HostFailed` when its image is gone, :class:`ToolFailed` when QEMU refuses.
    """
    if find_status(clone).state is CloneState.RUNNING:
        return clone
    if not clone.backing.is_file():
        raise HostFailed(
            f"clone {clone.name} needs {clone.backing}, which is gone",
            hint=f"remove the clone, or bring back image {clone.reference}",
        )
    if accelerator is not None and accelerator is not clone.accelerator:
        clone = replace(clone, accelerator=accelerator, cpu_model=choose_cpu_model(accelerator))
    clone = replace(clone, sockets=make_machine_dir(str(clone.uuid)))
    clones_dir, wanted = clone.directory.parent, clone.port if is_free(clone.port) else 0
    with reserve_port(find_runtime_dir(), lambda: _list_ports(clones_dir), wanted=wanted) as port:
        if port != clone.port:
            (clone.directory / "known_hosts").unlink(missing_ok=True)  # names the old port
        clone = replace(clone, port=port)
        write_clone(clone)
        start_detached(clone.machine())
    return clone


def wait_until_up(clone: Clone, *, timeout_seconds: float = 0, progress: Progress = silent) -> GuestFacts:
    """Return what the clone says of itself once it can be entered and cloud-init is done without errors.

    With a key of ours this is proven over SSH, with the operator's keys through the guest agent. Its host keys are
    recorded on first contact. ``timeout_seconds`` bounds each stage of the boot, 0 chooses. Raises
    :class:`BootStopped` (a :class:`HostFailed`) naming the stage.
    """
    started = time.monotonic()
    machine = clone.machine()

    def tell(stage: Stage) -> None:
        progress(Event(f"booting {clone.name}", done=int(time.monotonic() - started), unit="s", detail=str(stage)))

    seconds = timeout_seconds or choose_patience(clone.accelerator)
    watch = Watch(machine, lambda: find_running(machine) is not None, seconds, tell)
    wait_for_ssh(watch)
    known = _read_known_host(clone)
    if clone.own_key:
        entry = log_in_when_ready(watch, clone.user, clone.directory / "id_ed25519", host_key=known)
        with entry.host as host:
            tell(Stage.CLOUD_INIT)
            facts = read_facts_over_ssh(host, timeout=seconds)
            shown = host.host_key
    else:
        tell(Stage.CLOUD_INIT)
        facts = read_facts_through_agent(machine, timeout=seconds)
        with SshHost.connect("127.0.0.1", clone.port, timeout=30, expected=known) as host:
            shown = host.host_key
    _write_known_hosts(clone, {shown, *facts.host_keys})
    if facts.cloud_disabled or facts.cloud_errors or not facts.cloud_finished:
        errors = "; ".join(facts.cloud_errors) or ("it is disabled" if facts.cloud_disabled else "it is not done")
        raise BootStopped(
            f"{clone.name} runs, but cloud-init failed: {errors}",
            stage=Stage.CLOUD_INIT,
            fault=None,
            hint="read /var/log/cloud-init.log in the clone",
        )
    return facts


def stop_clone(clone: Clone, *, patience: float = _POWER_BUTTON_SECONDS) -> None:
    """Press the clone's power button, pull the plug after ``patience`` seconds; a stopped clone stays as it is."""
    stop_machine(clone.machine(), patience=patience)


def remove_clone(clone: Clone) -> None:
    """Stop the clone at once and delete it. A crash leaves a directory ``.making-…``, which the next call removes."""
    stop_clone(clone, patience=0)
    aside = clone.directory.with_name(f"{_ASIDE}{clone.name}-{os.getpid()}")
    clone.directory.rename(aside)
    shutil.rmtree(aside)
    shutil.rmtree(clone.sockets, ignore_errors=True)


def _taken(name: str) -> Refused:
    return Refused(f"there is already a clone {name}", hint="choose another name, or remove that clone first")


def _read_clones(clones_dir: Path) -> list[Clone]:
    if not clones_dir.is_dir():
        return []
    return [read_clone(path) for path in sorted(clones_dir.iterdir()) if path.is_dir() and path.name[0] != "."]


def _list_ports(clones_dir: Path) -> set[int]:
    return {clone.port for clone in _read_clones(clones_dir)}


def _remove_abandoned(clones_dir: Path) -> None:
    """Delete what a crash left an hour ago or earlier; anything younger may be in the making."""
    for path in clones_dir.glob(f"{_ASIDE}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                shutil.rmtree(path, ignore_errors=True)


def _read_known_host(clone: Clone) -> HostKey | None:
    """Return the key recorded at first contact, or ``None`` before it."""
    with contextlib.suppress(FileNotFoundError):
        for line in (clone.directory / "known_hosts").read_text().splitlines():
            match line.split():
                case [_, kind, blob, *_] if kind == "ssh-ed25519":
                    return HostKey(kind, blob)
    return None


def _write_known_hosts(clone: Clone, keys: set[HostKey]) -> None:
    """Record all of the clone's host keys, so that ``ssh`` has no question whichever it likes best."""
    lines = [key.format_known_host("127.0.0.1", clone.port) for key in sorted(keys, key=lambda key: key.type)]
    aside = clone.directory / f".known_hosts.{os.getpid()}"
    aside.write_text("".join(lines))
    aside.replace(clone.directory / "known_hosts")
