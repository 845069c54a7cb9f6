"""Writing a lock: the old one or the new one, whenever the process dies; never over somebody else's change."""

import os
import sys
from pathlib import Path

import pytest

from imagekit.build.update.change import Renewal
from imagekit.build.update.writing import read_present, write_renewal
from imagekit.errors import DefinitionInvalid, Refused
from imagekit.host import run

OLD, NEW = b"old\n", b"new\n" * 10_000
_PROGRAM = """
import os, signal, sys
from pathlib import Path
from imagekit.build.update.change import Renewal
from imagekit.build.update.writing import write_renewal

name, when, path = sys.argv[1:]
real = getattr(os, name)

def die(*arguments, **more):
    if when == "after":
        real(*arguments, **more)
    os.kill(os.getpid(), signal.SIGKILL)

setattr(os, name, die)
write_renewal(Renewal(Path(path), b"old\\n", b"new\\n" * 10_000, ()))
"""


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("name", ["open", "write", "fchmod", "fsync", "replace"])
def test_kill_leaves_the_old_or_the_new(tmp_path: Path, name: str, when: str) -> None:
    """Killed at any step, the file is whole, and the next run writes it as if nothing had been."""
    path = tmp_path / "flake.lock"
    path.write_bytes(OLD)
    ended = run([sys.executable, "-c", _PROGRAM, name, when, str(path)], check=False, directory=Path.cwd(), timeout=30)
    assert ended.status == -9
    left = path.read_bytes()
    assert left in (OLD, NEW)
    assert (left == NEW) == (name == "replace" and when == "after")
    write_renewal(Renewal(path, left, NEW, ()))
    assert path.read_bytes() == NEW
    assert [each.name for each in tmp_path.iterdir()] == ["flake.lock"]


def test_new_file_gets_its_directory(tmp_path: Path) -> None:
    """The first lock of a project makes its directory."""
    write_renewal(Renewal(tmp_path / "imagekit.lock" / "flake.lock", None, NEW, ()))
    assert (tmp_path / "imagekit.lock" / "flake.lock").read_bytes() == NEW


def test_mode_and_link_stay(tmp_path: Path) -> None:
    """A link is followed and stays one; the file behind it keeps its mode."""
    real, link = tmp_path / "real.toml", tmp_path / "imagekit.toml"
    real.write_bytes(OLD)
    real.chmod(0o640)
    link.symlink_to("real.toml")
    write_renewal(Renewal(link, OLD, NEW, ()))
    assert link.is_symlink()
    assert real.read_bytes() == NEW
    assert real.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("before", [None, b"what was read"])
def test_change_of_somebody_else_stays(tmp_path: Path, before: bytes | None) -> None:
    """A file that was saved meanwhile, or appeared, is not written over."""
    path = tmp_path / "imagekit.toml"
    path.write_bytes(b"saved by an editor")
    with pytest.raises(Refused, match="changed by somebody else"):
        write_renewal(Renewal(path, before, NEW, ()))
    assert path.read_bytes() == b"saved by an editor"


def test_what_cannot_be_written_or_read(tmp_path: Path) -> None:
    """A directory in the way is a sentence; a lock beyond all measure is not read."""
    (tmp_path / "file").write_bytes(b"x" * 100)
    with pytest.raises(DefinitionInvalid, match="cannot be written"):
        write_renewal(Renewal(tmp_path / "file" / "flake.lock", None, NEW, ()))
    with pytest.raises(DefinitionInvalid, match="larger than"):
        read_present(tmp_path / "file", 99)
    assert read_present(tmp_path / "none", 99) is None
    assert os.listdir(tmp_path) == ["file"]  # noqa: PTH208 - names are what counts
