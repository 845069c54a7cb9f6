"""A closure goes to a target's store by either road, and only what is missing there."""

import contextlib
from pathlib import Path

import pytest

from imagekit.deliver.deploy.push import (
    Road,
    Shipment,
    Source,
    can_enter,
    carry_over,
    check_room,
    copy_directly,
    find_missing,
    list_closure,
    list_target_closure,
    make_bundles,
)
from imagekit.errors import HostFailed, ToolFailed
from imagekit.host.here import ThisMachine
from imagekit.progress import Event, silent
from tests import tiny
from tests.deliver.deploy.world import World
from tests.namespace import nix_leaves_chroot

_HASH = "0123456789abcdfghijklmnpqrsvwxyz"


def name(number: int) -> str:
    return f"/nix/store/{_HASH}-part-{number}"


def test_bundles_keep_the_order_and_stay_small() -> None:
    """32 MiB and 200 paths at the most; what is larger travels alone, and nothing is lost."""
    shipment = Shipment({name(number): (40 << 20) if number == 3 else (1 << 10) for number in range(500)})
    bundles = list(make_bundles(shipment))
    assert [path for bundle in bundles for path in bundle] == list(shipment.sizes)
    assert (name(3),) in bundles
    assert max(map(len, bundles)) == 200
    assert str(Shipment({name(1): 3 << 20})) == "1 path, 3.0 MiB"
    assert str(Shipment({})) == "nothing"


@pytest.mark.integration
@pytest.mark.parametrize("directly", [True, False], ids=["nix-copy", "carried"])
def test_only_what_is_missing_is_sent(directly: bool, world: World) -> None:
    """The next system shares most of its paths with the first; the rest arrives, with what it refers to."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION, f"127.0.0.{10 + directly}")
    target, source = world.target(), world.source
    closure = list_closure(source, new)
    shipment = find_missing(source, target, closure)
    assert 0 < len(shipment.sizes) < len(closure)
    assert list(shipment.sizes) == [path for path in closure if path in shipment.sizes]
    events: list[Event] = []
    if directly and nix_leaves_chroot():
        with pytest.raises(HostFailed):  # its ssh would look for our files in another root
            copy_directly(source, world.road, new, shipment, events.append)
        return
    if directly:
        copy_directly(source, world.road, new, shipment, events.append)
    else:
        carry_over(source, target, shipment, events.append)
    assert events[-1].done == events[-1].total == shipment.bytes
    assert not find_missing(source, target, closure).sizes
    assert set(list_target_closure(target, new)) == set(closure)
    assert target.run(["cat", f"{new}/nixos-version"]).output.startswith(b"26.05")


@pytest.mark.integration
def test_broken_road_says_that_what_arrived_stays(world: World) -> None:
    """A target that cannot be entered by Nix is a sentence and exit code 8."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION, "127.0.0.20")
    shipment = find_missing(world.source, world.target(), list_closure(world.source, new))
    road = Road("ssh-ng://nobody@127.0.0.1", ("-F", "/dev/null", "-p", "1", "-o", "BatchMode=yes"))
    with pytest.raises(HostFailed, match="did not reach") as caught:
        copy_directly(world.source, road, new, shipment, silent)
    assert "run the same command again" in (caught.value.hint or "")


@pytest.mark.integration
def test_cut_while_carrying_can_be_continued(world: World) -> None:
    """After a cut connection the next run sends the rest."""
    new = world.build(tiny.X86_NEXT_CONFIGURATION, "127.0.0.30")
    target = world.target()
    shipment = find_missing(world.source, target, list_closure(world.source, new))

    def cut(event: Event) -> None:
        if event.detail:
            world.sshd.drop_connections()

    with contextlib.suppress(HostFailed):
        carry_over(world.source, target, shipment, cut)
    again = world.target()
    left = find_missing(world.source, again, tuple(shipment.sizes))
    carry_over(world.source, again, left, silent)
    assert not find_missing(world.source, again, tuple(shipment.sizes)).sizes


@pytest.mark.integration
def test_builder_that_cannot_enter_is_found_out(world: World) -> None:
    """Whether the builder's ssh enters the target is tried without a question to anybody."""
    user = f"{world.sshd.user}@127.0.0.1"
    assert can_enter(world.source, ["-F", str(world.sshd.config), "-p", str(world.sshd.port), user])
    assert not can_enter(world.source, ["-F", "/dev/null", "-p", str(world.sshd.port), user])


@pytest.mark.integration
def test_full_target_is_told_before_anything_is_sent(world: World) -> None:
    """What the disk there cannot hold is refused with what to do."""
    with pytest.raises(HostFailed, match="MiB left for") as caught:
        check_room(world.target(), Shipment({name(1): 1 << 60}), str(world.store.store_dir / "x"))
    assert "nix-collect-garbage" in (caught.value.hint or "")


def test_unknown_path_has_no_closure(tmp_path: Path) -> None:
    """A path that the builder's store does not have is its failure."""
    from tests.nix_store import make_own_store

    store = make_own_store(tmp_path)
    with pytest.raises(ToolFailed):
        list_closure(Source(ThisMachine(), store.environment), f"{store.store_dir}/{_HASH}-nothing")
