"""SSH against a server of ours: who is let in, what is told, and how long anything may take."""

import socket
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import paramiko
import paramiko.common
import pytest

from imagekit.errors import HostFailed
from imagekit.host import run, ssh
from imagekit.host.ssh import HostKey, SshHost, answers_ssh, make_key
from tests.host.ssh_door import Door, Server


def _wait(event: threading.Event, seconds: float) -> None:
    event.wait(seconds)


def _base64(public: str) -> str:
    return public.split()[1]


@pytest.mark.parametrize("with_openssh", [True, False])
def test_key_is_private_and_openssh_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, with_openssh: bool
) -> None:
    """A made key has mode 0600, is what ssh-keygen derives the same public half from, and is never overwritten."""
    if not with_openssh:
        monkeypatch.setattr(ssh, "find_tool", lambda name, required: "")
    public = make_key(tmp_path / "key", "someone")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    derived = run(["ssh-keygen", "-y", "-f", str(tmp_path / "key")]).output.decode().split()
    assert derived[:2] == public.split()[:2]
    assert public.endswith(" someone")
    assert [path.name for path in tmp_path.iterdir()] == ["key"]
    with pytest.raises(FileExistsError):
        make_key(tmp_path / "key")


def test_fingerprint_is_what_ssh_keygen_says(tmp_path: Path) -> None:
    """The fingerprint can be compared with what OpenSSH shows."""
    kind, blob, _ = make_key(tmp_path / "key").split()
    (tmp_path / "key.pub").write_text(f"{kind} {blob}\n")
    said = run(["ssh-keygen", "-l", "-f", str(tmp_path / "key.pub")]).output.decode()
    assert said.split()[1] == HostKey(kind, blob).fingerprint


def test_known_host_line_is_found_by_openssh(tmp_path: Path) -> None:
    """The line for a port is the one ssh would look for."""
    kind, blob, _ = make_key(tmp_path / "key").split()
    (tmp_path / "known_hosts").write_text(HostKey(kind, blob).format_known_host("127.0.0.1", 22022))
    said = run(["ssh-keygen", "-F", "[127.0.0.1]:22022", "-f", str(tmp_path / "known_hosts")])
    assert blob in said.output.decode()


def test_right_key_enters_and_wrong_key_does_not(tmp_path: Path, serve: Callable[[Door], Server]) -> None:
    """On one connection: methods asked, a foreign key refused, the right key let in, a script run."""

    def answer(channel: paramiko.Channel, command: str) -> None:
        channel.sendall(command.encode())
        channel.sendall_stderr(b"warned\n")
        channel.send_exit_status(3)

    right = make_key(tmp_path / "right")
    make_key(tmp_path / "wrong")
    server = serve(Door(accepted=_base64(right), behave=answer))
    with SshHost.connect("127.0.0.1", server.port, timeout=10) as host:
        assert host.host_key == server.host_key
        assert host.offered_methods("someone") == ("publickey",)
        assert not host.accepts_key("someone", tmp_path / "wrong")
        assert not host.accepts_password("someone", "guess")
        host.log_in("someone", tmp_path / "right")
        said = host.run("echo 'it''s'", limit=1000, timeout=10)
    assert said.status == 3
    assert said.output.decode() == "exec /bin/sh -c 'echo '\"'\"'it'\"'\"''\"'\"'s'\"'\"''"
    assert said.errors == "warned\n"


def test_refused_login_is_a_sentence(tmp_path: Path, serve: Callable[[Door], Server]) -> None:
    """A key that nobody accepts ends in an error that names host and user."""
    make_key(tmp_path / "key")
    server = serve(Door())
    with (
        SshHost.connect("127.0.0.1", server.port, timeout=10) as host,
        pytest.raises(HostFailed, match=f"127.0.0.1:{server.port} refused the key for user someone"),
    ):
        host.log_in("someone", tmp_path / "key")


