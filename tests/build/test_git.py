"""Which commit a definition comes from."""

import os
from pathlib import Path

import pytest

from imagekit.build import git
from imagekit.build.git import read_commit
from imagekit.host import run


def make_commit(directory: Path) -> str:
    """Make a repository with one file and one commit, and return its name."""
    at = ["git", "-C", os.fspath(directory), "-c", "user.name=Test", "-c", "user.email=test@example.org"]
    run([*at, "init", "--quiet"])
    (directory / "imagekit.toml").write_text("[images.a]\n")
    run([*at, "add", "imagekit.toml"])
    run([*at, "commit", "--quiet", "--message", "first"])
    return run([*at, "rev-parse", "HEAD"]).output.decode().strip()


def test_commit_and_changes_are_told(tmp_path: Path) -> None:
    """A clean work tree, one with a change, and one with a new file that is nobody's input."""
    commit = make_commit(tmp_path)
    (tmp_path / "below").mkdir()
    assert read_commit(tmp_path / "below") == (commit, False)
    (tmp_path / "notes.txt").write_text("not tracked")
    assert read_commit(tmp_path) == (commit, False)
    (tmp_path / "imagekit.toml").write_text("[images.b]\n")
    assert read_commit(tmp_path) == (commit, True)


def test_no_repository_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a repository, before the first commit, and without git there is nothing to tell."""
    assert read_commit(tmp_path) == (None, False)
    run(["git", "-C", os.fspath(tmp_path), "init", "--quiet"])
    assert read_commit(tmp_path) == (None, False)
    make_commit(tmp_path)
    monkeypatch.setattr(git, "find_tool", lambda _name, required: "")
    assert read_commit(tmp_path) == (None, False)
