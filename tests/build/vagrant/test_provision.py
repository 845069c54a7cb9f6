"""provision.sh where it can run without a VM: its collector of garbage, with a store of its own."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagekit.build.vagrant.own_project import find_own_project
from imagekit.host import Completed, run


@pytest.fixture
def store(tmp_path: Path) -> Mapping[str, str]:
    """Return the environment of a Nix whose store is this test's."""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/nix.conf").write_text(
        "sandbox = false\nbuild-users-group =\nsubstituters =\nexperimental-features = nix-command flakes\n"
    )
    return {
        "NIX_STORE_DIR": os.fspath(tmp_path / "store"),
        "NIX_STATE_DIR": os.fspath(tmp_path / "state"),
        "NIX_LOG_DIR": os.fspath(tmp_path / "log"),
        "NIX_CONF_DIR": os.fspath(tmp_path / "conf"),
        "HOME": os.fspath(tmp_path),
        "IMAGEKIT_STAMPS": os.fspath(tmp_path / "stamps"),
    }


def _add(store: Mapping[str, str], path: Path, text: str) -> Path:
    path.write_text(text)
    added = run(["nix-store", "--add", os.fspath(path)], environment=store).output.decode().strip()
    return Path(added)


def _collect(store: Mapping[str, str], script: str | None = None) -> Completed:
    return run(["sh", script or os.fspath(find_own_project() / "provision.sh"), "collect"], environment=store)


def test_recent_paths_are_kept(store: Mapping[str, str], tmp_path: Path) -> None:
    """What no root holds stays while it is young, and roots that were made for that are gone afterwards."""
    kept = _add(store, tmp_path / "toolchain", "x")
    _collect(store)
    assert kept.exists()
    assert (tmp_path / "stamps/collected").exists()
    assert not (tmp_path / "state/gcroots/imagekit-recent").exists()


def test_old_paths_go(store: Mapping[str, str], tmp_path: Path) -> None:
    """What is older than its days is collected, as far as nothing young needs it."""
    old = _add(store, tmp_path / "old", "x")
    time.sleep(1.1)
    # Nobody can set a ctime: so the script's 30 days are made a second.
    text = (find_own_project() / "provision.sh").read_text()
    assert "-ctime -$keep_days" in text
    hasty = tmp_path / "hasty.sh"
    hasty.write_text(text.replace("-ctime -$keep_days", "-newerct '1 second ago'"))
    young = _add(store, tmp_path / "young", "y")
    _collect(store, os.fspath(hasty))
    assert young.exists()
    assert not old.exists()


def test_once_a_week_is_enough(store: Mapping[str, str], tmp_path: Path) -> None:
    """A second run within seven days does not even look; after that it does."""
    _add(store, tmp_path / "a", "x")
    _collect(store)
    stamp = tmp_path / "stamps/collected"
    first = stamp.stat().st_mtime_ns
    _collect(store)
    assert stamp.stat().st_mtime_ns == first
    week = time.time() - 8 * 86400
    os.utime(stamp, (week, week))
    _collect(store)
    assert stamp.stat().st_mtime > week + 86400


def test_fresh_vm_has_nothing_to_collect(store: Mapping[str, str], tmp_path: Path) -> None:
    """Before the first build there is no store, which is no error."""
    assert _collect(store).status == 0
    assert not (tmp_path / "store").exists()
