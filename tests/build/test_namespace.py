"""Build steps in namespaces of their own."""

import os
import sys
import time
from pathlib import Path

import pytest

from imagekit.build import namespace
from imagekit.build.namespace import namespace_command, run_isolated
from imagekit.errors import HostFailed, ToolFailed, ToolMissing
from imagekit.host.local import Completed, end, start

STEP = """
import sys
from imagekit.build.namespace import run_isolated
place = sys.argv[1]
run_isolated(["sh", "-c", 'mount -t tmpfs imagekit-test "$1" && touch "$2/up" && sleep 300', "sh", place, sys.argv[2]])
"""


def count_processes(word: str) -> int:
    """Return how many processes have ``word`` in their command line."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            count += word.encode() in path.read_bytes()
        except OSError:
            continue
    return count


def start_step(tmp_path: Path) -> object:
    """Start a process of ours that runs a step with a mount, and return it when the mount is there."""
    (tmp_path / "place").mkdir()
    running = start([sys.executable, "-c", STEP, os.fspath(tmp_path / "place"), os.fspath(tmp_path)])
    deadline = time.monotonic() + 20
    while not (tmp_path / "up").exists():
        assert running.is_alive()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return running


@pytest.mark.parametrize("number", [2, 9])
def test_killed_step_leaves_nothing(tmp_path: Path, number: int) -> None:
    """After Ctrl-C and after kill -9 of imagekit no process of the step is left, and its mount was never ours."""
    running = start_step(tmp_path)
    place = os.fspath(tmp_path / "place")
    assert place not in Path("/proc/mounts").read_text()
    os.kill(running.pid, number)  # type: ignore[attr-defined] # sh has no types
    deadline = time.monotonic() + 15
    while count_processes(place):
        assert time.monotonic() < deadline, "the step outlived its build"
        time.sleep(0.05)
    end(running)
    assert place not in Path("/proc/mounts").read_text()


def test_step_is_root_with_a_plain_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Identity, umask, PATH, HOME and locale do not depend on who runs the build, or how."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setenv("APT_CONFIG", "/tmp/other.conf")
    before = os.umask(0o077)
    try:
        said = run_isolated(["sh", "-c", 'id -u; umask; echo "$PATH $HOME $LC_ALL ${APT_CONFIG-none}"'])
    finally:
        os.umask(before)
    assert said.output.decode().splitlines() == [
        "0",
        "0022",
        "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin /root C.UTF-8 none",
    ]


def test_errors_name_the_step() -> None:
    """The program that failed is named, not what runs it; a missing one is missing."""
    with pytest.raises(ToolFailed) as caught:
        run_isolated(["ls", "/no/such/place"])
    assert caught.value.message.startswith("ls failed with status")
    assert "/no/such/place" in caught.value.detail
    with pytest.raises(ToolMissing, match="no-such-program is not installed"):
        run_isolated(["no-such-program"])


@pytest.mark.parametrize(
    ("helper", "ranges", "hint"),
    [
        ("", "ada:100000:65536", "apt install uidmap"),
        ("/usr/bin/newuidmap", "", "usermod --add-subuids"),
        ("/usr/bin/newuidmap", "ada:100000:65536", "kernel.unprivileged_userns_clone"),
    ],
)
def test_refusal_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, helper: str, ranges: str, hint: str
) -> None:
    """An ordinary user is told which of the three things to change: the program, the ranges, the kernel's setting."""
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    monkeypatch.setattr(namespace, "_user_name", lambda: "ada")
    monkeypatch.setattr(namespace, "find_tool", lambda name, required=True: helper)
    monkeypatch.setattr(namespace, "run", lambda *_, **__: Completed(b"", "unshare: Operation not permitted\n", 1))
    monkeypatch.setattr(namespace, "_RANGES", (tmp_path / "ranges",))
    (tmp_path / "ranges").write_text(f"{ranges}\n")
    namespace_command.cache_clear()
    try:
        with pytest.raises(HostFailed) as caught:
            namespace_command()
    finally:
        namespace_command.cache_clear()
    assert caught.value.message.endswith("and is not root: unshare: Operation not permitted")
    assert hint in (caught.value.hint or "")


def test_root_in_a_container_runs_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even root may not unshare, the steps run without namespaces."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(namespace, "run", lambda *_, **__: Completed(b"", "unshare: Operation not permitted", 1))
    namespace_command.cache_clear()
    try:
        assert namespace_command() == ()
    finally:
        namespace_command.cache_clear()
