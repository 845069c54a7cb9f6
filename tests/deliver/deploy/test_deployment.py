"""A deployment to a real target: what is good stays, and after anything else the old system answers again."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.deliver.deploy.deployment import (
    Deployed,
    Deployment,
    SwitchFailed,
    SystemUnfit,
    deploy,
    plan_deployment,
)
from imagekit.deliver.deploy.health import HealthPolicy
from imagekit.deliver.deploy.push import Road
from imagekit.deliver.deploy.switch import Timing
from imagekit.errors import HostFailed, Refused
from imagekit.pipeline.deploy import list_changes
from imagekit.progress import Event, silent
from tests import tiny
from tests.deliver.deploy.world import NEW_ADDRESS, World, start_child, wait_until

pytestmark = pytest.mark.integration


def run(deployment: Deployment, progress: Callable[[Event], None] = silent) -> Deployed:
    """Plan and deploy."""
    return deploy(deployment, plan_deployment(deployment, progress), progress)


def assert_old_system(world: World) -> None:
    """Assert that the first system runs, is what the machine starts, answers, and that nothing is left."""
    first = world.build(tiny.X86_CONFIGURATION)
    assert world.running() == (first, first, 1)
    assert world.answers()
    assert not Path(world.paths.work).exists()
    assert not Path(world.paths.gc_root).is_symlink()


def test_good_system_stays(world: World) -> None:
    """It is tried first and written to the profile and the boot menu only when it answered."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)
    deployment = world.deployment(new)
    plan = plan_deployment(deployment)
    (change,) = list_changes(plan)
    assert (change.name, change.before, change.after) == ("openssl", ("3.5.1",), ("3.5.2",))
    done = deploy(deployment, plan)
    assert (done.path, done.generation) == (new, 2)
    assert world.running() == (new, new, 2)
    assert world.switches() == [f"test {new}", f"boot {new}"]
    assert world.answers()
    assert not Path(world.paths.work).exists()


def test_what_runs_already_is_left_alone(world: World) -> None:
    """Nothing is switched where the system is the same."""
    first = world.build(tiny.X86_CONFIGURATION)
    deployment = world.deployment(first)
    assert plan_deployment(deployment).nothing_to_do
    assert run(deployment).generation == 1
    assert not (world.state / "switched").exists()


def test_system_without_dns_goes_away_again(world: World) -> None:
    """A switch that says it went well and leaves a dead DNS is rolled back, and the old one answers."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)
    world.mark("dead", new)
    with pytest.raises(SystemUnfit, match="runs the old one again, which answers") as caught:
        run(world.deployment(new))
    assert any("does not answer by UDP" in problem for problem in caught.value.problems)
    assert any("does not answer by TCP" in problem for problem in caught.value.problems)
    assert_old_system(world)


def test_failed_switch_goes_away_again(world: World) -> None:
    """A switch that ends with a status is rolled back before anybody asks, and its words are shown."""
    with pytest.raises(
        SwitchFailed, match=r"old system again, which answers: the switch ended with status 4"
    ) as caught:
        run(world.deployment(world.build(tiny.X86_BAD_SWITCH)))
    assert "units failed" in caught.value.detail
    assert_old_system(world)


def test_hanging_switch_is_ended(world: World) -> None:
    """A switch that does not end is killed, with what it started, and rolled back."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)
    world.mark("hanging", new)
    with pytest.raises(SwitchFailed, match="did not end within 8 s"):
        run(world.deployment(new, timing=Timing(switch=8, patience=20)))
    assert_old_system(world)


def test_boot_menu_that_cannot_be_written_ends_in_the_old_system(world: World) -> None:
    """Not even the profile's generation stays when the last step fails."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)
    world.mark("no-menu", new)
    with pytest.raises(SwitchFailed, match="boot menu could not be written"):
        run(world.deployment(new))
    assert_old_system(world)
    assert [link.name for link in Path(world.paths.profile).parent.glob("system-*")] == ["system-1-link"]


def test_cut_connections_do_not_matter(world: World) -> None:
    """A connection that is cut while the target switches, and again while it is checked, is made anew."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)
    world.mark("slow", new)
    cuts: list[int] = []

    def cut(event: Event) -> None:
        if event.stage in ("switching", "checking the machine", "confirming") and len(cuts) < 4:
            cuts.append(world.sshd.drop_connections())

    assert run(world.deployment(new), cut).generation == 2
    assert world.running()[0] == new
    assert len(cuts) == 4


