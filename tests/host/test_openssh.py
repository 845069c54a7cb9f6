"""Another machine through ssh(1): how it is entered, what happens when it is lost, and what a hostile one can do."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagekit.errors import HostFailed, ToolFailed
from imagekit.host import openssh_login, openssh_transfer, run, start
from imagekit.host.local import end
from imagekit.host.openssh import OpenSshHost, open_openssh
from imagekit.host.openssh_failure import ConnectionLost
from imagekit.host.openssh_script import make_command_line
from imagekit.host.ssh_target import SshTarget
from tests.sshd import ALIAS, Sshd, start_sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests of this file."""
    with start_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def host(server: Sshd) -> Iterator[OpenSshHost]:
    """The server as a host."""
    with open_openssh(ALIAS, config=server.config) as opened:
        yield opened


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Callable[[str, str], OpenSshHost]]:
    """A machine where a program of a given name is another one: call it with the name and a shell script."""
    programs = tmp_path / "programs"
    programs.mkdir()
    with contextlib.ExitStack() as stack:

        def enter(name: str, script: str) -> OpenSshHost:
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
            path = {"PATH": f"{programs}:/usr/bin:/bin"}
            running = stack.enter_context(start_sshd(tmp_path / "sshd", environment=path))
            return stack.enter_context(open_openssh(ALIAS, config=running.config))

        yield enter


def _await(said: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while not said() and time.monotonic() < deadline:
        time.sleep(0.05)
    return said()


def _lives(pid: int) -> bool:
    """Say whether a process runs and is no zombie (proc_pid_stat(5): the state follows the name)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# entering


def test_machine_is_entered_by_url_and_by_alias(server: Sshd) -> None:
    """A URL with a key file and a name in ssh's configuration both lead in, and name the machine in sentences."""
    with open_openssh(server.target, config=server.config) as host:
        assert host.name == server.url
        assert host.run(["id", "-un"]).output.decode().strip() == server.user
    with open_openssh(ALIAS, config=server.config) as host:
        assert host.name == ALIAS


def test_nix_gets_the_same_way_in(server: Sshd) -> None:
    """The arguments for Nix's own ssh have no spaces, which NIX_SSHOPTS could not hold, and lead in."""
    with open_openssh(server.target, config=server.config) as host:
        arguments = host.login.arguments
        assert all(not any(each.isspace() for each in argument) for argument in arguments)
        assert run(["ssh", *arguments, host.login.destination, "echo in"]).output == b"in\n"


def test_unknown_host_key_is_refused_with_the_way_to_accept_it(server: Sshd, tmp_path: Path) -> None:
    """A host key nobody has seen is never accepted, and the hint is the login by hand that shows it."""
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace(str(server.known_hosts), str(tmp_path / "none")))
    with pytest.raises(HostFailed, match="host key is not known yet") as caught, open_openssh(ALIAS, config=config):
        pass
    assert caught.value.hint is not None
    assert f"ssh -F {config} {ALIAS}" in caught.value.hint
    assert not isinstance(caught.value, ConnectionLost)


def test_changed_host_key_is_told_apart(server: Sshd, tmp_path: Path) -> None:
    """A machine with another key than the recorded one is told as that, with the command that forgets the old one."""
    other = tmp_path / "other"
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.fspath(other)])
    (tmp_path / "known").write_text(f"[127.0.0.1]:{server.port} {other.with_suffix('.pub').read_text()}")
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace(str(server.known_hosts), str(tmp_path / "known")))
    with pytest.raises(HostFailed, match="another host key") as caught, open_openssh(server.target, config=config):
        pass
    assert f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in (caught.value.hint or "")


def test_new_host_key_is_recorded_when_asked(server: Sshd, tmp_path: Path) -> None:
    """With accept_new a new key is recorded, and then it is known."""
    config = tmp_path / "config"
    text = server.config.read_text().replace(str(server.known_hosts), str(tmp_path / "known"))
    config.write_text(text)
    target = SshTarget.parse(server.url, identity=server.identity, accept_new=True)
    with open_openssh(target, config=config) as host:
        host.run(["true"])
    with open_openssh(ALIAS, config=config) as host:
        host.run(["true"])


