"""Real Packer, driven: what it made, how it failed, and what is left, however it ends."""

import json
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.build.packer.mask import Masker
from imagekit.build.packer.processes import find_processes
from imagekit.build.packer.remains import find_remains, remove_remains
from imagekit.build.packer.steps import CLEANING
from imagekit.errors import DefinitionInvalid, ToolFailed
from imagekit.host import start
from imagekit.progress import Event
from tests.build.packer.conftest import Builder, write_shell

_WAITS = write_shell("PATH=/usr/bin:/bin", "echo started", "touch begun", "exec sleep 60")


def wait_for(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until ``condition`` holds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.02)


def act_when(condition: Callable[[], object], act: Callable[[], object]) -> threading.Thread:
    """Do something from the side once ``condition`` holds."""

    def wait_and_act() -> None:
        wait_for(condition)
        act()

    thread = threading.Thread(target=wait_and_act, daemon=True)
    thread.start()
    return thread


def test_build_is_told_and_timed(builder: Builder) -> None:
    """A build returns its artifact, the steps that a person would name, and Packer's warnings."""
    outcome = builder.write(write_shell("echo hello")).run(only="null.test,null.other")
    assert [(one.build, one.id) for one in outcome.artifacts] == [("null.test", "Null")]
    assert [step.name for step in outcome.steps] == ["starting Packer", "running an inline script"]
    assert all(0 <= step.seconds < 20 for step in outcome.steps)
    assert len(outcome.warnings) == 1
    assert "not all matches were found" in outcome.warnings[0]
    assert {event.stage for event in builder.events} == {"starting Packer", "running an inline script"}
    assert "hello" in outcome.log.read_text()
    builder.assert_nothing_left()


def test_files_of_an_artifact_are_named(builder: Builder) -> None:
    """An artifact's files are those that Packer wrote, relative to the template's directory."""
    text = write_shell("true").replace('"null"', '"file"').replace("source.null", "source.file")
    text = text.replace('communicator = "none"', 'content = "made"\n  target = "made.txt"')
    [artifact] = builder.write(text).run().artifacts
    assert artifact.files == ("made.txt",)
    assert (builder.template / "made.txt").read_text() == "made"


def test_provisioner_that_fails_shows_its_last_lines(builder: Builder) -> None:
    """A failed provisioner is a failed tool, with the end of what it said and the place of the log."""
    lines = [*(f"echo line-{number}" for number in range(40)), "echo broken >&2", "exit 3"]
    with pytest.raises(ToolFailed) as caught:
        builder.write(write_shell(*lines)).run()
    assert caught.value.message.startswith("provisioning failed while running an inline script")
    assert "exit status: 3" in caught.value.message
    detail = caught.value.detail.splitlines()
    assert "broken" in detail
    assert "line-39" in detail
    assert "line-0" not in detail
    assert str(builder.log) in str(caught.value.hint)
    builder.assert_nothing_left()


def test_template_that_packer_refuses_is_a_definition_error(builder: Builder) -> None:
    """A template that a build refuses is told as validation would tell it."""
    with pytest.raises(DefinitionInvalid) as caught:
        builder.write("build {\n  sources = [\n").run()
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(f"{builder.template}/test.pkr.hcl:")
    builder.assert_nothing_left()


def test_status_0_without_an_artifact_is_a_failure(builder: Builder) -> None:
    """The death of Packer's inner process makes its wrapper end with 0: that is not taken for success."""
    begun = builder.template / "begun"
    builder.write(_WAITS)

    def kill_inner() -> None:
        # The inner process is the one child of the wrapper, which leads the group.
        [record] = (builder.state / "packer").glob("*.json")
        wrapper = json.loads(record.read_text())["process"]
        inner = min(pid for pid in find_processes(builder.build_id) if _read_parent(pid) == wrapper)
        os.kill(inner, signal.SIGKILL)

    act_when(begun.exists, kill_inner)
    with pytest.raises(ToolFailed, match="ended as if all were well and made nothing"):
        builder.run()
    builder.assert_nothing_left()