def test_interrupted_deployment_goes_back(world: World) -> None:
    """Ctrl-C while the machine is checked makes it go back at once, long before its patience ends."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)

    def interrupt(event: Event) -> None:
        if event.stage == "checking the machine":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world.deployment(new, timing=Timing(switch=20, patience=600)), interrupt)
    wait_until(lambda: world.running()[0] == world.build(tiny.X86_CONFIGURATION))
    wait_until(world.answers)


def test_killed_imagekit_is_not_missed(world: World) -> None:
    """After kill -9 of imagekit in the middle of the check the target goes back by itself, with nobody asking."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)
    world.mark("dead", new)
    child = start_child(world, new, patience=12)
    wait_until(lambda: "checking the machine DNS" in child.said(), 60)
    assert world.running()[0] == new
    child.kill()
    wait_until(lambda: world.running()[0] == world.build(tiny.X86_CONFIGURATION), 40)
    wait_until(world.answers)
    # What is left there is told by the next deployment, and is not in its way.
    world.mark("dead")
    notes: list[str] = []
    assert run(world.deployment(new), lambda event: notes.append(event.note)).generation == 2
    assert any("ended unseen: rolled-back nobody confirmed within 12 s" in note for note in notes)


@pytest.mark.parametrize("health", [True, False])
def test_system_that_lets_nobody_in_goes_back_alone(world: World, health: bool) -> None:
    """A new system without our key is found out by entering it anew, and goes away again unasked."""
    old, new = world.running()[0], world.build(tiny.X86_NEXT_CONFIGURATION)
    keys = world.sshd.directory / "authorized_keys"
    present = keys.read_text()

    def shut_out(event: Event) -> None:
        if event.stage == "entering it anew":
            keys.write_text("")

    policy = HealthPolicy(port=world.port, seconds=4.0) if health else None
    deployment = world.deployment(new, timing=Timing(switch=20, patience=4), health=policy)
    try:
        with pytest.raises(SwitchFailed, match="was lost in the middle"):
            deploy(deployment, plan_deployment(deployment), shut_out)
    finally:
        keys.write_text(present)
    wait_until(lambda: world.running()[:2] == (old, old), 40)
    wait_until(world.answers)


def test_lost_machine_goes_back_alone(world: World) -> None:
    """When nobody can enter the machine any more, a good system too goes away after its patience."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)
    sshd = world.sshd

    def cut(event: Event) -> None:
        if event.stage == "confirming":
            os.kill(sshd.process.pid, signal.SIGSTOP)
            sshd.drop_connections()

    try:
        with pytest.raises(HostFailed):
            run(world.deployment(new, timing=Timing(switch=20, patience=3)), cut)
    finally:
        os.kill(sshd.process.pid, signal.SIGCONT)
    wait_until(lambda: world.running()[0] == world.build(tiny.X86_CONFIGURATION), 40)
    wait_until(world.answers)


def test_new_address_is_where_dns_has_to_answer(world: World) -> None:
    """A configuration that moves the machine is checked at the new address."""
    new = world.build(tiny.X86_CONFIGURATION, NEW_ADDRESS)
    assert run(world.deployment(new, next_address=NEW_ADDRESS)).generation == 2
    assert world.answers(NEW_ADDRESS)
    assert not world.answers()


def test_closed_road_is_gone_around(world: World) -> None:
    """Where Nix cannot enter the target, the paths go through this machine, and a person is told."""
    new = world.build(tiny.X86_CONFIGURATION, "127.0.0.3")
    road = Road("ssh-ng://nobody@127.0.0.1", ("-F", "/dev/null", "-p", "1", "-o", "BatchMode=yes"))
    notes: list[str] = []
    deployment = world.deployment(new, next_address="127.0.0.3", road=road)
    assert run(deployment, lambda event: notes.append(event.note)).generation == 2
    assert any("it goes through this machine now" in note for note in notes)


def test_what_was_broken_before_is_not_required(world: World) -> None:
    """A name that the old system could not resolve either is the house's trouble, not the new system's."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)
    policy = HealthPolicy(port=world.port, seconds=4, outside=("nowhere.example",))
    assert run(world.deployment(new, health=policy)).generation == 2


def test_two_deployments_at_once_are_refused(world: World) -> None:
    """The second one hears of the first, and the first one ends well."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION)
    refused: list[Refused] = []

    def start_another(event: Event) -> None:
        if event.stage == "checking the machine" and not refused:
            with pytest.raises(Refused, match="another deployment") as caught:
                run(world.deployment(world.build(tiny.X86_BAD_SWITCH)))
            refused.append(caught.value)

    assert run(world.deployment(new), start_another).generation == 2
    assert refused


def test_another_processor_is_refused(world: World) -> None:
    """A system for another processor is not even copied."""
    deployment = world.deployment(world.build(tiny.CONFIGURATION))
    with pytest.raises(Refused, match=r"for aarch64-linux, and .* for x86_64-linux"):
        plan_deployment(deployment)


def test_machine_without_nixos_is_told(world: World) -> None:
    """A machine whose current system cannot switch is no target."""
    (world.state / "current-system").unlink()
    with pytest.raises(HostFailed, match="does not run NixOS"):
        plan_deployment(world.deployment(world.build(tiny.X86_CONFIGURATION)))