def test_pinned_fingerprint_decides_alone(server: Sshd, tmp_path: Path) -> None:
    """The pinned fingerprint lets in without known_hosts, and another one keeps out in spite of known_hosts."""
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace(str(server.known_hosts), str(tmp_path / "none")))
    pinned = SshTarget.parse(server.url, identity=server.identity, host_key=server.host_key)
    with open_openssh(pinned, config=config) as host:
        host.run(["true"])
    assert not (tmp_path / "none").exists()
    wrong = SshTarget.parse(server.url, identity=server.identity, host_key=f"SHA256:{'A' * 43}")
    with pytest.raises(HostFailed, match="host key"), open_openssh(wrong, config=server.config):
        pass


def test_refused_key_is_told(server: Sshd, tmp_path: Path) -> None:
    """A key the machine does not want is told with what it takes, and no password is asked for."""
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.fspath(tmp_path / "key")])
    config = tmp_path / "config"
    config.write_text(server.config.read_text().replace(str(server.identity), str(tmp_path / "key")))
    with pytest.raises(HostFailed, match=r"refused every key \(it takes publickey\)"), open_openssh(
        ALIAS, config=config
    ):  # fmt: skip
        pass


def test_name_that_does_not_resolve_is_told(server: Sshd) -> None:
    """A misspelt name is told as such."""
    target = SshTarget.parse("ssh://nobody@nowhere.invalid")
    with pytest.raises(HostFailed, match=r"nowhere\.invalid does not resolve"), open_openssh(
        target, config=server.config
    ):  # fmt: skip
        pass


