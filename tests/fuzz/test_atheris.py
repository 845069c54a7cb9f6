"""Every reader under atheris for a few seconds: long enough to see that it works, and to find what is shallow."""

import re
import sys
from pathlib import Path

import pytest

from imagekit.errors import ToolFailed
from imagekit.host import run
from tests.fuzz.targets import TARGETS

_SECONDS = 2
_ROOT = Path(__file__).parent.parent.parent
_COUNT = re.compile(r"stat::number_of_executed_units:\s+(\d+)")


def fuzz(name: str, crashes: Path, *more: str) -> str:
    """Run one target and return what was said; a crash, and atheris missing, raise ToolFailed."""
    words = [name, "--seconds", str(_SECONDS), "--crashes", str(crashes), *more]
    said = run([sys.executable, "-m", "tests.fuzz.run_atheris", *words], directory=_ROOT, timeout=300)
    return said.output.decode() + said.errors


@pytest.mark.integration
@pytest.mark.parametrize("name", TARGETS)
def test_reader_survives_coverage_led_inputs(name: str, tmp_path: Path) -> None:
    """No input is found that breaks the reader, and inputs were tried."""
    found = _COUNT.search(fuzz(name, tmp_path))
    assert found is not None
    assert int(found[1]) > 10
    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_unknown_target_fails(tmp_path: Path) -> None:
    """A name that is no target is an error, not a run without inputs."""
    with pytest.raises(ToolFailed):
        fuzz("nothing", tmp_path)
