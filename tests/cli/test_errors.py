"""What goes wrong: one sentence and a hint on standard error, and the exit code that scripts rely on."""

import os
import signal
import sys
from pathlib import Path

import pytest

from imagekit.errors import ImagekitError, ToolFailed
from imagekit.host import run
from imagekit.store import Store
from tests.cli.conftest import Program

PROJECT = Path(__file__).parents[2]
_BROKEN = '[images.template]\npackges = []\nsize = "2X"\n\n[images.other]\nfeatures = ["dokcer"]\n'


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["bild"], 2, "there is no command 'bild'. Did you mean 'build'?"),
        (["zzz"], 2, "there is no command 'zzz'."),
        (["images", "--jsn"], 2, "Did you mean '--json'?"),
        (["build"], 2, "Missing argument 'NAME'"),
        (["show"], 2, "Missing argument 'REFERENCE'"),
        (["verify"], 2, "say what to verify"),
        (["verify", "disk.raw", "--format", "xml"], 2, "'xml' is not one of"),
        (["clone", "template", "web"], 2, "add --local"),
        (["clone", "--local"], 2, "give REFERENCE and VMNAME"),
        (["clone", "template", "--local"], 2, "give the clone a name"),
        (["clone", "--local", "--list", "--stop", "web"], 2, "one of --list, --start, --stop, --remove"),
        (["clone", "template", "web", "--local", "--cores", "0"], 2, "0 is not in the range"),
        (["build", "templat"], 3, "did you mean 'template'?"),
        (["build", "template", "--promote", "stabel"], 3, "image template has no channel 'stabel'"),
        (["show", "Template"], 3, "image name 'Template' cannot be used"),
        (["show", "template@sha256:xyz"], 3, "has no usable digest"),
        (["show", "template@20261399-1"], 3, "a date that the calendar does not"),
        (["promote", "template@", "stable"], 3, "channel '' cannot be used"),
        (["log", "../etc"], 3, "image name '../etc' cannot be used"),
        (["clone", "template", "Web 1", "--local"], 3, "clone name 'Web 1' cannot be used"),
        (["clone", "template", "web", "--local", "--disk", "20X"], 2, "20X"),
        (["images", "--store", "relative"], 3, "--store: 'relative' is not an absolute path"),
        (["verify", "--explain", "machine-ids"], 3, "did you mean machine-id?"),
        (["verify", "./missing.raw"], 5, "missing.raw cannot be opened"),
        (["images", "nothing"], 6, "no image 'nothing' is stored"),
        (["show", "templat"], 6, "did you mean 'template'?"),
        (["show", "template@20260705-9"], 6, "template has no version 20260705-9"),
        (["show", "template@stabel"], 6, "did you mean 'stable'?"),
        (["promote", "template", "stabel"], 6, "template has no channel 'stabel'"),
        (["rollback", "pihole"], 6, "stable"),
        (["clone", "--local", "--start", "web"], 8, "there is no clone web"),
        (["clone", "--local", "--remove", "web", "--yes"], 8, "there is no clone web"),
    ],
)
def test_mistake_has_its_code(program: Program, store: Store, arguments: list[str], status: int, said: str) -> None:
    """Each kind of mistake ends with its own code, one message on standard error, and nothing on standard output."""
    answer = program(*arguments, status=status)
    assert answer.output == ""
    assert said in " ".join(answer.errors.split())
    assert "Traceback" not in answer.errors


def test_every_problem_of_a_definition_is_told(program: Program) -> None:
    """A broken imagekit.toml is refused with all of its mistakes and their lines by every command that reads it."""
    Path("imagekit.toml").write_text(_BROKEN)
    for command in (["build", "template"], ["config"], ["config", "--json"], ["build", "template", "--dry-run"]):
        errors = program(*command, status=3).errors
        for problem in (
            "imagekit.toml:2: images.template.packges: unknown key; did you mean 'packages'?",
            "imagekit.toml:3: images.template.size:",
            "imagekit.toml:6: images.other.features",
        ):
            assert problem in errors


