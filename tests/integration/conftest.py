"""One real build for the whole run: the program as a user starts it, in places of its own, shared by every test here."""

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imagekit.host import Completed, run


@dataclass(frozen=True, slots=True)
class Program:
    """imagekit with its own store, cache and state; ``directory`` is where it is started."""

    home: Path
    directory: Path

    def environment(self) -> Mapping[str, str]:
        """Return the places of this program."""
        cache = os.environ.get("IMAGEKIT_TEST_CACHE", os.fspath(self.home / "cache"))
        return {
            "HOME": os.fspath(self.home),
            "XDG_DATA_HOME": os.fspath(self.home / "data"),
            "XDG_STATE_HOME": os.fspath(self.home / "state"),
            "XDG_CONFIG_HOME": os.fspath(self.home / "config"),
            "IMAGEKIT_CACHE": cache,
        }

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 1500) -> Completed:
        """Run one command line to its end."""
        argv = [sys.executable, "-m", "imagekit", *arguments]
        said = run(argv, environment=self.environment(), directory=self.directory, check=False, timeout=timeout)
        if check:
            assert said.status == 0, f"{arguments}: status {said.status}\n{said.errors}"
        return said

    def json(self, *arguments: str) -> dict[str, Any]:
        """Run a reading command with ``--json`` and return its document."""
        document = json.loads(self(*arguments, "--json").output)
        assert isinstance(document, dict)
        return document


@dataclass(frozen=True, slots=True)
class Built:
    """What the one build gave: the program that made it, its document, and what it said while it worked."""

    program: Program
    document: dict[str, Any]
    messages: str


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build, verify, prove and store the default template, cold, as README's first command does."""
    place = tmp_path_factory.mktemp("integration")
    (place / "project").mkdir()
    program = Program(place, place / "project")
    said = program("build", "template", "--json")
    return Built(program, json.loads(said.output), said.errors)


@pytest.fixture(scope="session")
def template_disk(built: Built) -> Path:
    """Return the raw disk of the stored template; nobody writes to it."""
    return Path(built.program.json("show", "template")["path"])