def test_closed_port_is_told(server: Sshd) -> None:
    """A machine without an SSH server is told as such."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(HostFailed, match="no SSH server answers"), open_openssh(
        SshTarget.parse(f"ssh://127.0.0.1:{port}"), config=server.config
    ):  # fmt: skip
        pass


def test_silent_machine_is_told_in_time(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that accepts and says nothing does not hold us for ever."""
    monkeypatch.setattr(openssh_login, "CONNECT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = SshTarget.parse(f"ssh://127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(HostFailed, match="did not answer in time"), open_openssh(target, config=server.config):
            pass
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("what", ["config", "identity"])
def test_missing_file_is_told_before_anything(server: Sshd, tmp_path: Path, what: str) -> None:
    """A configuration or a key file that is not there is named, instead of whatever ssh would make of it."""
    missing = tmp_path / "missing"
    target = SshTarget.parse(server.url, identity=missing if what == "identity" else None)
    with pytest.raises(HostFailed, match=f"{missing}.* is not there"), open_openssh(
        target, config=missing if what == "config" else server.config
    ):  # fmt: skip
        pass


@pytest.mark.parametrize("alias", ["-oProxyCommand=touch /tmp/x", "", "a b", "a\nb"])
def test_strange_name_never_reaches_ssh(server: Sshd, alias: str) -> None:
    """A name that ssh could take for an option is refused."""
    with pytest.raises(HostFailed, match="cannot be the name"), open_openssh(alias, config=server.config):
        pass


def test_account_without_a_shell_is_told(tmp_path: Path) -> None:
    """An account that runs something else is told with what it said, made safe for a terminal."""
    with start_sshd(tmp_path, extra="ForceCommand printf 'no \\033[31mshell here\\n'; exit 1") as server, pytest.raises(
        HostFailed, match=r"gives no shell: no \?\[31mshell here"
    ), open_openssh(ALIAS, config=server.config):  # fmt: skip
        pass


def test_what_a_login_prints_is_not_the_answer(server: Sshd, host: OpenSshHost, tmp_path: Path) -> None:
    """A login that greets, on both streams, corrupts neither an output nor a file."""
    (server.home / ".bashrc").write_text("echo Welcome; echo Moin >&2; printf 'no end'\n")
    (tmp_path / "file").write_bytes(b"data")
    try:
        assert host.run(["echo", "out"]).output == b"out\n"
        assert host.read_file(str(tmp_path / "file"), limit=4) == b"data"
        assert host.fetch_file(str(tmp_path / "file"), tmp_path / "here", size=4).read_bytes() == b"data"
    finally:
        (server.home / ".bashrc").unlink()


def test_line_for_the_login_shell_means_the_same_to_every_shell() -> None:
    """The one line a login's shell reads has no character that fish or csh reads differently inside single quotes."""
    assert not set(make_command_line(12345)) & set("\\!\n^~")
    assert make_command_line(1).count("'") == 2


def test_secrets_are_on_no_command_line(host: OpenSshHost) -> None:
    """A variable's value and an input are seen in no list of processes, neither here nor there."""
    seen: list[bytes] = []

    def look(line: str) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                seen.append(path.read_bytes())

    host.run(["sh", "-c", "echo >&2; sleep 1"], environment={"TOKEN": "canary-7"}, stdin=b"canary-8", on_line=look)
    assert any(b"dd bs=1" in each for each in seen)
    assert not any(b"canary" in each for each in seen)


def test_nothing_is_left_running_or_lying(server: Sshd) -> None:
    """After the end there is no ssh and no directory of ours."""
    with open_openssh(ALIAS, config=server.config) as host:
        directory = Path(host.login.arguments[1]).parent
        host.run(["true"])
        assert directory.stat().st_mode & 0o777 == 0o700
    assert not directory.exists()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            assert os.fsencode(directory) not in path.read_bytes()


# losing


@pytest.mark.parametrize("how", ["network", "our ssh"])
def test_lost_connection_ends_the_command(server: Sshd, host: OpenSshHost, tmp_path: Path, how: str) -> None:
    """When the connection ends in the middle, it is told as that, and what ran there ends within seconds."""
    pids = tmp_path / "pids"

    def lose() -> None:
        assert _await(lambda: pids.exists() and len(pids.read_text().split()) == 2)
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
    assert _await(lambda: not _lives(first) and not _lives(second), 5)
    assert host.run(["echo", "again"]).output == b"again\n"  # a connection is opened anew


def test_lost_command_that_ignores_the_signal_is_killed(server: Sshd, host: OpenSshHost, tmp_path: Path) -> None:
    """A command that does not listen to SIGTERM is killed five seconds later."""
    pid = tmp_path / "pid"
    threading.Thread(target=lambda: (_await(pid.exists) and time.sleep(0.2)) or server.drop_connections()).start()
    with pytest.raises(HostFailed):
        host.run(["sh", "-c", f"trap '' TERM; echo $$ > {pid}; while :; do sleep 1; done"])
    assert _await(lambda: not _lives(int(pid.read_text())), 9)


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
        assert _await(lambda: pid.exists() and bool(pid.read_text()), 20)
        child = int(pid.read_text())
        assert _lives(child)
        for path in Path("/proc").glob("[0-9]*/cmdline"):  # setpriv has become Python by now
            with contextlib.suppress(OSError):
                if os.fsencode(program) in path.read_bytes():
                    os.kill(int(path.parent.name), number)
        assert _await(lambda: not _lives(child), 5)
    finally:
        end(running)


def test_lost_fetch_is_continued(
    server: Sshd, host: OpenSshHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file whose connection is lost twice on the way arrives whole, and not one byte twice."""
    monkeypatch.setattr(openssh_transfer, "_PAUSES", (0.1,))
    file = tmp_path / "image"
    data = os.urandom(1 << 20) * 40
    file.write_bytes(data)
    heard: list[int] = []
    drops = [5 << 20, 20 << 20]

    def hear(done: int) -> None:
        heard.append(done)
        if drops and done > drops[0]:
            drops.pop(0)
            server.drop_connections()

    found = host.fetch_file(str(file), tmp_path / "here", size=len(data), on_bytes=hear)
    assert drops == []
    assert found.read_bytes() == data
    assert heard == sorted(set(heard))


def test_fetch_gives_up_when_the_machine_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the last pause without progress the loss is told, and what came stays for the next run."""
    monkeypatch.setattr(openssh_transfer, "_PAUSES", (0.1, 0.1))
    file = tmp_path / "image"
    file.write_bytes(os.urandom(20 << 20))
    with start_sshd(tmp_path / "sshd") as server, open_openssh(ALIAS, config=server.config) as host:
        gone: list[int] = []

        def hear(done: int) -> None:
            if not gone:
                gone.append(done)
                server.stop()

        with pytest.raises(ConnectionLost, match="no SSH server answers"):
            host.fetch_file(str(file), tmp_path / "here", size=20 << 20, on_bytes=hear)
    kept = (tmp_path / "here").read_bytes()
    assert kept
    assert file.read_bytes().startswith(kept)


def test_fetch_starts_from_what_is_here(host: OpenSshHost, tmp_path: Path) -> None:
    """A part is continued by its length, a whole file is not asked for again, a longer one is started anew."""
    file, here = tmp_path / "image", tmp_path / "here"
    file.write_bytes(b"0123456789")
    for part, result in ((b"", b"0123456789"), (b"abc", b"abc3456789"), (b"abcdefghij", b"abcdefghij"),
                         (b"abcdefghijk", b"0123456789")):  # fmt: skip
        here.write_bytes(part)
        heard: list[int] = []
        assert host.fetch_file(str(file), here, size=10, on_bytes=heard.append).read_bytes() == result
        assert heard[-1] == 10


def test_fetch_to_a_full_disk_is_told(host: OpenSshHost, tmp_path: Path) -> None:
    """A destination that cannot be written is told with its name."""
    (tmp_path / "image").write_bytes(b"x" * 10)
    with pytest.raises(HostFailed, match="/dev/full cannot be written: No space left"):
        host.fetch_file(str(tmp_path / "image"), Path("/dev/full"), size=10)


def test_lost_put_is_told(server: Sshd, host: OpenSshHost, tmp_path: Path) -> None:
    """A tree that does not arrive whole is an error."""
    source = tmp_path / "source"
    source.mkdir()
    with (source / "large").open("wb") as file:
        file.truncate(1 << 30)
    there = host.make_directory()
    threading.Thread(
        target=lambda: _await((Path(there) / "large").exists) and server.drop_connections()
    ).start()  # fmt: skip
    with pytest.raises(ConnectionLost):
        host.put_tree(source, there)
    host.remove_directory(there)


# hostile answers


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
        ("cat", "exec env cat", lambda host: host.read_file("/etc/nonesuch", limit=99)),
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


def test_fetch_never_writes_more_than_was_promised(hostile: Callable[[str, str], OpenSshHost], tmp_path: Path) -> None:
    """A machine that sends more than the size it told is cut off there."""
    (tmp_path / "image").write_bytes(b"x" * 1000)
    host = hostile("tail", "exec cat /dev/zero")
    with pytest.raises(HostFailed, match="sent more"):
        host.fetch_file(str(tmp_path / "image"), tmp_path / "here", size=1000)
    assert (tmp_path / "here").stat().st_size <= 1000


def test_fetch_of_a_file_that_ends_early_is_told(hostile: Callable[[str, str], OpenSshHost], tmp_path: Path) -> None:
    """A file that is cut while it is sent is an error, with what the other side said."""
    (tmp_path / "image").write_bytes(b"x" * 1000)
    host = hostile("tail", "printf abc; echo 'disk broken' >&2; exit 1")
    with pytest.raises(HostFailed, match="ended after 3 of 1000 bytes") as caught:
        host.fetch_file(str(tmp_path / "image"), tmp_path / "here", size=1000)
    assert caught.value.hint == "disk broken"


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
