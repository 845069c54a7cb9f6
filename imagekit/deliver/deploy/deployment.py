"""A deployment from its first look to its last: what would change, the copy, the switch, the check, the word.

Up to the switch nothing on the target changes but its store. From then on the target's own watchdog decides
(:mod:`imagekit.deliver.deploy.watchdog`); whatever happens to this process, an unconfirmed system goes away again.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from imagekit.deliver.deploy import switch
from imagekit.deliver.deploy.health import Health, HealthPolicy, ask_round, wait_until_healthy
from imagekit.deliver.deploy.push import (
    Road,
    Shipment,
    Source,
    carry_over,
    check_room,
    copy_directly,
    find_missing,
    list_closure,
    list_target_closure,
)
from imagekit.deliver.deploy.switch import State, Step, Timing
from imagekit.deliver.deploy.target import RunningSystem, Target, list_failed_units, read_running_system
from imagekit.errors import HostFailed, ImagekitError, Refused, VerificationFailed
from imagekit.progress import Event, Progress, silent

_CHECKING = "checking the machine"
_ENTERING = "entering it anew"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What is to run where.

    ``address`` is where DNS answers before, ``next_address`` where it has to afterwards: the same, unless the new
    configuration gives the machine another one. ``road`` is ``None`` where the source cannot enter the target.
    ``health`` is ``None`` when only the connection has to stand the switch.
    """

    path: str
    source: Source
    target: Target
    address: str
    next_address: str
    road: Road | None = None
    health: HealthPolicy | None = field(default_factory=HealthPolicy)
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deployment will do: nothing at all when the system runs already and is what the machine starts.

    ``before`` and ``after`` are the store paths of the two systems, the former empty when its store does not tell.
    """

    running: RunningSystem
    before: tuple[str, ...]
    after: tuple[str, ...]
    shipment: Shipment
    nothing_to_do: bool


@dataclass(frozen=True, slots=True)
class Deployed:
    """How it ended well: the system that runs now, and its generation of the profile."""

    plan: Plan
    path: str
    generation: int


class SwitchFailed(HostFailed):
    """The target did not take the new system; ``detail`` is the end of what the switch said."""

    def __init__(self, message: str, *, detail: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.detail = detail


class SystemUnfit(VerificationFailed):
    """The new system ran and did not do its work; ``problems`` says what was seen, a sentence each."""

    def __init__(self, message: str, *, problems: tuple[str, ...], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


def plan_deployment(deployment: Deployment, progress: Progress = silent) -> Plan:
    """Compare what is to run with what runs; changes nothing.

    Raises :class:`HostFailed` for a machine that does not run NixOS, :class:`Refused` for one of another processor.
    """
    target, source = deployment.target, deployment.source
    progress(Event("comparing the systems"))
    running = read_running_system(target)
    _require_same_processor(deployment, running)
    closure = list_closure(source, deployment.path)
    before = list_target_closure(target, running.path)
    shipment = find_missing(source, target, closure)
    same = running.path == deployment.path == running.profile_path
    return Plan(running, before, closure, shipment, nothing_to_do=same)


def deploy(deployment: Deployment, plan: Plan, progress: Progress = silent) -> Deployed:
    """Bring the system there, switch, check, keep it; or go back, and raise what was wrong with it.

    Raises :class:`SwitchFailed` or :class:`HostFailed` when the switch failed or the machine was lost, and
    :class:`SystemUnfit` when it did not answer as it should; the message says what runs now.
    """
    target = deployment.target
    if plan.nothing_to_do:
        return Deployed(plan, deployment.path, plan.running.generation)
    if plan.shipment.sizes:
        check_room(target, plan.shipment, deployment.path)
        _push(deployment, plan, progress)
    baseline = _look_before(deployment, progress)
    if deployment.next_address != deployment.address:
        target.addresses = (*target.addresses, deployment.next_address)
        note = f"the new configuration moves the machine from {deployment.address} to {deployment.next_address}"
        progress(Event("switching", note=note))
    progress(Event("switching", detail="it goes back by itself unless it is confirmed"))
    left = switch.start_switch(target, plan.running, deployment.path, deployment.timing)
    if left and not left.startswith("committed"):
        progress(Event("switching", note=f"a deployment before this one ended unseen: {left}"))
    try:
        health, state = _try_system(deployment, baseline, progress)
    except HostFailed as problem:
        _hurry_back(target)
        raise SwitchFailed(
            f"{target.name} was lost in the middle: {problem.message}",
            hint=f"it goes back by itself when it hears nothing for {deployment.timing.patience} s; look again then",
        ) from problem
    except BaseException:  # Ctrl-C, a kill, a bug
        progress(Event("going back", note=f"{target.name} goes back to its old system"))
        _hurry_back(target)
        raise
    if state.step is not Step.COMMITTED:
        _explain(deployment, plan, baseline, health, state, progress)
    switch.tidy(target)
    return Deployed(plan, deployment.path, read_running_system(target).generation)


def _hurry_back(target: Target) -> None:
    """Say that the system is not wanted; the watchdog needs no word for that, but with one it is sooner."""
    with contextlib.suppress(ImagekitError):
        switch.hurry_back(target)


@dataclass(frozen=True, slots=True)
class _Baseline:
    """What was well before: only that is required after."""

    answered: frozenset[str]
    failed_units: frozenset[str]


def _push(deployment: Deployment, plan: Plan, progress: Progress) -> None:
    """Send what is missing, by the direct road first; where that leads nowhere, through this machine."""
    arrived = False
    if deployment.road is not None:
        try:
            copy_directly(deployment.source, deployment.road, deployment.path, plan.shipment, progress)
            arrived = True
        except HostFailed as problem:
            progress(Event("copying the system", note=f"{problem.message}; it goes through this machine now"))
    if not arrived:
        left = find_missing(deployment.source, deployment.target, tuple(plan.shipment.sizes))
        carry_over(deployment.source, deployment.target, left, progress)
    missing = find_missing(deployment.source, deployment.target, tuple(plan.shipment.sizes))
    if missing.sizes:
        raise HostFailed(
            f"{len(missing.sizes)} of {len(plan.shipment.sizes)} paths did not arrive on {deployment.target.name}",
            hint="run the same command again",
        )


def _look_before(deployment: Deployment, progress: Progress) -> _Baseline:
    """See what answers now, so that nobody blames the new system for what was broken before."""
    policy = deployment.health
    if policy is None:
        return _Baseline(frozenset(), frozenset())
    progress(Event("checking the machine as it is"))
    before = ask_round(deployment.address, policy)
    for problem in before.problems:
        progress(Event("checking the machine as it is", note=f"before the switch: {problem}"))
    return _Baseline(before.answered, list_failed_units(deployment.target))


def _try_system(deployment: Deployment, baseline: _Baseline, progress: Progress) -> tuple[Health | None, State]:
    """Hear how the switch went, look whether the machine does its work, say the word; return how it ended."""
    target, timing, policy = deployment.target, deployment.timing, deployment.health

    def tell_log(state: State) -> None:
        progress(Event("switching", detail=state.log.rpartition("\n")[2]))

    limit = switch.limit_of_switch(timing)
    state = switch.wait_for(target, frozenset({Step.SWITCHED}), seconds=limit, on_state=tell_log)
    if state.step is not Step.SWITCHED:
        return None, state
    # A connection that is open outlives a lost key or a closed port: what counts is that the new system lets us in.
    progress(Event(_ENTERING))
    target.close()
    if policy is None:
        return None, switch.confirm(target, timing)

    def name_new_failures() -> tuple[str, ...]:
        found = list_failed_units(target) - baseline.failed_units
        return tuple(f"{unit} failed" for unit in sorted(found))

    def tell(health: Health, gone: float) -> None:
        detail = health.problems[0] if health.problems else "it answers"
        progress(Event(_CHECKING, min(int(gone), int(policy.seconds)), int(policy.seconds), "s", detail))

    health = wait_until_healthy(
        deployment.next_address, policy, _list_required(policy, baseline), more=name_new_failures, on_round=tell
    )
    if health.good:
        progress(Event("confirming"))
        return health, switch.confirm(target, timing)
    progress(Event("going back"))
    return health, switch.abort(target, timing)


def _list_required(policy: HealthPolicy, baseline: _Baseline) -> frozenset[str]:
    """Return the names that must be answered: the machine's own always, an outside one when it was before.

    Where nothing answered before, DNS is what this deployment is to bring, and everything is required.
    """
    if not baseline.answered or (policy.own and policy.own not in baseline.answered):
        return frozenset({policy.own, *policy.outside})
    return frozenset({policy.own}) | baseline.answered


def _explain(
    deployment: Deployment, plan: Plan, baseline: _Baseline, health: Health | None, state: State, progress: Progress
) -> None:
    """Look whether the old system does its work again, and raise what happened."""
    target, name = deployment.target, deployment.target.name
    if state.step is Step.STUCK:
        raise SwitchFailed(
            f"{name} runs neither the new system nor surely the old one: {state.reason}",
            detail=state.log,
            hint=f"restart it: its boot menu still has {plan.running.path}; the log is in {target.paths.work} there",
        )
    again = _look_after(deployment, baseline, progress)
    switch.tidy(target)
    if health is not None and health.problems:
        raise SystemUnfit(
            f"the new system does not do its work; {name} runs the old one again{again}",
            problems=health.problems,
            hint=f"what it said is in its journal; the old system is {plan.running.path}",
        )
    raise SwitchFailed(f"{name} runs its old system again{again}: {state.reason}", detail=state.log)


def _look_after(deployment: Deployment, baseline: _Baseline, progress: Progress) -> str:
    """Return how the old system does, as the end of a clause."""
    policy = deployment.health
    if read_running_system(deployment.target).path == deployment.path:
        return ", as its watchdog says, and yet the new one is current"
    if policy is None or not baseline.answered:
        return ""
    progress(Event("checking the old system"))
    health = wait_until_healthy(deployment.address, policy, baseline.answered)
    return ", which answers" if health.good else f", which does not answer either: {health.problems[0]}"


def _require_same_processor(deployment: Deployment, running: RunningSystem) -> None:
    """Compare the two systems' own ``system`` files (nixpkgs' top-level.nix); what has none is not judged."""
    new = _read_word(lambda: deployment.source.host.read_file(f"{deployment.path}/system", limit=100))
    old = _read_word(lambda: deployment.target.host.read_file(f"{running.path}/system", limit=100))
    if new and old and new != old:
        raise Refused(
            f"the system is for {new}, and {deployment.target.name} is a machine for {old}",
            hint="the address is another machine's, or the definition's architecture is wrong",
        )


def _read_word(read: Callable[[], bytes]) -> str:
    try:
        return read().decode(errors="replace").strip()
    except ImagekitError:
        return ""