def test_password_that_works_is_noticed(serve: Callable[[Door], Server]) -> None:
    """An open password door is seen both in what is offered and by walking through it."""
    server = serve(Door(password="secret"))
    with SshHost.connect("127.0.0.1", server.port, timeout=10) as host:
        assert host.offered_methods("someone") == ("password", "publickey")
        assert not host.accepts_password("someone", "wrong")
        assert host.accepts_password("someone", "secret")


def test_server_that_asks_for_nothing_is_noticed(serve: Callable[[Door], Server]) -> None:
    """A server that lets anybody in without any method says so."""
    server = serve(Door(open_door=True))
    with SshHost.connect("127.0.0.1", server.port, timeout=10) as host:
        assert host.offered_methods("someone") == ("none",)


def test_other_host_key_than_expected_is_refused(tmp_path: Path, serve: Callable[[Door], Server]) -> None:
    """A recorded host key is pinned; the same one passes."""
    server = serve(Door())
    SshHost.connect("127.0.0.1", server.port, timeout=10, expected=server.host_key).close()
    kind, blob, _ = make_key(tmp_path / "other").split()
    with pytest.raises(HostFailed, match="another host key"):
        SshHost.connect("127.0.0.1", server.port, timeout=10, expected=HostKey(kind, blob))


def test_endless_output_is_cut(tmp_path: Path, serve: Callable[[Door], Server]) -> None:
    """A machine that floods is stopped at the limit."""

    def flood(channel: paramiko.Channel, command: str) -> None:
        while True:
            channel.sendall(b"x" * 32768)

    server = serve(Door(accepted=_base64(make_key(tmp_path / "key")), behave=flood))
    with SshHost.connect("127.0.0.1", server.port, timeout=10) as host:
        host.log_in("someone", tmp_path / "key")
        with pytest.raises(HostFailed, match="more than 100000 bytes"):
            host.run("yes", limit=100000, timeout=10)


def test_script_that_hangs_is_given_up(tmp_path: Path, serve: Callable[[Door], Server]) -> None:
    """The deadline holds for a command that says nothing."""
    gone = threading.Event()
    server = serve(Door(accepted=_base64(make_key(tmp_path / "key")), behave=lambda channel, command: _wait(gone, 5)))
    with SshHost.connect("127.0.0.1", server.port, timeout=10) as host:
        host.log_in("someone", tmp_path / "key")
        begun = time.monotonic()
        with pytest.raises(HostFailed, match=r"within 0\.3 s"):
            host.run("sleep 99", limit=10, timeout=0.3)
        assert time.monotonic() - begun < 3
    gone.set()


def test_server_that_never_answers_a_request_is_given_up(
    tmp_path: Path, serve: Callable[[Door], Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that takes the request to run a script and stays silent does not hold us for ever."""
    server = serve(Door(accepted=_base64(make_key(tmp_path / "key"))))
    monkeypatch.setattr(Door, "check_channel_exec_request", lambda door, channel, command: threading.Event().wait(4))
    with SshHost.connect("127.0.0.1", server.port, timeout=10) as host:
        host.log_in("someone", tmp_path / "key")
        begun = time.monotonic()
        with pytest.raises(HostFailed, match="failed while running a script"):
            host.run("true", limit=10, timeout=0.2)
        assert time.monotonic() - begun < 3


def test_open_port_is_not_an_ssh_server(serve: Callable[[Door], Server]) -> None:
    """Only a greeting counts: not an open port that says nothing, nor one that says something else."""
    server = serve(Door())
    assert answers_ssh("127.0.0.1", server.port, 5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert not answers_ssh("127.0.0.1", port, 0.2)
        with pytest.raises(HostFailed, match=f"SSH to 127.0.0.1:{port} failed while connecting"):
            SshHost.connect("127.0.0.1", port, timeout=0.3)
    assert not answers_ssh("127.0.0.1", port, 0.2)
