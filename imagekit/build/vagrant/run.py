"""One call of Vagrant that changes something: watched, bounded in time, and interrupted the way Vagrant wants it."""

import contextlib
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from imagekit.build.vagrant.machine_readable import Fault
from imagekit.build.vagrant.tool import VagrantTool, make_vagrant_environment
from imagekit.build.vagrant.watch import Watch
from imagekit.host import start
from imagekit.host.local import end, read_status
from imagekit.progress import Progress

_POLL_SECONDS = 0.05
_CLEANING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended: its status, in which step, the error it told, and the end of what it said.

    ``late`` says that it took longer than it was given, and was ended.
    """

    status: int
    step: str
    fault: Fault | None
    lines: tuple[str, ...]
    late: bool = False

    @property
    def done(self) -> bool:
        """Whether it did what it was asked for."""
        return self.status == 0 and not self.late


def run_watched(
    tool: VagrantTool,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    step: str,
    progress: Progress,
    timeout: float,
) -> Outcome:
    """Run ``vagrant ARGUMENTS --machine-readable`` to its end, which may be a failure; ``timeout`` is in seconds.

    Ctrl-C is handed on as SIGINT, on which Vagrant undoes what it was making; it has a minute for that.
    """
    watch = Watch(step, progress)
    running = start(
        [tool.program, *arguments, "--machine-readable"],
        environment=make_vagrant_environment(environment),
        stdout=watch.output,
        stderr=watch.errors,
    )
    deadline = time.monotonic() + timeout
    late = False
    try:
        while running.is_alive():
            watch.pump()
            if time.monotonic() > deadline:
                late = True
                _interrupt(running)
                break
            time.sleep(_POLL_SECONDS)
    except BaseException:
        _interrupt(running)
        raise
    status = read_status(running)
    watch.close()
    return Outcome(status, watch.step, watch.fault, watch.list_last_lines(), late)


def _interrupt(running: Any) -> None:  # noqa: ANN401 - sh has no types
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(running.pid, signal.SIGINT)
    deadline = time.monotonic() + _CLEANING_SECONDS
    while running.is_alive() and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    end(running)
