"""Our Vagrant project is found in a checkout, and in what a wheel has of it."""

from pathlib import Path

import pytest

from imagekit.build.vagrant import own_project
from imagekit.errors import ToolMissing


def test_checkout_has_it() -> None:
    """In a checkout it is the top-level directory where people look for it."""
    assert own_project.find_own_project() == Path(own_project.__file__).parents[3] / "vagrant"


def test_wheel_has_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The packaged copy comes first; one with a part missing is told."""
    monkeypatch.setattr(own_project, "_PACKAGED", tmp_path)
    with pytest.raises(ToolMissing, match="has no Vagrantfile"):
        own_project.find_own_project()
    for part in own_project.PARTS:
        (tmp_path / part).touch()
    assert own_project.find_own_project() == tmp_path
