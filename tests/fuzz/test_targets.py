"""Real images with changed bytes: every reader ends in time and memory with a result or with an error of ours."""

import functools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imagekit.errors import ImageDamaged
from tests.fuzz.edits import Edit, change, cuts, edits, find_content
from tests.fuzz.limits import TooExpensive, limited_memory, limited_seconds
from tests.fuzz.memory import Padded, make_file_tree, open_bytes
from tests.fuzz.targets import MEMORY_MIB, SECONDS, TARGETS

Seeds = Callable[[str], list[tuple[bytes, list[int]]]]
# What costs milliseconds for each input has fewer of them; what atheris finds in minutes is not for these seconds.
_EXAMPLES = {"ext4": 150, "fat": 100, "qcow2": 150, "gpt": 100, "mbr": 100, "volumes": 25, "lvm": 25}


@pytest.fixture(scope="session")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> Seeds:
    """Return a function that makes a target's seeds, once, each with the places of its content."""

    @functools.cache
    def make(name: str) -> list[tuple[bytes, list[int]]]:
        return [(seed, find_content(seed)) for seed in TARGETS[name].make_seeds(tmp_path_factory.mktemp(name))]

    return make


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_read(name: str, seeds: Seeds) -> None:
    """The seeds themselves pass, within the bounds of time and memory."""
    assert seeds(name)
    with limited_memory(MEMORY_MIB):
        for seed, _ in seeds(name):
            with limited_seconds(SECONDS):
                TARGETS[name].fuzz_one(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_changed_bytes(name: str, seeds: Seeds) -> None:
    """Whatever is changed, cut off or left out, nothing but errors of ours is raised, soon, with little memory."""
    made = seeds(name)
    tried = 0

    @settings(max_examples=_EXAMPLES.get(name, 40), deadline=None, suppress_health_check=list(HealthCheck))
    @given(which=st.integers(0, len(made) - 1), edits=edits, cut=cuts)
    def try_one(which: int, edits: list[Edit], cut: int | None) -> None:
        nonlocal tried
        tried += 1
        seed, places = made[which]
        with limited_seconds(SECONDS):
            TARGETS[name].fuzz_one(change(seed, places, edits, cut))

    with limited_memory(MEMORY_MIB):
        try_one()
    assert tried >= 25


@pytest.mark.parametrize("name", TARGETS)
def test_next_to_nothing(name: str) -> None:
    """No bytes, one byte, and zeros are hostile too."""
    with limited_seconds(SECONDS):
        for data in (b"", b"\0", b"\xff" * 600, bytes(70_000)):
            TARGETS[name].fuzz_one(data)


def test_targets_let_bugs_escape(monkeypatch: pytest.MonkeyPatch, seeds: Seeds) -> None:
    """An error that is not ours leaves the target: a fuzzer that hides crashes finds none."""

    def fail(*_: object) -> None:
        raise IndexError("a bug")

    monkeypatch.setattr("imagekit.disk.ext4.filesystem.read_entries", fail)
    with pytest.raises(IndexError):
        TARGETS["ext4"].fuzz_one(seeds("ext4")[0][0])


def test_limits_are_noticed() -> None:
    """More processor time or memory than allowed is an error, whatever the block returned."""
    with pytest.raises(TooExpensive), limited_seconds(0.001):
        sum(range(1_000_000))
    with pytest.raises(TooExpensive), limited_memory(16):
        assert b"x" * (64 << 20)


def test_images_in_memory_are_strict(tmp_path: Path) -> None:
    """What the targets read from is as strict about ranges as a real disk, and pads with zeros."""
    disk = Padded(b"abc", 8)
    assert disk.read(2, 4) == b"c\0\0\0"
    with pytest.raises(ImageDamaged):
        disk.read(6, 3)
    with open_bytes(b"abc") as file:
        assert file.read(0, 3) == b"abc"
        with suppress(ImageDamaged):
            assert file.read(1, 9) == b""
    tree = make_file_tree({"/etc/a": b"text"}, {"/b": "etc/a"})
    assert (tree.read("/b"), tree.names("/"), tree.readlink("/b")) == (b"text", ("b", "etc"), "etc/a")
    assert list(tmp_path.iterdir()) == []
