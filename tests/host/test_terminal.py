"""The terminal handed to a program: its streams are ours, and its end is told."""

import sys
from pathlib import Path

import pytest

from imagekit.errors import ToolMissing
from imagekit.host import run
from imagekit.host.terminal import run_on_terminal


@pytest.mark.parametrize(("script", "status"), [("exit 0", 0), ("exit 9", 9), ("kill -TERM $$", 143)])
def test_status_is_told(script: str, status: int) -> None:
    """An exit code as it is; a signal as shells count it."""
    assert run_on_terminal(["sh", "-c", script]) == status


def test_streams_are_ours(tmp_path: Path) -> None:
    """What the program reads and writes is what this process has."""
    code = (
        "import sys; from imagekit.host.terminal import run_on_terminal;"
        "sys.exit(run_on_terminal(['sh', '-c', 'read line; echo \"got $line\"; echo said >&2; exit 3']))"
    )
    said = run([sys.executable, "-c", code], directory=tmp_path, stdin=b"hello\n", check=False,
               environment={"PYTHONPATH": str(Path(__file__).parents[2])})  # fmt: skip
    assert (said.status, said.output, said.errors) == (3, b"got hello\n", "said\n")


def test_missing_program() -> None:
    """A program that is not installed is told before anything happens."""
    with pytest.raises(ToolMissing):
        run_on_terminal(["no-such-program-here"])
