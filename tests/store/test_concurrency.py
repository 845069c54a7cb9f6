"""Several processes at one store: every version whole, every serial once, every line of history there."""

import os
import sys
from pathlib import Path

from imagekit.host import run
from imagekit.host.local import start
from imagekit.store import open_store
from tests.store.samples import PROJECT, at, make_verified

_ADD_SOME = """
import sys
from pathlib import Path
from imagekit.store import open_store
from tests.store.samples import at, make_verified
work = Path(sys.argv[2])
for seed in map(int, sys.argv[3:]):
    open_store(Path(sys.argv[1])).add(make_verified(work / f"disk-{seed}.raw", seed), clock=at(1))
"""


def test_processes_that_add_at_once_do_not_disturb_one_another(tmp_path: Path) -> None:
    """Two processes that add six versions each, some of them the same, leave one of each, numbered without a gap."""
    for who in ("a", "b"):
        (tmp_path / who).mkdir()
    argv = [sys.executable, "-c", _ADD_SOME, os.fspath(tmp_path / "store")]
    other = start([*argv, os.fspath(tmp_path / "a"), *map(str, range(1, 7))], directory=PROJECT)
    run([*argv, os.fspath(tmp_path / "b"), *map(str, range(3, 9))], directory=PROJECT)
    other.wait(timeout=60)
    assert other.exit_code == 0
    store = open_store(tmp_path / "store")
    versions = store.list_versions("template")
    assert sorted(version.id.serial for version in versions) == list(range(1, 9))
    assert len({version.digest for version in versions}) == 8
    history = store.history("template")
    assert [entry.version.serial for entry in history] == list(range(1, 9))
    assert [entry.previous for entry in history] == [None, *(entry.version for entry in history[:-1])]
    assert list((store.root / "incoming").iterdir()) == []


def test_reader_sees_whole_versions_while_one_is_added(tmp_path: Path) -> None:
    """While a version is being copied, and again when it is staged, a reader finds only what was there before."""
    store = open_store(tmp_path / "store")
    store.add(make_verified(tmp_path / "disk.raw", 1), clock=at(1))
    seen: list[list[str]] = []
    store.add(
        make_verified(tmp_path / "disk.raw", 2),
        clock=at(2),
        progress=lambda event: seen.append(
            [str(found.id) for found in open_store(store.root).list_versions("template")]
        ),
    )
    assert seen == [["20260701-1"]] * len(seen)
    assert len(seen) > 3
    assert [str(found.id) for found in store.list_versions("template")] == ["20260702-1", "20260701-1"]