def test_missing_tool_names_its_package(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that is not installed is exit 9, with the package that brings it."""
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if name == "mmdebstrap" else f"/usr/bin/{name}")
    said = program("build", "template", "--no-boot-test", status=9)
    assert "error: mmdebstrap is not installed" in said.errors
    assert "mmdebstrap" in said.errors.split("hint:")[1]


def test_missing_emulator_is_found_before_the_build(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that would have to boot in the end does not begin without QEMU."""
    monkeypatch.setattr("shutil.which", lambda name, path=None: None if "qemu" in name else f"/usr/bin/{name}")
    monkeypatch.setattr("imagekit.build.build_local", lambda *_, **__: pytest.fail("the build began"))
    said = program("build", "template", status=9)
    assert "qemu-system-x86_64 is not installed" in said.errors


def test_refusal(program: Program) -> None:
    """A file that is there is not replaced without --force."""
    assert program("init").output.strip().endswith("imagekit.toml")
    Path("imagekit.toml").write_text("# mine\n")
    said = program("init", status=7)
    assert "hint: edit it, or replace it with --force" in said.errors
    assert Path("imagekit.toml").read_text() == "# mine\n"
    assert program("init", "--force").output
    assert "# mine" not in Path("imagekit.toml").read_text()


def test_locked_store_names_the_holder(program: Program, store: Store) -> None:
    """A build of an image that is being built ends at once and says by whom."""
    with store.lock_build("template"):
        said = program("build", "template", "--no-boot-test", status=6)
    assert f"image 'template' is being built by PID {os.getpid()}" in said.errors


def test_tool_failure_shows_what_the_tool_said(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a failed tool's words is shown, with its escapes written out."""

    def fail(*_: object) -> None:
        raise ToolFailed("mke2fs failed with status 1", detail="first\tline\n\x1b[31mred\x1b[0m", hint="look\nhere")

    monkeypatch.setattr("imagekit.store.open_store", fail)
    said = program("images", status=4)
    assert said.errors == (
        "error: mke2fs failed with status 1\n  | first   line\n  | \\x1b[31mred\\x1b[0m\nhint: look\n      here\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_unwinds(program: Program, monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Ctrl-C, SIGTERM and SIGHUP end a run with 130 after it was unwound; a second one does not stop the unwinding."""
    steps: list[str] = []

    def interrupted(*_: object) -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            steps.append("cleaned up")

    monkeypatch.setattr("imagekit.store.open_store", interrupted)
    said = program("images", status=130)
    assert said.output == ""
    assert said.errors.strip() == "interrupted"
    assert steps == ["cleaned up"]


def test_ignored_signal_stays_ignored(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under nohup a hang-up does not end the run."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def hang_up(root: Path) -> Store:
        signal.raise_signal(signal.SIGHUP)
        return Store(root)

    monkeypatch.setattr("imagekit.store.open_store", hang_up)
    assert program("images", "--json").json()["images"] == []


def test_bug_keeps_its_traceback(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no operator's error is a bug: it is not turned into a friendly sentence."""

    def break_down(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("imagekit.store.open_store", break_down)
    with pytest.raises(ZeroDivisionError):
        program("images")


def test_reader_that_leaves_is_no_error(store: Store) -> None:
    """``imagekit images | head -1`` ends quietly: no message, no traceback, exit 0."""
    places = {name: os.environ[name] for name in os.environ if name.startswith("XDG_")}
    line = f"({sys.executable} -m imagekit show template --json; echo $? >&2) | true"
    said = run(["sh", "-c", line], environment=places, directory=PROJECT, timeout=60)
    assert said.errors == "0\n"


def test_hostile_words_are_shown_as_text(program: Program, store: Store) -> None:
    """Escapes, directions and line ends in an argument or in a reason are written out, never sent to the terminal."""
    evil = "a\x1b]0;pwned\x07\u202egnp\nlog  faked"
    said = program("show", evil, status=3)
    assert len(said.errors.splitlines()) == 2
    assert "\u202e" not in said.errors
    program("promote", "template", "stable", "--reason", evil)
    table = program("log", "template").output
    assert "a\\x1b]0;pwned\\x07\\u202egnp\\nlog  faked" in table
    assert len(table.splitlines()) == 1 + 6
    assert program("log", "template", "--json").json()["history"][-1]["reason"] == evil


def test_bytes_that_are_no_text_are_no_bug(program: Program, store: Store) -> None:
    """An argument with bytes outside UTF-8 is told as a mistake."""
    said = program("images", "\udcff\udcfe", status=3)
    assert "cannot be used" in said.errors


def test_every_error_class_has_a_code() -> None:
    """No operator's error ends with the code of a bug."""
    pending, classes = [ImagekitError], []
    while pending:
        found = pending.pop().__subclasses__()
        pending += found
        classes += found
    assert len(classes) >= 9
    assert [one.__name__ for one in classes if one.exit_code == 1] == []
