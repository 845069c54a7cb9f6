"""The directory for sockets."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.errors import HostFailed
from imagekit.machine.runtime import find_runtime_dir, make_machine_dir, sweep_machine_dirs


def test_directory_is_private_and_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime directory too deep for a socket's path is passed over for a short one, mode 0700."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    found = make_machine_dir("some machine")
    assert len(str(found / "monitor.sock")) <= 103
    assert found.stat().st_mode & 0o777 == 0o700
    found.rmdir()


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose name leaves room for a socket's, however deep the tests' own directories are."""
    with tempfile.TemporaryDirectory(prefix="ik") as name:
        yield Path(name)


def test_directory_that_others_can_write_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who can write there could put a socket of his own in a machine's place."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    (short / "imagekit").mkdir()
    (short / "imagekit").chmod(0o777)
    with pytest.raises(HostFailed, match="private"):
        find_runtime_dir()


def test_link_in_its_place_is_refused(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A symbolic link planted under our name is not followed."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    (short / "elsewhere").mkdir(mode=0o700)
    (short / "imagekit").symlink_to(short / "elsewhere")
    with pytest.raises(HostFailed, match="private"):
        find_runtime_dir()


def test_directories_of_killed_machines_are_swept(tmp_path: Path) -> None:
    """An old directory goes unless a process of its machine lives; a young one may still be starting."""
    import os

    for name, pid in (("dead", "4194304"), ("empty", ""), ("alive", str(os.getpid())), ("young", "")):
        (tmp_path / name).mkdir()
        if pid:
            (tmp_path / name / "qemu.pid").write_text(f"{pid}\n")
        if name != "young":
            os.utime(tmp_path / name, (1, 1))
    sweep_machine_dirs(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alive", "young"]
