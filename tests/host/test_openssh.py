"""Another machine as a host: what ends with the connection, and what a hostile one can answer."""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from imagekit.errors import HostFailed, ToolFailed
from imagekit.host import openssh_settings, start
from imagekit.host.local import end
from imagekit.host.openssh import OpenSshHost, open_openssh
from imagekit.host.openssh_failure import ConnectionLost
from tests.host.openssh_machines import await_that, lives
from tests.sshd import ALIAS, Sshd, list_descendants, start_sshd


@pytest.mark.parametrize("how", ["network", "our ssh"])
def test_lost_connection_ends_the_command(server: Sshd, host: OpenSshHost, tmp_path: Path, how: str) -> None:
    """When the connection ends in the middle, it is told as that, and what ran there ends within seconds."""
    pids = tmp_path / "pids"

    def lose() -> None:
        assert await_that(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        if how == "network":
            assert server.drop_connections() > 0
        else:
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    if host.login.arguments[1].encode() in path.read_bytes():
                        os.kill(int(path.parent.name), signal.SIGKILL)

    thread = threading.Thread(target=lose)
    thread.start()
    with pytest.raises(ConnectionLost, match="connection to builder was lost"):
        host.run(["sh", "-c", f"sleep 60 & echo $! $$ > {pids}; wait"])
    thread.join()
    first, second = (int(pid) for pid in pids.read_text().split())
    assert await_that(lambda: not lives(first) and not lives(second), 5)
    assert host.run(["echo", "again"]).output == b"again\n"  # a connection is opened anew


@pytest.mark.integration  # seconds of silence
@pytest.mark.parametrize("silent", ["there", "here"])
def test_connection_that_falls_silent_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: str) -> None:
    """A network that vanishes without a word ends the wait here, and the command there where sshd looks after it."""
    monkeypatch.setattr(openssh_settings, "_ALIVE_SECONDS", 1)
    monkeypatch.setattr(openssh_settings, "_ALIVE_COUNT", 2)
    pid = tmp_path / "pid"
    lines = "ClientAliveInterval 1\nClientAliveCountMax 2"
    with start_sshd(tmp_path / "sshd", extra=lines) as server, open_openssh(ALIAS, config=server.config) as host:
        ours = [each for each in list_descendants(os.getpid()) if _is_master(each, host.login.arguments[1])]

        def fall_silent() -> None:
            assert await_that(lambda: pid.exists() and bool(pid.read_text()))
            for each in ours if silent == "here" else server.list_sessions():
                os.kill(each, signal.SIGSTOP)
            if silent == "here":
                assert await_that(lambda: not lives(int(pid.read_text())))
                for each in ours:
                    os.kill(each, signal.SIGCONT)

        thread = threading.Thread(target=fall_silent)
        thread.start()
        began = time.monotonic()
        with pytest.raises(ConnectionLost):
            host.run(["sh", "-c", f"echo $$ > {pid}; exec sleep 60"])
        assert time.monotonic() - began < 10
        thread.join()


def _is_master(pid: int, config: str) -> bool:
    """Say whether a process is the ssh that holds the shared connection."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return b"ControlMaster=yes" in words and config.encode() in words


@pytest.mark.integration  # the five seconds
def test_lost_command_that_ignores_the_signal_is_killed(server: Sshd, host: OpenSshHost, tmp_path: Path) -> None:
    """A command that does not listen to SIGTERM is killed five seconds later."""
    pid = tmp_path / "pid"

    def lose() -> None:
        assert await_that(pid.exists)
        time.sleep(0.2)
        server.drop_connections()

    threading.Thread(target=lose).start()
    with pytest.raises(HostFailed):
        host.run(["sh", "-c", f"trap '' TERM; echo $$ > {pid}; while :; do sleep 1; done"])
    assert await_that(lambda: not lives(int(pid.read_text())), 9)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_death_of_imagekit_ends_the_command(server: Sshd, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and even SIGKILL of imagekit end the command on the other machine, and leave no ssh here."""
    pid, program = tmp_path / "pid", tmp_path / "program.py"
    program.write_text(
        "from pathlib import Path\nfrom imagekit.host.openssh import open_openssh\n"
        f"with open_openssh({ALIAS!r}, config=Path({os.fspath(server.config)!r})) as host:\n"
        f"    host.run(['sh', '-c', 'echo $$ > {pid}; exec sleep 60'], stdin=b'x')\n"
    )
    root = Path(__file__).parent.parent.parent
    running = start([sys.executable, os.fspath(program)], environment={"PYTHONPATH": os.fspath(root)})
    try:
        assert await_that(lambda: pid.exists() and bool(pid.read_text()), 20)
        child = int(pid.read_text())
        assert lives(child)
        for path in Path("/proc").glob("[0-9]*/cmdline"):  # setpriv has become Python by now
            with contextlib.suppress(OSError):
                if os.fsencode(program) in path.read_bytes():
                    os.kill(int(path.parent.name), number)
        assert await_that(lambda: not lives(child), 5)
    finally:
        end(running)


@pytest.mark.parametrize(
    ("name", "script", "ask"),
    [
        ("wc", "echo 12x", lambda host: host.measure_file("/etc/passwd")),
        ("wc", "echo 99999999999999999999", lambda host: host.measure_file("/etc/passwd")),
        ("wc", "printf '\\377'", lambda host: host.measure_file("/etc/passwd")),
        ("wc", "cat /dev/zero", lambda host: host.measure_file("/etc/passwd")),
        ("sha256sum", "echo none", lambda host: host.digest_file("/etc/passwd")),
        ("sha256sum", "cat /dev/zero", lambda host: host.digest_file("/etc/passwd")),
        ("df", "echo none", lambda host: host.free_bytes("/")),
        ("df", "echo; echo '/dev/x 1 1 99999999999999999999 1% /'", lambda host: host.free_bytes("/")),
        ("mktemp", "echo /etc", lambda host: host.make_directory()),
        ("mktemp", "echo /a/../imagekit/builds/build-x/../..", lambda host: host.make_directory()),
        ("mktemp", "printf '/imagekit/builds/build-x\\n/etc\\n'", lambda host: host.make_directory()),
        ("head", "cat /dev/zero", lambda host: host.read_file("/etc/passwd", limit=99)),
        ("cat", "exec sleep 20", lambda host: host.read_file("/etc/nonesuch", limit=99)),
    ],
)
def test_hostile_answer_is_an_error(
    hostile: Callable[[str, str], OpenSshHost], name: str, script: str, ask: Callable[[OpenSshHost], object]
) -> None:
    """An answer that makes no sense, or never ends, is one sentence within a bound."""
    began = time.monotonic()
    with pytest.raises(HostFailed):
        ask(hostile(name, script))
    assert time.monotonic() - began < 15


def test_failing_program_shows_no_control_characters_of_its_name(host: OpenSshHost) -> None:
    """What is quoted from outside in a sentence is safe for a terminal."""
    with pytest.raises(HostFailed) as caught:
        host.measure_file("/none")
    assert "\x1b" not in caught.value.message
    with pytest.raises(ToolFailed):
        host.run(["sh", "-c", "exit 1"])


def test_argument_with_a_zero_byte_is_refused(host: OpenSshHost) -> None:
    """What no program can be given is refused before anything is sent."""
    with pytest.raises(HostFailed, match="zero byte"):
        host.run(["echo", "a\0b"])
    with pytest.raises(HostFailed, match="no name of an environment variable"):
        host.run(["true"], environment={"A;id": "x"})
