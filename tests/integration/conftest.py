"""One real build for the whole run: the program as a user starts it, in places of its own, shared by all tests."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from imagekit.host import Completed, run, start
from tests.integration.used import Used, use_clone

if TYPE_CHECKING:
    from tests.integration.packing import PackerProgram

_SOURCE = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Program:
    """imagekit with its own store and state, and a cache that may be shared; ``directory`` is where it is started."""

    home: Path
    directory: Path
    cache: Path

    def environment(self) -> Mapping[str, str]:
        """Return the places of this program, and of the source that these tests lie beside."""
        return {
            "HOME": os.fspath(self.home),
            "XDG_DATA_HOME": os.fspath(self.home / "data"),
            "XDG_STATE_HOME": os.fspath(self.home / "state"),
            "XDG_CONFIG_HOME": os.fspath(self.home / "config"),
            "IMAGEKIT_CACHE": os.fspath(self.cache),
            "PYTHONPATH": os.fspath(_SOURCE),
            "PYTHONUNBUFFERED": "1",
        }

    def __call__(self, *arguments: str, check: bool = True, timeout: float = 1500) -> Completed:
        """Run one command line to its end."""
        argv = [sys.executable, "-m", "imagekit", *arguments]
        said = run(argv, environment=self.environment(), directory=self.directory, check=False, timeout=timeout)
        if check:
            assert said.status == 0, f"{arguments}: status {said.status}\n{said.errors}"
        return said

    def start(self, *arguments: str) -> "Started":
        """Start one command line in the background; its messages go to a file."""
        messages = self.home / f"messages-{time.monotonic_ns()}"
        argv = [sys.executable, "-m", "imagekit", *arguments]
        with messages.open("wb") as file:
            process = start(argv, environment=self.environment(), directory=self.directory, stderr=file)
        return Started(process, messages)

    def json(self, *arguments: str) -> dict[str, Any]:
        """Run a reading command with ``--json`` and return its document."""
        document = json.loads(self(*arguments, "--json").output)
        assert isinstance(document, dict)
        return document


@dataclass(frozen=True, slots=True)
class Started:
    """A command line in the background."""

    process: Any
    messages: Path

    def wait_for(self, words: str, timeout: float) -> None:
        """Return when the program has said ``words``; it must not end before."""
        deadline = time.monotonic() + timeout
        while words not in self.messages.read_text():
            assert self.process.is_alive(), self.messages.read_text()
            assert time.monotonic() < deadline, f"no {words!r} within {timeout} s:\n{self.messages.read_text()}"
            time.sleep(0.05)

    def wait(self, timeout: float) -> int:
        """Return the exit status, negative for a signal, once the program has ended."""
        deadline = time.monotonic() + timeout
        while self.process.is_alive():
            assert time.monotonic() < deadline, f"it runs for more than {timeout} s:\n{self.messages.read_text()}"
            time.sleep(0.02)
        try:
            self.process.wait()
        except Exception as problem:  # sh raises one class for each signal number
            status = getattr(problem, "exit_code", None)
            assert isinstance(status, int)
            return status
        return int(self.process.exit_code)


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
    cache = Path(os.environ.get("IMAGEKIT_TEST_CACHE", place / "cache"))
    program = Program(place, place / "project", cache)
    said = program("build", "template", "--json")
    return Built(program, json.loads(said.output), said.errors)


@pytest.fixture(scope="session")
def warm_cache(request: pytest.FixtureRequest) -> Path:
    """Return a cache that has the packages and the base root of the default template."""
    given = os.environ.get("IMAGEKIT_TEST_CACHE")
    if given and any(Path(given, "roots").glob("bookworm-*.tar")):
        return Path(given)
    built = request.getfixturevalue("built")
    assert isinstance(built, Built)
    return built.program.cache


@pytest.fixture
def fresh(warm_cache: Path, tmp_path: Path) -> Program:
    """Return a program with an empty store and an empty project, whose cache is warm."""
    (tmp_path / "project").mkdir()
    return Program(tmp_path, tmp_path / "project", warm_cache)


@pytest.fixture(scope="session")
def template_disk(built: Built) -> Path:
    """Return the raw disk of the stored template; nobody writes to it."""
    return Path(built.program.json("show", "template")["path"])


@pytest.fixture(scope="session")
def used(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Used:
    """Boot the template once, use it, clean it up as people do, and return its disk at three moments."""
    return use_clone(built.program, built.document["reference"], tmp_path_factory.mktemp("used"))


def compute_digest(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture(scope="session")
def packer_program(warm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[PackerProgram]":
    """Return a program that finds Packer, with an empty store and a warm cache; its clones are removed afterwards."""
    from tests.integration.packing import PackerProgram

    home = tmp_path_factory.mktemp("packer")
    (home / "project").mkdir()
    program = PackerProgram(home, home / "project", warm_cache)
    yield program
    for one in program.json("clone", "--local", "--list")["clones"]:
        program("clone", "--local", "--remove", one["name"], "--yes")


@pytest.fixture(scope="session")
def raw_disk(packer_program: "PackerProgram") -> Path:
    """Return the local builder's disk of a plain template; nobody writes to it."""
    packer_program.define('[images.plain]\nbuilder = "local"\nsize = "1500M"\n')
    packer_program("build", "plain", "--no-boot-test")
    return Path(packer_program.json("show", "plain")["path"])


@pytest.fixture(scope="session")
def given_disk(raw_disk: Path, packer_program: "PackerProgram") -> Path:
    """Return that disk as people pass disks on, beside the definition: golden.qcow2."""
    path = packer_program.directory / "golden.qcow2"
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", os.fspath(raw_disk), os.fspath(path)])
    return path
