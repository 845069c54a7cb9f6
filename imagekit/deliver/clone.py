"""A local clone as a value, and the record on disk that keeps it.

``CLONES/NAME/`` holds ``clone.json``, ``disk.qcow2``, ``vars.fd``, ``seed.iso``, ``id_ed25519`` (when no key was
given), ``known_hosts`` and ``serial.log``. A directory is made aside and renamed, so what has a name is complete.
"""

import os
import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from imagekit.errors import HostFailed
from imagekit.image import DiskFormat, parse_name
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.model import Disk, Machine

_FORMAT = 1
_RECORD = "clone.json"
_RECORD_BYTES = 64 << 10


class CloneState(StrEnum):
    """What a clone does now."""

    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Clone:
    """One clone as recorded. ``backing`` is the raw disk it reads; ``reference`` and ``digest`` say which version.

    ``sockets`` is the directory of its control sockets, which does not survive a boot of the host. ``own_key`` tells
    that imagekit made its key; otherwise the operator's own keys let in.
    """

    name: str
    reference: str
    digest: str
    backing: Path
    user: str
    uuid: UUID
    mac: str
    port: int
    memory_mib: int
    cpus: int
    disk_bytes: int
    accelerator: Accelerator
    cpu_model: str
    firmware_code: Path
    sockets: Path
    own_key: bool
    created: str
    directory: Path

    def ssh_command(self) -> tuple[str, ...]:
        """Return the command that enters the clone without a question, once its host keys were recorded."""
        identity = ("-i", str(self.directory / "id_ed25519"), "-o", "IdentitiesOnly=yes") if self.own_key else ()
        known = f"UserKnownHostsFile={_quote_option(self.directory / 'known_hosts')}"
        return ("ssh", *identity, "-p", str(self.port), "-o", known, f"{self.user}@127.0.0.1")

    def machine(self) -> Machine:
        """Return the machine that this clone is."""
        return Machine(
            name=self.name,
            uuid=self.uuid,
            mac=self.mac,
            memory_mib=self.memory_mib,
            cpus=self.cpus,
            cpu_model=self.cpu_model,
            accelerator=self.accelerator,
            firmware_code=self.firmware_code,
            firmware_vars=self.directory / "vars.fd",
            disks=(Disk(self.directory / "disk.qcow2", DiskFormat.QCOW2),),
            seed=self.directory / "seed.iso",
            ssh_port=self.port,
            serial_log=self.directory / "serial.log",
            monitor_socket=self.sockets / "monitor.sock",
            agent_socket=self.sockets / "agent.sock",
            pidfile=self.sockets / "qemu.pid",
            reboots=True,
        )


@dataclass(frozen=True, slots=True)
class CloneStatus:
    """A clone and what it does now; ``pid`` is QEMU's while it runs."""

    clone: Clone
    state: CloneState
    pid: int | None

    def describe(self) -> dict[str, object]:
        """Return plain values for ``--json``."""
        return {
            "name": self.clone.name,
            "state": str(self.state),
            "reference": self.clone.reference,
            "digest": self.clone.digest,
            "address": "127.0.0.1",
            "port": self.clone.port,
            "user": self.clone.user,
            "ssh": shlex.join(self.clone.ssh_command()),
            "created": self.clone.created,
            "pid": self.pid,
        }


def write_clone(clone: Clone) -> None:
    """Write the record of ``clone`` into its directory; a crash leaves the old record."""
    import msgspec

    fields = {name: getattr(clone, name) for name in clone.__slots__ if name != "directory"}
    document = msgspec.json.encode({"format": _FORMAT, **fields}, enc_hook=_encode)
    aside = clone.directory / f".{_RECORD}.{os.getpid()}"
    try:
        with aside.open("wb") as file:
            file.write(msgspec.json.format(document) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        aside.replace(clone.directory / _RECORD)
    finally:
        aside.unlink(missing_ok=True)


def read_clone(directory: Path) -> Clone:
    """Read the record in ``directory``; raises :class:`HostFailed` when it is missing, damaged or of another format."""
    import msgspec

    record = directory / _RECORD
    try:
        if record.stat().st_size > _RECORD_BYTES:
            raise ValueError("it is too long")
        document = msgspec.json.decode(record.read_bytes(), type=dict[str, object])
        if document.pop("format", None) != _FORMAT:
            raise ValueError(f"its format is not {_FORMAT}")
        clone = msgspec.convert({**document, "directory": directory}, Clone, dec_hook=_decode)
    except FileNotFoundError as problem:
        raise HostFailed(f"there is no clone {directory.name}", hint="see: imagekit clone --local --list") from problem
    except (OSError, ValueError) as problem:  # msgspec's own errors are ValueErrors
        raise HostFailed(f"{record} cannot be used: {problem}", hint=f"remove the directory {directory}") from problem
    return clone


def find_directory(clones_dir: Path, name: str) -> Path:
    """Return where clone ``name`` is or would be; raises :class:`DefinitionInvalid` for a name that cannot be one."""
    return clones_dir / parse_name(name, what="clone name")


def _encode(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value).__name__)


def _decode(kind: type, value: object) -> object:
    if kind is Path:
        if isinstance(value, Path):
            return value
        if isinstance(value, str):
            return Path(value)
    raise NotImplementedError(kind.__name__)


def _quote_option(path: Path) -> str:
    """Quote a path inside an ssh option, which would split it at spaces and expand ``%`` (ssh_config(5))."""
    text = str(path).replace("%", "%%")
    return f'"{text}"' if " " in text else text
