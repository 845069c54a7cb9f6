"""The benchmarks: every script says what it compares, and the arithmetic behind their verdicts is right."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from imagekit.errors import ToolFailed, ToolMissing
from imagekit.host import run

_DIRECTORY = Path(__file__).parent.parent / "benchmarks"
_SHARED = {"measure", "mirror", "peers", "stored"}
_SCRIPTS = sorted(path.stem for path in _DIRECTORY.glob("*.py") if path.stem not in _SHARED)


@pytest.fixture(scope="module")
def measure() -> ModuleType:
    """The module that all scripts share, loaded from its file: benchmarks are no package."""
    spec = importlib.util.spec_from_file_location("benchmark_measure", _DIRECTORY / "measure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    return module


def test_scripts_are_there() -> None:
    """There is a script for each thing that has an aim."""
    assert set(_SCRIPTS) >= {"boot", "build", "clone", "help", "memory", "verify"}


@pytest.mark.parametrize("name", _SCRIPTS)
def test_script_explains_itself(name: str) -> None:
    """--help imports everything, tells what is measured and how often, and measures nothing."""
    said = run([sys.executable, str(_DIRECTORY / f"{name}.py"), "--help"]).output.decode()
    assert "--rounds" in said
    assert (_DIRECTORY / f"{name}.py").read_text().splitlines()[0].removeprefix('"""') in said


@pytest.mark.parametrize("rounds", ["0", "-1", "many"])
def test_impossible_rounds_are_refused(rounds: str) -> None:
    """A number of rounds that gives no median is a usage error."""
    said = run([sys.executable, str(_DIRECTORY / "help.py"), f"--rounds={rounds}"], check=False)
    assert said.status == 2
    assert "is not a number of rounds" in said.errors


def test_classic_script_is_valid_shell() -> None:
    """The debootstrap script is at least a script."""
    assert run(["sh", "-n", str(_DIRECTORY / "debootstrap.sh")]).status == 0


def test_ratio_is_of_medians(measure: ModuleType) -> None:
    """One slow round does not move a ratio."""
    ours = measure.Timings("ours", (1.0, 1.0, 100.0))
    theirs = measure.Timings("theirs", (4.0, 2.0, 0.1))
    assert measure.divide_medians(ours, theirs) == 0.5


def test_median_of_even_rounds(measure: ModuleType) -> None:
    """The median of an even number of rounds is the mean of the middle two."""
    assert measure.Timings("ours", (1.0, 2.0, 4.0, 9.0)).median == 3.0


def test_fastest_peer_is_by_median(measure: ModuleType) -> None:
    """The peer to beat is the one with the lowest median, not the one with the luckiest round."""
    lucky, steady = measure.Timings("lucky", (0.1, 9.0, 9.0)), measure.Timings("steady", (2.0, 2.0, 2.0))
    assert measure.find_fastest([lucky, steady]) is steady


@pytest.mark.parametrize(("value", "limit", "passed"), [(0.7, 0.7, True), (0.71, 0.7, False), (99.0, None, True)])
def test_aim_is_at_most(measure: ModuleType, value: float, limit: float | None, passed: bool) -> None:
    """An aim is met up to and including its limit; without a limit it is information."""
    aim = measure.Aim("what", value, limit)
    assert aim.passed is passed
    assert ("FAIL" in aim.format_line()) is not passed


def test_report_fails_when_one_aim_is_missed(measure: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit status is 1 as soon as one aim is missed, and the table and the verdict are printed."""
    timings = [measure.Timings("ours", (1.5, 2.5), (0.1, 0.3))]
    assert measure.report(timings, [measure.Aim("a", 1.0, 2.0), measure.Aim("b", 3.0, 2.0)]) == 1
    said = capsys.readouterr().out
    assert "2.00 s" in said
    assert "b: 3.00x  (aim: at most 2x)  FAIL" in said
    assert measure.report(timings, [measure.Aim("a", 1.0, 2.0)]) == 0


def test_rounds_are_interleaved(measure: ModuleType) -> None:
    """Every contender has its turn in every round, prepared before and tidied after."""
    done: list[str] = []
    contenders = [
        measure.Contender(name, lambda n=name: done.append(n), lambda: done.append("("), lambda: done.append(")"))
        for name in ("a", "b")
    ]
    timings = measure.measure_interleaved(contenders, 2)
    assert "".join(done) == "(a)(b)(a)(b)"
    assert [len(one.seconds) for one in timings.values()] == [2, 2]


def test_contender_is_tidied_after_failure(measure: ModuleType) -> None:
    """What a failing contender leaves is cleaned up, and the failure is not hidden."""
    done: list[str] = []

    def fail() -> None:
        raise ToolFailed("broken")

    with pytest.raises(ToolFailed, match="broken"):
        measure.measure_interleaved([measure.Contender("a", fail, tidy=lambda: done.append("tidy"))], 1)
    assert done == ["tidy"]


def test_commands_are_timed_in_turn(measure: ModuleType, tmp_path: Path) -> None:
    """Whole processes are run in turn with the round's number, and a longer one has a longer time."""
    log = tmp_path / "log"
    commands = {
        "slow": ["sh", "-c", f"echo slow-{{round}} >> {log}; sleep 0.2"],
        "quick": ["sh", "-c", f"echo quick-{{round}} >> {log}"],
    }
    timings = measure.time_commands(commands, 2)
    assert log.read_text().split() == ["slow-1", "quick-1", "slow-2", "quick-2"]
    assert min(timings["slow"].seconds) >= 0.2
    assert timings["quick"].median < timings["slow"].median


def test_failing_command_is_no_measurement(measure: ModuleType) -> None:
    """A command that fails quickly must not win: it ends the measuring and is named."""
    with pytest.raises(ToolFailed) as caught:
        measure.time_commands({"broken": ["false"]}, 1)
    assert "status 1 of: false" in caught.value.detail


def test_missing_peer_is_a_sentence(measure: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer that is not installed fails the benchmark with its name and the package that brings it."""

    def work() -> int:
        measure.require_tools(("no-such-peer", "peer-package"), ("sh", "dash"))
        return 0

    with pytest.raises(ToolMissing):
        work()
    assert measure.run_benchmark(work) == 9
    said = capsys.readouterr().err
    assert "not installed: no-such-peer" in said
    assert "install -y --no-install-recommends peer-package" in said


def test_everything_is_kept_below_home(measure: ModuleType, tmp_path: Path) -> None:
    """A measured imagekit gets a store, a cache, a state and settings of its own."""
    environment = measure.keep_below(tmp_path)
    assert {"IMAGEKIT_STORE", "IMAGEKIT_CACHE", "IMAGEKIT_STATE", "XDG_CONFIG_HOME"} <= set(environment)
    assert all(Path(place).is_relative_to(tmp_path) for place in environment.values())
