"""Full disks, on a real one of 1 MiB in a mount namespace of its own."""

import errno
import os
import sys
from pathlib import Path

import pytest

from imagekit.build import space
from imagekit.build.namespace import namespace_command
from imagekit.build.space import explain_space, is_full, require_space
from imagekit.errors import ExitCode, HostFailed, ToolFailed
from imagekit.host import run

FILL = """
import sys
from pathlib import Path
from imagekit.build.space import explain_space, require_space
from imagekit.errors import HostFailed
from imagekit.host import run
place = Path(sys.argv[1])
for action in (
    lambda: (place / "ours").write_bytes(bytes(2 << 20)),
    lambda: run(["dd", "if=/dev/zero", f"of={place}/theirs", "bs=1M", "count=2"]),
    lambda: require_space(place, 4096),
):
    try:
        with explain_space(place):
            action()
    except HostFailed as problem:
        print(problem.message)
    for file in place.iterdir():
        file.unlink()
"""


def test_full_and_noexec_disks_are_named(tmp_path: Path) -> None:
    """A disk that fills under our own hands or a tool's, and one that runs no program, are named in one sentence."""
    place = tmp_path / "small"
    place.mkdir()
    script = 'mount -t tmpfs -o size=1m,noexec none "$1" && exec "$2" -c "$3" "$1"'
    said = run([*namespace_command(), "sh", "-c", script, "sh", os.fspath(place), sys.executable, FILL])
    ours, theirs, noexec = said.output.decode().splitlines()
    assert ours.startswith(f"there was no space left in {place} (")
    assert theirs.startswith(f"there was no space left in {place} (")
    assert noexec.startswith(f"{place} is mounted noexec")


def test_too_little_space_is_seen_before_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is free and what is needed are told in MiB, with the variable that moves the cache."""
    monkeypatch.setattr(space, "free_bytes", lambda _: 5 << 20)
    with pytest.raises(HostFailed) as caught:
        require_space(tmp_path, 7 << 20)
    assert caught.value.exit_code == ExitCode.HOST
    assert caught.value.message == f"{tmp_path} has 5 MiB free; the build needs about 7 MiB"
    assert "IMAGEKIT_CACHE" in (caught.value.hint or "")


def test_buried_reason_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool whose last lines no longer tell of the full disk: the disk itself tells."""
    monkeypatch.setattr(space, "free_bytes", lambda _: 100)
    with pytest.raises(HostFailed, match="no space left"), explain_space(tmp_path):
        raise ToolFailed("mmdebstrap failed with status 1", detail="Errors were encountered")


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    """Only a full disk is called one."""
    with pytest.raises(ToolFailed, match="mmdebstrap"), explain_space(tmp_path):
        raise ToolFailed("mmdebstrap failed with status 1", detail="something else")
    with pytest.raises(PermissionError), explain_space(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert is_full(ToolFailed("x", detail="dd: error writing 'y': No space left on device"))
