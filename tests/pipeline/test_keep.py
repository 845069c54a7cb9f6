"""``--keep``: what a failed build with real Packer leaves, how long, and how it goes."""

import os
from pathlib import Path
from typing import Any

import pytest

from imagekit.build.packer.processes import find_processes
from imagekit.build.workspace import open_workspace
from imagekit.definition import Project, read_project
from imagekit.errors import ToolFailed
from imagekit.pipeline import BuildOptions, build_image
from imagekit.pipeline.leftovers import find_left, remove_left
from imagekit.progress import Event
from imagekit.settings import Settings, read_settings
from tests.build.packer.conftest import found_packer, write_shell

__all__ = ["found_packer"]

_HEAD = 'packer {\n  required_version = ">= 1.14.0"\n}\n'
_DEFINITION = '[images.template]\nbuilder = "packer"\npacker = {template = "own"}\n'


@pytest.fixture
def settings(found_packer: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of an operator with the real Packer."""
    monkeypatch.setenv("IMAGEKIT_PACKER", os.fspath(found_packer.program))
    return read_settings({})


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose template starts something that stays, and fails: a machine that takes no time to boot."""
    (tmp_path / "own").mkdir()
    text = write_shell("PATH=/usr/bin:/bin", "setsid sleep 300 >/dev/null 2>&1 &", "echo broken >&2", "exit 3")
    (tmp_path / "own" / "test.pkr.hcl").write_text(_HEAD + text)
    (tmp_path / "imagekit.toml").write_text(_DEFINITION)
    return read_project(tmp_path)


def test_kept_build_is_there_until_it_is_removed(project: Project, settings: Settings) -> None:
    """What runs and the workspace outlive the failure and later builds; the hint and the list say how to end it."""
    with pytest.raises(ToolFailed, match="provisioning failed") as caught:
        build_image("template", project, settings, BuildOptions(keep=True))
    hint = str(caught.value.hint)
    assert "the machine was left running" in hint
    assert "imagekit leftovers --remove" in hint
    assert "--keep" not in hint
    (build,) = find_left(settings, project).builds
    assert build.remains is not None
    assert build.remains.record.kept == caught.value.message
    assert len(build.remains.processes) == 1
    (workspace,) = build.remains.directories
    assert workspace.parent == settings.cache / "builds"
    events: list[Event] = []
    with pytest.raises(ToolFailed):
        build_image("template", project, settings, BuildOptions(), events.append)
    with open_workspace(settings.cache, "other"):
        assert workspace.is_dir()
    assert find_processes(build.build_id) == build.remains.processes
    assert not any("removed what" in event.note for event in events)
    remove_left(build, None)
    assert find_processes(build.build_id) == ()
    assert not workspace.exists()
    assert find_left(settings, project).builds == ()


def test_failed_build_leaves_nothing_without_keep(project: Project, settings: Settings) -> None:
    """Without --keep nothing runs on, nothing is left, and the hint says what --keep is for."""
    with pytest.raises(ToolFailed) as caught:
        build_image("template", project, settings, BuildOptions())
    assert "run again with --keep" in str(caught.value.hint)
    assert find_left(settings, project).builds == ()
    assert [path.name for path in (settings.cache / "builds").iterdir()] == ["lock"]
