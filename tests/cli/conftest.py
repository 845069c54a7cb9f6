"""The program in this process: one command line in, its exit code and both of its streams out."""

import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imagekit.cli import run_cli
from imagekit.settings import read_settings
from imagekit.store import Store, open_store
from tests.store.samples import at, make_verified
from tests.verify.clean_tree import make_disk, make_tree


@dataclass(frozen=True, slots=True)
class Said:
    """What one command line did: its exit code, results (standard output), messages (standard error)."""

    status: int
    output: str
    errors: str

    def json(self) -> dict[str, Any]:
        """Return the one document on standard output; anything beside it is an error."""
        document = json.loads(self.output)
        assert isinstance(document, dict)
        assert document["schema_version"] == 1
        return document


Program = Callable[..., Said]


@pytest.fixture
def signals() -> Iterator[None]:
    """Give back the signal handlers that the program sets for its process."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.fixture
def program(
    signals: None, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Program:
    """Return imagekit as a function of its arguments, started in an empty directory."""
    directory = tmp_path / "project"
    directory.mkdir()
    monkeypatch.chdir(directory)

    def start(*arguments: str, status: int = 0) -> Said:
        capsys.readouterr()
        outcome = run_cli(arguments)
        output, errors = capsys.readouterr()
        said = Said(int(outcome), output, errors)
        assert said.status == status, said
        assert "\x1b" not in output + errors, "an escape code, and nobody is at a terminal"
        return said

    return start


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return the store that the program uses by default, with three versions of ``template`` and one of ``pihole``.

    The channel ``stable`` of ``template`` went from 20260705-1 to 20260706-1; ``candidate`` points to 20260707-1.
    """
    opened = open_store(read_settings({}).store)
    for day, promoted in ((5, "stable"), (6, "stable"), (7, None)):
        verified = make_verified(tmp_path / f"disk{day}.raw", seed=day)
        opened.add(verified, promote_to=promoted, clock=at(day))
    opened.add(make_verified(tmp_path / "pihole.raw", seed=1, name="pihole"), clock=at(8))
    return opened


@pytest.fixture(scope="session")
def clean_disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small disk on which every check passes; do not change it."""
    work = tmp_path_factory.mktemp("clean")
    disk = work / "disk.raw"
    make_disk(make_tree(work / "root"), disk, work)
    return disk
