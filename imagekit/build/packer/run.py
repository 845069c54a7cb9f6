"""Run ``packer build``: named steps while it works, a masked log, and nothing left however it ends.

Packer leads its own process group, so Ctrl-C reaches us alone. It writes to files and not to pipes: should imagekit be
killed, the parent-death signal (SIGTERM) lets Packer clean up, and no broken pipe ends it in the middle of that.
"""

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imagekit.build.packer.failure import Failure, explain_failure, explain_nothing
from imagekit.build.packer.interrupts import Interrupts, hear_interrupts
from imagekit.build.packer.log import MaskedLog
from imagekit.build.packer.machine_readable import Artifact, collect_artifacts
from imagekit.build.packer.mask import Masker
from imagekit.build.packer.processes import MARK, end_processes
from imagekit.build.packer.remains import OpenBuild
from imagekit.build.packer.room import open_room
from imagekit.build.packer.steps import StepTime
from imagekit.build.packer.tool import PackerTool
from imagekit.build.packer.validate import list_options, name_secrets, raise_diagnostics, read_diagnostics
from imagekit.build.packer.watch import Watch
from imagekit.errors import ImagekitError
from imagekit.host import start
from imagekit.host.local import read_status
from imagekit.machine.serial import read_tail
from imagekit.progress import Progress, silent

_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 60.0
_END_IT = "when you have seen enough, end and remove it with: imagekit leftovers --remove"
_HANDSHAKE = re.compile(r"(?:SSH handshake err|TCP connection to SSH ip/port failed): (.{1,300})")


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished build: what it made, how long each step took, Packer's warnings, and its log without secrets."""

    artifacts: tuple[Artifact, ...]
    steps: tuple[StepTime, ...]
    warnings: tuple[str, ...]
    log: Path


def run_build(
    tool: PackerTool,
    directory: Path,
    *,
    build: OpenBuild,
    workspace: Path,
    log: Path,
    masker: Masker,
    var_files: Sequence[Path] = (),
    secrets: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    only: str = "",
    keep: bool = False,
    serial_log: Path | None = None,
    ssh_user: str = "",
    ssh_key: Path | None = None,
    progress: Progress = silent,
) -> Outcome:
    """Build the template in ``directory``, which is also Packer's working directory, and return what came of it.

    ``build`` is the open record of this build in ``workspace``, where Packer's private directory is made. ``secrets``
    maps variables to values, which go by the environment and are masked; ``masker`` knows every other secret, those in
    ``environment`` too. ``log`` is written masked, mode 0600, while Packer runs. With ``keep`` a machine whose build
    fails is left running, and ``ssh_user`` and ``ssh_key`` are named as the way in. There is no time limit but the
    template's own.

    Raises :class:`ToolFailed` and :class:`HostFailed` with the likely cause, :class:`DefinitionInvalid` for a template
    that Packer refuses, and after Ctrl-C :class:`KeyboardInterrupt`: the first lets Packer clean up, the second ends
    it at once. Nothing of the build runs afterwards, unless it was kept.
    """
    masker = masker.extend((secrets or {}).values())
    with open_room(workspace, lambda place: build.note(temporary=os.fspath(place))) as temporary:
        own_log, said = temporary / "packer.log", temporary / "said"
        values = dict(environment or {}) | name_secrets(secrets or {})
        values |= tool.environment(temporary, tool.cache or workspace)
        values |= {MARK: build.id, "PACKER_LOG": "1", "PACKER_LOG_PATH": os.fspath(own_log)}
        argv = [os.fspath(tool.program), "-machine-readable", "build", "-color=false", "-timestamp-ui=false"]
        argv += [f"-on-error={'abort' if keep else 'cleanup'}", *list_options(var_files, only), "."]
        watch = Watch(said, build.id, masker, progress, serial_log)
        with (
            contextlib.closing(MaskedLog(own_log, log, masker)) as kept_log,
            hear_interrupts() as interrupts,
            said.open("wb") as output,
        ):
            running = start(argv, environment=values, directory=directory, stdout=output, stderr=output)
            with _ended(running, build):
                build.note(process=running.pid)
                _follow(running, watch, kept_log, interrupts, build)
    if interrupts.count:
        end_processes(build.id, workspace, grace=0)
        interrupts.deliver()
    status = read_status(running)
    if status == 0 and watch.count > 0:
        warnings = (*watch.warnings, *([kept_log.problem] if kept_log.problem else []))
        return Outcome(collect_artifacts(watch.facts), watch.clock.list_times(), warnings, log)
    step = watch.clock.failed or watch.clock.name
    handshakes = tuple(_HANDSHAKE.findall(read_tail(log)))
    kept = keep and status == 1 and bool(watch.errors)
    failure = Failure(
        status, step, tuple(watch.errors), watch.list_last_lines(), handshakes, serial_log, workspace, log, kept
    )
    problem = _explain(failure, watch, directory, tool)
    if kept:
        build.keep(problem.message)
        problem.hint = f"{_describe_kept(watch, ssh_user, ssh_key)}\n{problem.hint or ''}".strip()
    else:
        end_processes(build.id, workspace, grace=0)
    raise problem


