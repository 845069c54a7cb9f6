"""Moving channels forward and back, compared with a small model."""

import json
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imagekit.errors import StoreError
from imagekit.image import Reference, VersionId
from imagekit.store import Action, Store, describe_history, open_store
from tests.store.samples import at, make_verified

_CHANNELS = ["candidate", "edge", "stable"]


@pytest.fixture(scope="module")
def four(memory: Path) -> Store:
    """Return a store with four versions of one image and three channels."""
    place = memory / "four"
    place.mkdir()
    store = open_store(place / "store")
    for day in range(1, 5):
        store.add(make_verified(place / "disk.raw", day, channels=_CHANNELS), clock=at(day))
    return store


@pytest.fixture
def store(four: Store) -> Store:
    """Return the same store as it was before any channel was moved by hand."""
    _forget_moves(four)
    return four


def _forget_moves(store: Store) -> None:
    path = store.root / "images/template/history.jsonl"
    path.write_bytes(
        b"".join(line for line in path.read_bytes().splitlines(True) if json.loads(line)["action"] == "add")
    )


def _version(day: int) -> Reference:
    return Reference.parse(f"template@2026070{day}-1")


def test_rollback_twice_goes_further_back(store: Store) -> None:
    """The second rollback leads to the version before the previous one, not to the one just left."""
    for day in (1, 2, 3):
        store.promote(_version(day), "stable")
    assert str(store.rollback("template").id) == "20260702-1"
    assert str(store.rollback("template").id) == "20260701-1"
    with pytest.raises(StoreError, match="'stable' of template has no earlier version") as caught:
        store.rollback("template")
    assert "imagekit log template" in (caught.value.hint or "")


def test_promotion_after_rollback_goes_back_to_where_it_came_from(store: Store) -> None:
    """What a rollback left is not returned to by a later rollback."""
    for day in (1, 2):
        store.promote(_version(day), "stable")
    store.rollback("template")
    store.promote(_version(4), "stable")
    assert str(store.rollback("template").id) == "20260701-1"


def test_promotion_is_recorded(store: Store) -> None:
    """The history says when, who, what, from where to where, and why."""
    store.promote(_version(1), "stable", clock=at(10))
    store.promote(_version(2), "stable", "boots in 20 s\nand more", clock=at(11))
    described = describe_history(store.history("template")[-1])
    assert described.pop("who") == store.list_versions("template")[0].created_by
    assert described == {
        "when": "2026-07-11T12:00:00+00:00",
        "action": "promote",
        "channel": "stable",
        "from": "20260701-1",
        "to": "20260702-1",
        "reason": "boots in 20 s\nand more",
    }


def test_promotion_to_the_same_place_records_nothing(store: Store) -> None:
    """A channel that points there already does not get a second line."""
    store.promote(_version(3), "stable")
    before = store.history("template")
    assert str(store.promote(_version(3), "stable").id) == "20260703-1"
    assert store.history("template") == before


def test_bare_name_promotes_the_newest(store: Store) -> None:
    """Without a version the last one added is promoted."""
    assert str(store.promote(Reference("template"), "stable").id) == "20260704-1"


def test_undeclared_channel_is_refused(store: Store) -> None:
    """A channel that the image does not declare is an error with the one that was meant, for both moves."""
    with pytest.raises(StoreError, match="no channel 'edgy'") as caught:
        store.promote(_version(1), "edgy")
    assert "did you mean 'edge'? its channels: candidate, edge, stable" in (caught.value.hint or "")
    with pytest.raises(StoreError, match="no channel 'edgy'"):
        store.rollback("template", "edgy")


def test_channel_that_only_a_newer_version_declares_may_be_used(tmp_path: Path) -> None:
    """A channel added to the definition later can hold older versions too."""
    store = open_store(tmp_path / "store")
    old = store.add(make_verified(tmp_path / "disk.raw", 1), clock=at(1)).version
    store.add(make_verified(tmp_path / "disk.raw", 2, channels=["candidate", "lab"]), clock=at(2))
    store.promote(old.reference, "lab")
    assert store.channels("template")["lab"] == old.id


def test_moves_of_an_unknown_image_are_refused(store: Store) -> None:
    """Neither move invents an image."""
    with pytest.raises(StoreError, match="no image 'pihole' is stored"):
        store.promote(Reference("pihole"), "stable")
    with pytest.raises(StoreError, match="no image 'pihole' is stored"):
        store.rollback("pihole")


def test_reason_that_is_no_text_is_kept(store: Store) -> None:
    """An argument with bytes that are no UTF-8 is recorded escaped."""
    store.promote(_version(1), "stable", "caf\udce9")
    assert store.history("template")[-1].reason == "caf\\udce9"


_moves = st.lists(
    st.one_of(
        st.tuples(st.just(Action.PROMOTE), st.sampled_from(["edge", "stable"]), st.integers(1, 4)),
        st.tuples(st.just(Action.ROLLBACK), st.sampled_from(["edge", "stable"]), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(moves=_moves)
def test_moves_agree_with_the_model(four: Store, moves: list[tuple[Action, str, int]]) -> None:
    """After any sequence of moves the channels are where a stack for each channel says, and the history has no gap."""
    _forget_moves(four)
    model: dict[str, list[VersionId]] = defaultdict(list)
    for action, channel, day in moves:
        stack = model[channel]
        if action is Action.PROMOTE:
            version = four.promote(_version(day), channel).id
            if stack[-1:] != [version]:
                stack.append(version)
        elif len(stack) < 2:
            with pytest.raises(StoreError, match="no earlier version"):
                four.rollback("template", channel)
        else:
            stack.pop()
            assert four.rollback("template", channel).id == stack[-1]
    expected = {channel: stack[-1] for channel, stack in model.items() if stack}
    assert four.channels("template") == expected | {"candidate": VersionId.parse("20260704-1")}
    last: dict[str, VersionId] = {}
    for entry in four.history("template"):
        assert entry.previous == last.get(entry.channel)
        assert entry.version != entry.previous
        last[entry.channel] = entry.version
