"""The stand-in for Vagrant, and the settings of a VM that is this test's alone."""

from pathlib import Path

import pytest

from imagekit.build.vagrant import VmSettings
from tests.build.vagrant.stand_in import StandInVagrant


@pytest.fixture
def vagrant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandInVagrant:
    """Return the stand-in, found as ``vagrant``, with nothing created yet."""
    stand_in = StandInVagrant(tmp_path / "play")
    stand_in.install(tmp_path / "bin", monkeypatch)
    return stand_in


@pytest.fixture
def settings(tmp_path: Path) -> VmSettings:
    """Return a VM with a box that is named, so that no processor lacks one."""
    return VmSettings(tmp_path / "state/vagrant", box="imagekit-test")