def _follow(running: Any, watch: Watch, log: MaskedLog, interrupts: Interrupts, build: OpenBuild) -> None:  # noqa: ANN401
    """Tell what happens until Packer ends; the first interrupt asks it to clean up, a second ends it at once."""
    answered = 0
    while running.is_alive():
        watch.pump()
        log.pump()
        watch.tick()
        if interrupts.count > answered:
            answered = interrupts.count
            if answered == 1:
                watch.tell_interrupted()
                _send(running, signal.SIGINT)
            else:
                _send(running, signal.SIGKILL)
                end_processes(build.id, build.workspace, grace=0)
        time.sleep(_POLL_SECONDS)
    watch.close()


@contextlib.contextmanager
def _ended(running: Any, build: OpenBuild) -> Iterator[None]:  # noqa: ANN401 - sh has no types
    """End Packer when the block is left by an exception: it may clean up for a minute, then it is killed."""
    try:
        yield
    except BaseException:
        _send(running, signal.SIGINT)
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while running.is_alive() and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        _send(running, signal.SIGKILL)
        end_processes(build.id, build.workspace, grace=0)
        raise


def _send(running: Any, number: signal.Signals) -> None:  # noqa: ANN401 - sh has no types
    """Send a signal to Packer's process group: its wrapper alone ignores SIGINT and waits for the rest."""
    if running.is_alive():  # else its id may be somebody else's by now
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(running.pid, number)


def _explain(failure: Failure, watch: Watch, directory: Path, tool: PackerTool) -> ImagekitError:
    if failure.status == 0:
        return explain_nothing(failure)
    if watch.diagnostics and not watch.errors:
        try:
            raise_diagnostics(list(read_diagnostics("\n".join(watch.diagnostics), directory)), directory, tool)
        except ImagekitError as problem:
            return problem
    return explain_failure(failure)


def _describe_kept(watch: Watch, user: str, key: Path | None) -> str:
    """Say how to look into the machine that was left running.

    ``-on-error=abort`` skips every clean-up: QEMU outlives Packer with its port forwarded, a VM on a cluster runs on.
    """
    if not watch.address:
        return f"the machine was left running; {_END_IT}"
    # The next machine at this port has another host key: nothing of this one is to be remembered.
    words = ["ssh", *(["-p", str(watch.port)] if watch.port else []), *(["-i", os.fspath(key)] if key else [])]
    words += ["-o", "UserKnownHostsFile=/dev/null"]
    way = " ".join([*words, f"{user}@{watch.address}" if user else watch.address])
    return f"the machine was left running, look into it with: {way}\n{_END_IT}"
