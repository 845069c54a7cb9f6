"""Switching a target under its watchdog: start it, hear what it did, tell it to keep or to go back."""

import contextlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from imagekit.deliver.deploy import watchdog
from imagekit.deliver.deploy.target import RunningSystem, Target
from imagekit.errors import HostFailed, Refused, ToolFailed
from imagekit.host import Completed

_PAUSE = 0.5
# How much longer than its own limits the watchdog may take: it counts sleeps, on a slow machine.
_MARGIN_SECONDS = 30.0


class Step(StrEnum):
    """Where the watchdog is; the last three are ends."""

    SWITCHING = "switching"
    SWITCHED = "switched"
    ROLLING_BACK = "rolling-back"
    COMMITTING = "committing"
    COMMITTED = "committed"
    ROLLED_BACK = "rolled-back"
    STUCK = "stuck"


ENDS = frozenset({Step.COMMITTED, Step.ROLLED_BACK, Step.STUCK})
_LINE = re.compile(r"([a-z-]+)(?: (.{0,280}))?")


@dataclass(frozen=True, slots=True)
class Timing:
    """``switch`` seconds for each run of a system's switch, ``patience`` until our word must have come."""

    switch: int = 600
    patience: int = 240


@dataclass(frozen=True, slots=True)
class State:
    """What the watchdog last said: its step, why, and the end of the switch's own words."""

    step: Step
    reason: str = ""
    log: str = ""


def start_switch(target: Target, running: RunningSystem, new: str, timing: Timing) -> str:
    """Start the watchdog, which switches; return what was left by a deployment before this one, empty without.

    Raises :class:`Refused` when another one is under way.
    """
    paths = target.paths
    script = watchdog.SCRIPT.encode()
    answer = target.run_script(watchdog.PREPARE, paths.work, running.path, new, paths.gc_root, stdin=script)
    kind, _, said = answer.output[:400].decode(errors="replace").strip().partition(" ")
    if kind == "busy":
        raise Refused(
            f"another deployment to {target.name} is under way: {said or 'starting'}",
            hint=f"wait until it has ended; it is in {paths.work} there",
        )
    # The old system's programs: what is running will be kept, whatever the new one brings.
    path = f"{running.path}/sw/bin:/run/current-system/sw/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    unit = f"imagekit-deploy-{secrets.token_hex(4)}"
    arguments = [paths.work, new, running.path, paths.profile, target.find_program("nix-env")]
    limits = [str(timing.switch), str(timing.patience)]
    try:
        target.run_script(watchdog.LAUNCH, paths.work, unit, path, *arguments, *limits)
    except ToolFailed as problem:
        target.run_script(watchdog.CLEAR, paths.work, paths.gc_root, check=False)
        raise HostFailed(
            f"the watchdog could not be started on {target.name}: {_last_line(problem.detail)}",
            hint="nothing was switched",
        ) from problem
    return said


def read_state(target: Target) -> State:
    """Return where the watchdog is; raises :class:`HostFailed` when nothing is known of one."""
    return _parse(target, _look(target))


def wait_for(
    target: Target, steps: frozenset[Step], *, seconds: float, on_state: Callable[[State], None] | None = None
) -> State:
    """Wait until the watchdog is at one of ``steps`` or at an end, over new connections where one is lost.

    ``on_state`` hears each look. Raises :class:`HostFailed` when that takes longer than ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        left = max(deadline - time.monotonic(), 0.0)
        state = _parse(target, target.ask(lambda: _look(target), seconds=left))
        if on_state is not None:
            on_state(state)
        if state.step in steps or state.step in ENDS:
            return state
        if time.monotonic() > deadline:
            raise HostFailed(
                f"{target.name} is still {state.step.value} after {seconds:.0f} s",
                hint="its watchdog ends it; look again in some minutes",
            )
        time.sleep(_PAUSE)


def confirm(target: Target, timing: Timing) -> State:
    """Tell the watchdog that all is well, and return how it ended: it may have gone back before the word came."""
    tell = [watchdog.TELL, target.paths.work, "confirm"]
    target.ask(lambda: target.run_script(*tell, check=False), seconds=float(timing.patience))
    return wait_for(target, ENDS, seconds=3 * timing.switch + _MARGIN_SECONDS)


def abort(target: Target, timing: Timing) -> State:
    """Tell the watchdog to go back now, and return how that ended.

    Where the machine cannot be reached it goes back by itself, and this waits for it. Raises :class:`HostFailed` when
    nothing was heard even then.
    """
    everything = timing.patience + 2 * timing.switch + _MARGIN_SECONDS
    with contextlib.suppress(HostFailed):
        target.ask(lambda: target.run_script(watchdog.TELL, target.paths.work, "abort", check=False), seconds=10.0)
    return wait_for(target, ENDS, seconds=everything)


def hurry_back(target: Target) -> None:
    """Say once that the watchdog shall go back, and do not wait; raises :class:`HostFailed` when nobody hears."""
    target.run_script(watchdog.TELL, target.paths.work, "abort", check=False)


def tidy(target: Target) -> None:
    """Remove what a deployment that ended left on the target; never raises for a machine that is gone again."""
    try:
        target.run_script(watchdog.TIDY, target.paths.work, target.paths.gc_root, check=False)
    except HostFailed:
        return


def limit_of_switch(timing: Timing) -> float:
    """Return how many seconds to wait for the first switch and, when that fails, the way back."""
    return 2 * timing.switch + _MARGIN_SECONDS


def _look(target: Target) -> Completed:
    return target.run_script(watchdog.LOOK, target.paths.work, check=False)


def _parse(target: Target, answer: Completed) -> State:
    """Read what LOOK says: the first line is the watchdog's, the rest what a switch said."""
    if answer.status == 3:
        return State(Step.SWITCHING)  # it has not said anything yet
    first, _, log = answer.output[:8192].decode(errors="replace").partition("\n")
    found = _LINE.fullmatch(first)
    if answer.status != 0 or found is None or found.group(1) not in list(Step):
        raise HostFailed(
            f"nothing is known about the deployment on {target.name}",
            hint=f"it was restarted, or {target.paths.work} was removed; it runs what its boot menu says",
        )
    return State(Step(found.group(1)), found.group(2) or "", log.strip())


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