def test_wrapper_that_is_killed_takes_the_build_along(builder: Builder) -> None:
    """After SIGKILL of Packer's outer process the build would go on; it is ended and called killed."""
    begun = builder.template / "begun"
    builder.write(_WAITS)

    def kill_wrapper() -> None:
        [record] = (builder.state / "packer").glob("*.json")
        os.kill(json.loads(record.read_text())["process"], signal.SIGKILL)

    act_when(begun.exists, kill_wrapper)
    with pytest.raises(ToolFailed, match="killed by signal 9 while running an inline script"):
        builder.run()
    builder.assert_nothing_left()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_one_interrupt_lets_packer_clean_up(builder: Builder, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM are passed on once, the operator reads what a second would do, and nothing is left."""
    begun = builder.template / "begun"
    before = signal.signal(number, _interrupt)
    act_when(begun.exists, lambda: os.kill(os.getpid(), number))
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            builder.write(_WAITS).run()
    finally:
        signal.signal(number, before)
    assert time.monotonic() - began < 15
    assert builder.events[-1].stage == CLEANING
    assert "press Ctrl-C again" in builder.events[-1].detail
    assert "Cancelling provisioning" in builder.log.read_text() or "interrupt" in builder.log.read_text()
    builder.assert_nothing_left()


def test_second_interrupt_ends_everything_at_once(builder: Builder) -> None:
    """A script that ignores Ctrl-C keeps Packer waiting; the second Ctrl-C does not wait."""
    text = write_shell("trap '' INT", "touch begun", "while true; do sleep 1; done")
    builder.write(text)
    begun = builder.template / "begun"

    def press() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    act_when(begun.exists, press)
    act_when(lambda: any(event.stage == CLEANING for event in builder.events), press)
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        builder.run()
    assert time.monotonic() - began < 15
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    builder.assert_nothing_left()


def test_error_in_the_callers_code_ends_packer(builder: Builder) -> None:
    """A progress callback that raises does not leave Packer running."""

    def fail(event: Event) -> None:
        if event.stage != "starting Packer":
            raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        builder.write(_WAITS).run(progress=fail)
    builder.assert_nothing_left()


def test_secrets_are_in_no_place_that_stays(builder: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Canaries given by environment, header, cookie and key are in no log, event or error, and in no file left."""
    monkeypatch.setenv("TEST_CANARY", "unused")
    hidden = {"token": "canary,one/+=", "plain": "canary two words", "declared": "canaryDeclared"}
    variables = "".join(
        f'variable "{name}" {{\n  type = string\n  sensitive = {"true" if name == "declared" else "false"}\n}}\n'
        for name in hidden
    )
    text = write_shell(
        "env",
        "echo Authorization: Bearer canaryHeader",
        "echo PVEAPIToken=root@pam!x=canaryToken",
        "echo Cookie: PVEAuthCookie=canaryCookie",
        'echo "CSRFPreventionToken: canaryCsrf"',
        "printf '%s\\n' '-----BEGIN OPENSSH PRIVATE KEY-----' canaryKey '-----END OPENSSH PRIVATE KEY-----'",
        "echo caller canaryCaller",
        "exit 1",
        extra=variables,
    ).replace("exit 1", "echo ${var.token} ${var.plain} ${var.declared} >&2; exit 1")
    with pytest.raises(ToolFailed) as caught:
        builder.write(text).run(masker=Masker(["canaryCaller"]), secrets=hidden)
    shown = [caught.value.message, caught.value.detail, str(caught.value.hint), builder.log.read_text()]
    shown += [event.detail for event in builder.events]
    shown += [path.read_text(errors="replace") for path in builder.place.rglob("*") if path.is_file()]
    assert "PKR_VAR_token=<masked>" in builder.log.read_text()
    assert [
        text for text in shown if "canary" in text.replace(str(builder.template), "") and "sources" not in text
    ] == []
    assert stat.S_IMODE(builder.log.stat().st_mode) == 0o600
    builder.assert_nothing_left()


def test_long_workspace_path_works(builder: Builder) -> None:
    """Plugins listen on sockets whose paths are short; a long workspace uses another private place, and clears it."""
    builder.workspace = builder.place / ("w" * 100)
    builder.workspace.mkdir()
    assert len(builder.write(write_shell("echo here: $TMPDIR")).run().artifacts) == 1
    used = next(line for line in builder.log.read_text().splitlines() if "here: /" in line).split("here: ")[1]
    assert "imagekit-packer-" in used
    assert not Path(used.strip()).exists()
    builder.assert_nothing_left()


def test_kill_9_of_imagekit_lets_packer_end_itself(builder: Builder) -> None:
    """Killed by SIGKILL, imagekit takes Packer along, which cleans up; the next run finds the rest and removes it.

    The rest: our directory, and what a local script had started, of which Packer ends only the shell.
    """
    _run_and_kill(builder.write(_WAITS), os.environ["PATH"])
    wait_for(lambda: "packer" not in {_read_name(pid) for pid in find_processes(builder.build_id)})
    [remains] = find_remains(builder.state)
    assert remains.directories[0] == builder.workspace
    remove_remains(remains)
    assert find_processes(builder.build_id) == ()
    assert not any(directory.exists() for directory in remains.directories)
    assert find_remains(builder.state) == ()


def test_what_outlives_kill_9_is_found_and_ended(builder: Builder) -> None:
    """Where no parent-death signal exists Packer runs on: the next run finds it by its mark, and ends only that."""
    _run_and_kill(builder.write(_WAITS), "/nonexistent")
    bystander = start(["sleep", "60"], environment={"IMAGEKIT_BUILD": f"{builder.build_id}-other"})
    try:
        [remains] = find_remains(builder.state)
        assert len(remains.processes) >= 3
        assert f"{len(remains.processes)} running processes" in remains.describe()
        remove_remains(remains)
        assert find_processes(builder.build_id) == ()
        assert bystander.is_alive()
        assert not builder.workspace.exists()
        assert list((builder.state / "packer").iterdir()) == []
    finally:
        bystander.kill_group()


def _run_and_kill(builder: Builder, path: str) -> None:
    """Run the build in another Python and kill that by SIGKILL once the provisioner runs."""
    program = f"""
import sys
from pathlib import Path
from imagekit.build.packer.tool import PackerTool
from tests.build.packer.conftest import Builder
builder = Builder.__new__(Builder)
builder.tool = PackerTool(Path({str(builder.tool.program)!r}), "0", None, {{}}, Path({str(builder.place)!r}))
builder.events = []
builder.build_id = {builder.build_id!r}
for name in ("workspace", "state", "template", "log"):
    setattr(builder, name, Path({str(builder.place)!r}) / name)
builder.run()
"""
    root = Path(__file__).parents[3]
    ours = start(
        [sys.executable, "-c", program],
        environment={"PATH": path, "PYTHONPATH": os.fspath(root)},
        directory=root,
    )
    wait_for((builder.template / "begun").exists)
    os.kill(ours.pid, signal.SIGKILL)
    wait_for(lambda: not ours.is_alive())


def _read_name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _read_parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt
