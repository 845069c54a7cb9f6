"""kill -9 at every system call of a writer: the whole change or none, and the next writer goes on."""

import os
from pathlib import Path
from typing import Any

import pytest

from imagekit.store import open_store
from tests.store.samples import at, make_place, make_template, make_verified, run_program

_PROGRAM = "from tests.store.crashes import main; main()"


_ADDING = ("first", "first-moved", "third", "third-moved")
_RECORDING = ("first-recorded", "third-recorded", "replacing")


@pytest.mark.parametrize("scenario", [*_ADDING, *_RECORDING, "promote", "rollback"])
def test_killed_writer_leaves_the_whole_change_or_none(tmp_path: Path, scenario: str) -> None:
    """After each crash a reader finds the store before or after the change, and the same run then completes it."""
    said: Any = run_program(_PROGRAM, tmp_path, scenario)
    done, crashes = said["done"], said["crashes"]
    before = crashes[0]["after"]
    assert len(crashes) > (20 if scenario in _ADDING else 15 if scenario in _RECORDING else 3)
    assert {crash["after"]["incoming"] for crash in crashes} <= {0, 1}
    # Adding with promote_to moves two channels; between the two lines only the first has moved.
    half = dict(done, history=done["history"][:-1], channels=dict(done["channels"]))
    half["channels"].pop("stable", None)
    if "stable" in before["channels"]:
        half["channels"]["stable"] = before["channels"]["stable"]
    seen = set()
    for crash in crashes:
        after = dict(crash["after"], incoming=0)
        assert after["intact"]
        assert after in (before, half, done), crash["number"]
        seen.add("before" if after == before else "after")
        assert not after["replaced"] or after["replaced"] == done["replaced"]
        if scenario != "rollback":  # going back once more is what a second rollback is for
            assert crash["next"] == done, crash["number"]
    assert seen == {"before", "after"}
    assert done["replaced"] == ({"20260702-1": "template@20260703-1"} if scenario == "replacing" else {})


def test_everything_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut keeps the order: files and their directory are flushed, then renamed, then the parent is flushed."""
    store = open_store(tmp_path / "store")
    store.add(make_verified(tmp_path / "disk.raw", 1), clock=at(1))
    trace = _trace(monkeypatch)
    store.add(make_verified(tmp_path / "disk.raw", 2), clock=at(2))
    staging = trace[2][1]
    assert staging.startswith(f"{os.getpid()}-")
    assert trace == [
        ("fsync", "disk.raw"),
        ("fsync", "manifest.json"),
        ("fsync", staging),
        ("rename", "20260702-1"),
        ("fsync", "template"),
        ("fsync", "history.jsonl"),
    ]


def test_record_is_flushed_before_it_gets_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A template is recorded in the order in which a disk is added, without one."""
    store = open_store(tmp_path / "store")
    store.add(make_verified(tmp_path / "disk.raw", 1), clock=at(1))
    trace = _trace(monkeypatch)
    store.record(make_template(make_place()), clock=at(2))
    assert trace == [
        ("fsync", "manifest.json"),
        ("fsync", trace[1][1]),
        ("rename", "20260702-1"),
        ("fsync", "template"),
        ("fsync", "history.jsonl"),
    ]


def _trace(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return a list that grows with each flush and rename: what was done, and to which name."""
    trace: list[tuple[str, str]] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        trace.append(("fsync", Path(f"/proc/self/fd/{descriptor}").readlink().name))
        real_fsync(descriptor)

    def rename(source: str | Path, target: str | Path) -> None:
        trace.append(("rename", Path(target).name))
        real_rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    return trace
