"""Entering another machine by ssh(1), and every way in which that fails."""

import contextlib
import os
import shutil
import socket
import tempfile
import time
from pathlib import Path

import pytest

from imagekit.errors import HostFailed
from imagekit.host import openssh_settings, run
from imagekit.host.openssh import OpenSshHost, open_openssh
from imagekit.host.openssh_failure import ConnectionLost
from imagekit.host.openssh_script import make_command_line
from imagekit.host.ssh_target import SshTarget
from tests.sshd import ALIAS, Sshd, start_sshd


def test_machine_is_entered_by_url_and_by_alias(server: Sshd) -> None:
    """A URL with a key file and a name in ssh's configuration both lead in, and name the machine in sentences."""
    with open_openssh(server.target, config=server.config) as host:
        assert host.name == server.url
        assert host.run(["id", "-un"]).output.decode().strip() == server.user
    with open_openssh(ALIAS, config=server.config) as host:
        assert host.name == ALIAS


def test_machine_behind_a_jump_host_is_entered(server: Sshd, tmp_path: Path) -> None:
    """ProxyJump works, and what is said of the machine is not said of the jump host."""
    with start_sshd(tmp_path / "inner") as inner:
        config = tmp_path / "config"
        config.write_text(
            f"Host inner\n  HostName 127.0.0.1\n  ProxyJump {ALIAS}\n  UserKnownHostsFile {inner.known_hosts}\n"
            + server.config.read_text()
        )
        target = SshTarget.parse(f"ssh://{inner.user}@inner:{inner.port}", identity=inner.identity)
        with open_openssh(target, config=config) as host:
            said = host.run(["sh", "-c", "echo $HOME ${SSH_CONNECTION##* }"]).output.decode().split()
    assert said == [str(inner.home), str(inner.port)]


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
    assert (tmp_path / "known").read_text().startswith(f"[127.0.0.1]:{server.port} ")
    with open_openssh(ALIAS, config=config) as host:
        assert host.run(["echo", "in"]).output == b"in\n"


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
    monkeypatch.setattr(openssh_settings, "_CONNECT_SECONDS", 1)
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


def test_directories_of_killed_runs_are_swept(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour after a run was killed its directory for the socket goes; those of living runs and young ones stay."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", "")
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(short))
    names = {"imagekit-ssh-4194305-a": False, "imagekit-ssh-x": False, f"imagekit-ssh-{os.getpid()}-a": True, "x": True}
    for name in names:
        (short / name).mkdir()
        os.utime(short / name, (time.time() - 4000,) * 2)
    (short / "imagekit-ssh-4194305-young").mkdir()
    try:
        with open_openssh(ALIAS, config=server.config) as host:
            assert Path(host.login.arguments[1]).parent.parent == short
        assert {name: (short / name).exists() for name in names} == names
        assert (short / "imagekit-ssh-4194305-young").exists()
    finally:
        shutil.rmtree(short)


def test_long_runtime_directory_is_passed_over(server: Sshd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a socket's path would be too long for the system, a shorter place is taken."""
    place = tmp_path / ("x" * 90)
    place.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", os.fspath(place))
    with open_openssh(ALIAS, config=server.config) as host:
        assert not host.login.arguments[1].startswith(os.fspath(place))
        host.run(["true"])
