"""What builds with Packer leave when they die, and how the next run finds it: one locked record for each build.

The record is ``state/packer/<build id>.json`` and the lock the file ``.lock`` beside it (flock(2), which ends with its
process however that ends). It is written before anything else is made, so ``kill -9`` at any moment leaves either
nothing or a record of it.
"""

import contextlib
import fcntl
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from imagekit.build.packer.processes import end_processes, find_processes
from imagekit.build.packer.room import PREFIX
from imagekit.build.workspace import keep_workspace, remove_workspace
from imagekit.errors import HostFailed, Refused

_ID = re.compile(r"[a-z0-9][a-z0-9-]{3,63}")
_MARKER = ".imagekit-packer"
_LARGEST_RECORD = 1 << 16


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a build. ``began`` is in seconds since 1970; ``kept`` says why it was left on purpose.

    ``vm_id`` is 0 without a cluster, whose API is at ``cluster``; ``seed_volume`` is the volume id of an uploaded seed
    ISO.
    """

    build_id: str
    workspace: str
    began: float
    process: int = 0
    temporary: str = ""
    node: str = ""
    vm_id: int = 0
    seed_volume: str = ""
    kept: str = ""
    cluster: str = ""

    @property
    def on_cluster(self) -> bool:
        """Whether something may be left on the cluster, which only its own client can remove."""
        return bool(self.vm_id or self.seed_volume)


@dataclass(frozen=True, slots=True)
class Remains:
    """What a dead build left on this machine: its record, processes that still run, and directories."""

    record: Record
    path: Path
    processes: tuple[int, ...]
    directories: tuple[Path, ...]

    def describe(self) -> str:
        """Return one line for a person; of the cluster, what the record says."""
        began = time.strftime("%Y-%m-%d %H:%M", time.localtime(self.record.began))
        parts = [f"build {self.record.build_id} of {began}"]
        if self.record.kept:
            parts.append(f"kept: {self.record.kept}")
        parts.extend(self.list_parts())
        if self.record.vm_id:
            parts.append(f"VM {self.record.vm_id} on {self.record.node or 'the cluster'}")
        if self.record.seed_volume:
            parts.append(self.record.seed_volume)
        return ", ".join(parts)

    def list_parts(self) -> list[str]:
        """Return what is left on this machine beside the record, a few words for each thing."""
        running = f"{len(self.processes)} running process{'es' if len(self.processes) > 1 else ''}"
        return [*([running] if self.processes else []), *map(str, self.directories)]


class OpenBuild:
    """The record of the build that runs in this process."""

    def __init__(self, path: Path, record: Record) -> None:
        self._path = path
        self.record = record

    @property
    def id(self) -> str:
        """The build's id, the mark of its processes and of its VM on the cluster."""
        return self.record.build_id

    @property
    def workspace(self) -> Path:
        """The directory in which everything of this build lies."""
        return Path(self.record.workspace)

    def note(self, **changes: str | int) -> None:
        """Change fields of the record, on disk first; call it before the thing that is noted exists."""
        changed = replace(self.record, **changes)  # type: ignore[arg-type] # a wrong name or type shows in any test
        _write_record(self._path, changed)
        self.record = changed

    def keep(self, reason: str) -> None:
        """Leave everything as it is when the block ends, the workspace too; ``reason`` is shown with the remains.

        To be called once. Killed in between, this is a dead build like any other, and removed with its workspace.
        """
        keep_workspace(self.workspace, self._path)
        self.note(kept=reason)


@contextlib.contextmanager
def open_build(
    state: Path, build_id: str, *, workspace: Path, cluster: str = "", node: str = "", vm_id: int = 0,
    seed_volume: str = "",
) -> Iterator[OpenBuild]:  # fmt: skip
    """Yield the record of a new build, locked, and clean up after it when the block ends.

    Processes with the build's mark are ended, unless :meth:`OpenBuild.keep` was called. The record goes when nothing
    is left: it stays for a kept build, and when the block fails while ``vm_id`` or ``seed_volume`` is noted (note 0
    and "" once they are removed). The workspace is the caller's to remove. Raises :class:`Refused` for an id that is
    in use or malformed.
    """
    if not _ID.fullmatch(build_id):
        raise Refused(f"{build_id!r} cannot be the id of a build")
    directory = state / "packer"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = directory / f"{build_id}.json"
    with _lock(path) as locked:
        if not locked or path.exists():
            raise Refused(f"there is a build {build_id} already")
        (workspace / _MARKER).write_text(build_id)
        record = Record(
            build_id, os.fspath(workspace.absolute()), time.time(), cluster=cluster, node=node, vm_id=vm_id,
            seed_volume=seed_volume,
        )  # fmt: skip
        build = OpenBuild(path, record)
        build.note()
        done = False
        try:
            yield build
            done = True
        finally:
            if not build.record.kept:
                survivors = end_processes(build_id, workspace)
                if not survivors and (done or not build.record.on_cluster):
                    _forget(path)


