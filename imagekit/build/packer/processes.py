"""The processes of one build: found by a mark that they inherit, and asked for it again right before they are ended.

On Linux the mark is ``IMAGEKIT_BUILD=<id>`` in the environment a process was started with (proc_pid_environ(5)).
Elsewhere the environment cannot be read, so the path of the build's working directory in a command line must do.
"""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from imagekit.errors import ToolFailed
from imagekit.host import run

MARK = "IMAGEKIT_BUILD"
_PAUSE = 0.05


def find_processes(build_id: str, workspace: Path | None = None) -> tuple[int, ...]:
    """Return the ids of this user's processes that belong to the build, our own never among them."""
    if sys.platform == "linux":
        numbers = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
        return tuple(sorted(pid for pid in numbers if pid != os.getpid() and _is_marked(pid, build_id)))
    return _find_by_arguments(workspace) if workspace is not None else ()


def end_processes(build_id: str, workspace: Path | None = None, *, grace: float = 5.0) -> tuple[int, ...]:
    """End the processes of the build: SIGTERM, up to ``grace`` seconds, SIGKILL. Returns the ids that survived.

    New ones may appear while their parents end, so they are looked for again each time.
    """
    for number, wait in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        if number is signal.SIGTERM and grace <= 0:
            continue
        deadline = time.monotonic() + wait
        told: set[int] = set()
        while found := find_processes(build_id, workspace):
            for pid in found:
                if pid not in told or number is signal.SIGKILL:
                    _send(pid, number, build_id, workspace)
                    told.add(pid)
            if time.monotonic() > deadline:
                break
            time.sleep(_PAUSE)
        else:
            return ()
    return find_processes(build_id, workspace)


def _is_marked(pid: int, build_id: str) -> bool:
    """Say whether ``pid`` is a process of our own user that was started with the mark; a zombie has none."""
    place = Path(f"/proc/{pid}")
    try:
        if place.stat().st_uid != os.geteuid():
            return False
        return f"{MARK}={build_id}".encode() in (place / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _send(pid: int, number: signal.Signals, build_id: str, workspace: Path | None) -> None:
    """Send a signal to ``pid`` if it still belongs to the build.

    With pidfd_open(2) (Linux 5.3) the process that was asked is the one that is met; elsewhere the ids would have to
    go once around in the moment between.
    """
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform != "linux":
            if pid in _find_by_arguments(workspace):
                os.kill(pid, number)
            return
        try:
            descriptor = os.pidfd_open(pid)
        except OSError:
            if _is_marked(pid, build_id):
                os.kill(pid, number)
            return
        try:
            if _is_marked(pid, build_id):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def _find_by_arguments(workspace: Path | None) -> tuple[int, ...]:
    """Return the processes of our user whose command line names ``workspace``, by ps(1) of POSIX."""
    if workspace is None:
        return ()
    try:
        said = run(["ps", "-A", "-o", "pid=", "-o", "uid=", "-o", "args="], timeout=20)
    except ToolFailed:
        return ()
    return find_in_listing(said.output.decode(errors="replace"), workspace, os.geteuid(), os.getpid())


def find_in_listing(listing: str, workspace: Path, user: int, own: int) -> tuple[int, ...]:
    """Return the ids in a listing of ``pid uid args`` that are of ``user`` and name ``workspace``, without ``own``."""
    found = []
    for line in listing.splitlines():
        words = line.split(None, 2)
        if len(words) == 3 and words[0].isdigit() and words[1] == str(user) and f"{workspace}/" in f"{words[2]}/":
            found.append(int(words[0]))
    return tuple(sorted(pid for pid in found if pid != own))
