"""What builds share: one lock, and files that go when nobody uses them."""

import os
import sys
import time
from pathlib import Path

import pytest

from imagekit.build.cache import BASES_KEPT, UNUSED_DAYS, explain_access, lock_cache, prune_cache
from imagekit.errors import HostFailed
from imagekit.host.local import end, start
from imagekit.progress import Event

HOLD = """
import sys, time
from pathlib import Path
from imagekit.build.cache import lock_cache
with lock_cache(Path(sys.argv[1])):
    (Path(sys.argv[1]) / "held").touch()
    time.sleep(float(sys.argv[2]))
"""
NOW = 2_000_000_000.0


def wait_for(path: Path) -> None:
    """Wait until ``path`` exists, 10 s at most."""
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never came"
        time.sleep(0.01)


def test_second_build_waits_and_says_for_whom(tmp_path: Path) -> None:
    """The lock is waited for, with one event that names the process that has it."""
    holder = start([sys.executable, "-c", HOLD, os.fspath(tmp_path), "0.5"])
    try:
        wait_for(tmp_path / "held")
        events: list[Event] = []
        with lock_cache(tmp_path, events.append):
            assert not holder.is_alive() or (tmp_path / "lock").read_text().strip() == str(os.getpid())
        assert [event.stage for event in events] == ["waiting for another build"]
        assert events[0].detail == f"process {holder.pid} is fetching packages"
    finally:
        end(holder)


def test_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A holder that is killed leaves nothing to clean up."""
    holder = start([sys.executable, "-c", HOLD, os.fspath(tmp_path), "60"])
    wait_for(tmp_path / "held")
    end(holder, grace=0)
    events: list[Event] = []
    with lock_cache(tmp_path, events.append):
        assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    assert events == []


def make_file(path: Path, age_days: float) -> Path:
    """Make a file that was used last ``age_days`` before NOW."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (NOW - age_days * 86400,) * 2)
    return path


def test_newest_bases_of_each_release_stay(tmp_path: Path) -> None:
    """Bases go by their last use, each release and architecture for itself; a dead writer's rest goes after a day."""
    roots = tmp_path / "roots"
    kept = [make_file(roots / f"bookworm-amd64-{age}.tar", age) for age in range(BASES_KEPT)]
    gone = [make_file(roots / f"bookworm-amd64-{age}.tar", age) for age in range(BASES_KEPT, BASES_KEPT + 3)]
    kept.append(make_file(roots / "trixie-amd64-x.tar", 900))
    kept.append(make_file(roots / "bookworm-amd64-y.tar.7.part", 0.5))
    gone.append(make_file(roots / "bookworm-amd64-z.tar.8.part", 1.5))
    prune_cache(tmp_path, NOW)
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in gone)


def test_packages_go_when_not_used_for_long(tmp_path: Path) -> None:
    """Package files have 60 days; apt's lock and partial files are apt's."""
    kept = [
        make_file(tmp_path / "packages/used.deb", UNUSED_DAYS - 1),
        make_file(tmp_path / "packages/lock", 900),
        make_file(tmp_path / "packages/partial/x.deb", 900),
    ]
    gone = make_file(tmp_path / "packages/old.deb", UNUSED_DAYS + 1)
    prune_cache(tmp_path, NOW)
    assert all(path.exists() for path in kept)
    assert not gone.exists()


def test_empty_cache_is_pruned_without_a_word(tmp_path: Path) -> None:
    """A cache that no build has used yet stays as it is."""
    prune_cache(tmp_path, NOW)
    assert list(tmp_path.iterdir()) == []


def test_another_users_cache_is_explained(tmp_path: Path) -> None:
    """A cache that sudo made for root is named, with the way out."""
    with pytest.raises(HostFailed) as caught, explain_access(tmp_path):
        raise PermissionError(13, "Permission denied", os.fspath(tmp_path / "packages"))
    assert caught.value.message == f"{tmp_path}/packages cannot be written by this user"
    assert "IMAGEKIT_CACHE" in (caught.value.hint or "")
