"""A build that is ended at any moment leaves no process, no mount, no working directory, no half version."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Program, Started

pytestmark = pytest.mark.integration

# Moments as shares of the time that a whole warm build takes here; the ids of the tests tell them.
_RANDOM = random.Random(20261121)
_MOMENTS = [
    pytest.param(number, share, id=f"{number.name}-at-{share}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
    for share in (round(_RANDOM.uniform(low, low + 0.4), 3) for low in (0.02, 0.42))
]
_SETTLE_SECONDS = 15.0


def _list_traces(place: str) -> list[str]:
    """Return every process that has ``place`` in its arguments, environment or working directory, and every mount."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        for kind in ("cmdline", "environ", "cwd", "root"):
            try:
                path = process / kind
                said = os.fsencode(os.readlink(path)) if kind in ("cwd", "root") else path.read_bytes()  # noqa: PTH115 - of a process, not of a file
            except OSError:
                continue
            if os.fsencode(place) in said:
                found.append(f"process {process.name} {kind}: {said[:200]!r}")
                break
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    return found + [f"mount: {line}" for line in mounts if place in line]


def _wait_for_none(*places: str | Path) -> list[str]:
    """Return what is left of ``places`` after a moment; the kernel ends a PID namespace in its own time."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while True:
        left = [trace for place in places for trace in _list_traces(os.fspath(place))]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def _list_builds(program: Program) -> set[Path]:
    builds = program.cache / "builds"
    return {path for path in builds.iterdir() if path.is_dir()} if builds.is_dir() else set()


def _list_files(*places: Path) -> list[Path]:
    return sorted(path for place in places for path in place.rglob("*") if not path.is_dir())


@pytest.fixture
def started(fresh: Program) -> Iterator[list[Started]]:
    """Collect what was started; what still runs in the end is killed."""
    running: list[Started] = []
    yield running
    for one in running:
        if one.process.is_alive():
            os.kill(one.process.pid, signal.SIGKILL)
            one.wait(30)


@pytest.fixture(scope="module")
def warm_seconds(warm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Return how long a whole build takes here and now when the cache is warm."""
    place = tmp_path_factory.mktemp("measured")
    (place / "project").mkdir()
    program = Program(place, place / "project", warm_cache)
    for _attempt in range(2):  # a cache that was given may be that of an older recipe
        began = time.monotonic()
        said = program("build", "template", "--no-boot-test").errors
        if "unpacking the cached base root" in said:
            return time.monotonic() - began
    pytest.fail(f"no base root was kept:\n{said}")


def _start_and_wait(program: Program, started: list[Started], seconds: float) -> Started:
    """Return a build that has run for ``seconds``; sooner when this one is faster than the one that was measured."""
    for _attempt in range(4):
        build = program.start("build", "template", "--no-boot-test")
        started.append(build)
        end = time.monotonic() + seconds
        while time.monotonic() < end and build.process.is_alive():
            time.sleep(0.01)
        if build.process.is_alive():
            return build
        seconds /= 2
    pytest.fail(f"every build ends sooner:\n{build.messages.read_text()}")


def _sweep(program: Program, started: list[Started]) -> None:
    """Begin the next build, which removes what a killed one has left before its own work begins; end it."""
    other = program.start("build", "template", "--no-boot-test")
    started.append(other)
    other.wait_for("reading package lists", 60)
    os.kill(other.process.pid, signal.SIGTERM)
    assert other.wait(30) == 130


@pytest.mark.parametrize(("number", "share"), _MOMENTS)
def test_interrupted_build_leaves_nothing(
    fresh: Program, started: list[Started], warm_seconds: float, number: signal.Signals, share: float
) -> None:
    """A signal at a random moment of a build ends everything that belongs to it and stores nothing."""
    before = _list_builds(fresh)
    build = _start_and_wait(fresh, started, share * warm_seconds)
    places, images = _list_builds(fresh) - before, fresh.json("images")["images"]
    os.kill(build.process.pid, number)
    assert build.wait(30) == (-number if number is signal.SIGKILL else 130), build.messages.read_text()
    assert _wait_for_none(fresh.home, *places) == []
    assert fresh.json("images")["images"] == images
    assert _list_files(fresh.home / "data" / "imagekit" / "incoming") == []
    if number is signal.SIGKILL:
        _sweep(fresh, started)
    else:
        assert build.messages.read_text().splitlines()[-1] == "interrupted"
    assert _list_builds(fresh) - before == set()


def test_build_after_an_interrupted_one_works(fresh: Program, started: list[Started]) -> None:
    """The build after one that was killed in the middle starts from the same cache and stores the first version."""
    build = fresh.start("build", "template", "--no-boot-test")
    started.append(build)
    build.wait_for("unpacking the cached base root", 300)
    os.kill(build.process.pid, signal.SIGKILL)
    assert build.wait(30) == -signal.SIGKILL
    said = fresh("build", "template", "--no-boot-test")
    (image,) = fresh.json("images")["images"]
    assert said.output.decode().strip() == image["versions"][0]["reference"]
    assert len(image["versions"]) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_interrupted_boot_test_leaves_nothing(fresh: Program, started: list[Started], number: signal.Signals) -> None:
    """A signal while two machines boot ends both; their disks and keys go, and nothing is stored."""
    before = _list_builds(fresh)
    build = fresh.start("build", "template")
    started.append(build)
    build.wait_for("booting two clones", 600)
    time.sleep(6)
    (workspace,) = _list_builds(fresh) - before
    machines = [trace for trace in _list_traces(os.fspath(workspace)) if "qemu-system" in trace]
    assert len(machines) == 2
    os.kill(build.process.pid, number)
    assert build.wait(30) == (-number if number is signal.SIGKILL else 130), build.messages.read_text()
    assert _wait_for_none(fresh.home, workspace) == []
    assert fresh.json("images")["images"] == []
    if number is signal.SIGKILL:
        _sweep(fresh, started)
    keys = [path for path in _list_files(fresh.home) if b"PRIVATE KEY" in path.read_bytes()[:100]]
    assert keys == []
    assert _list_builds(fresh) - before == set()