def find_remains(state: Path) -> tuple[Remains, ...]:
    """Return what dead builds left, the oldest first; a build that still runs holds its lock and is left alone."""
    found = []
    for path in sorted((state / "packer").glob("*.json")):
        with _lock(path, create=False) as locked:
            if locked and (record := _read_record(path)) is not None:
                found.append(_look(path, record))
    return tuple(sorted(found, key=lambda one: one.record.began))


def find_live_builds(state: Path, cache: Path) -> frozenset[str]:
    """Return the ids of the builds that go on: their record is locked or, when Packer has ended, their workspace is.

    What they have on the cluster is no leftover.
    """
    records = {path.stem: path.with_suffix(".lock") for path in (state / "packer").glob("*.json")}
    alive = {build_id for build_id, lock in records.items() if _is_held(lock)}
    for marker in (cache / "builds").glob(f"*/{_MARKER}"):
        with contextlib.suppress(OSError):
            if _is_held(marker.with_name("lock")):
                alive.add(marker.read_text()[:64])
    return frozenset(alive)


def remove_remains(remains: Remains, *, forget: bool = True) -> None:
    """End the processes, remove the directories and forget the record; nothing happens when the build is not dead.

    ``forget`` is false while something of the build may be on the cluster: nobody else knows of it. Raises
    :class:`HostFailed` when something cannot be removed; the record stays then.
    """
    with _lock(remains.path, create=False) as locked:
        record = _read_record(remains.path) if locked else None
        if record is None:
            return
        workspace = Path(record.workspace)
        if survivors := end_processes(record.build_id, workspace):
            raise HostFailed(f"processes {', '.join(map(str, survivors))} of build {record.build_id} cannot be ended")
        for directory in _list_directories(record):
            remove_workspace(directory)
            if directory.exists():
                raise HostFailed(f"{directory} of build {record.build_id} cannot be removed")
        if forget:
            _forget(remains.path)


def _look(path: Path, record: Record) -> Remains:
    return Remains(record, path, find_processes(record.build_id, Path(record.workspace)), _list_directories(record))


def _list_directories(record: Record) -> tuple[Path, ...]:
    """Return the directories of a build that are there and certainly its own, whatever a record says.

    A workspace must hold the build's marker; a directory in the system's temporary one must be of our making.
    """
    found = []
    workspace, temporary = Path(record.workspace), Path(record.temporary or "/")
    with contextlib.suppress(OSError):
        if _is_own_directory(workspace) and (workspace / _MARKER).read_text() == record.build_id:
            found.append(workspace)
    if temporary.name.startswith(PREFIX) and _is_own_directory(temporary):
        found.append(temporary)
    return tuple(found)


def _is_own_directory(path: Path) -> bool:
    try:
        info = path.lstat()
    except OSError:
        return False
    return path.is_absolute() and stat.S_ISDIR(info.st_mode) and info.st_uid == os.geteuid()


def _is_held(lock: Path) -> bool:
    try:
        with lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextlib.contextmanager
def _lock(path: Path, *, create: bool = True) -> Iterator[bool]:
    """Yield whether the lock beside ``path`` was free; it is held through the block then."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    try:
        descriptor = os.open(path.with_suffix(".lock"), flags, 0o600)
    except FileNotFoundError:
        yield True  # nobody can hold a lock that is not there: its build died before it was made
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _forget(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_suffix(".lock").unlink(missing_ok=True)


def _write_record(path: Path, record: Record) -> None:
    """Write aside, to the disk, and into place: a crash leaves the old record or the new one."""
    aside = path.with_suffix(".new")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(record), file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _read_record(path: Path) -> Record | None:
    """Return a record, or None for a file that is none: it may be of a newer imagekit, so it is left alone."""
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(_LARGEST_RECORD))
        wanted = {one.name: one.type for one in fields(Record)}
        known = {name: value for name, value in values.items() if name in wanted}
        record = Record(**known)
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    texts = (
        record.build_id, record.workspace, record.temporary, record.node, record.seed_volume, record.kept,
        record.cluster,
    )  # fmt: skip
    numbers = (record.process, record.vm_id)
    if not all(isinstance(one, str) and "\0" not in one for one in texts):
        return None
    if not all(type(one) is int for one in numbers) or not isinstance(record.began, int | float):
        return None
    return record if record.build_id == path.stem and _ID.fullmatch(record.build_id) else None
