"""Talking with a program over SSH: what comes before its answers, and every way in which it can misbehave."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from imagekit.errors import HostFailed
from imagekit.host.ssh import SshHost, make_key
from imagekit.host.ssh_process import RemoteProcess
from tests.host.ssh_door import Behaviour, Door, Server

Serve = Callable[[Door], Server]
Talk = Callable[[Behaviour], RemoteProcess]


@pytest.fixture
def talk(tmp_path: Path, serve: Serve) -> Iterator[Talk]:
    """Start a program that behaves as the test says."""
    public = make_key(tmp_path / "key").split()[1]
    open_hosts: list[SshHost] = []

    def begin(behave: Behaviour) -> RemoteProcess:
        server = serve(Door(accepted=public, behave=behave))
        host = SshHost.connect("127.0.0.1", server.port, timeout=10)
        open_hosts.append(host)
        host.log_in("someone", tmp_path / "key")
        return RemoteProcess.start(host, "true", timeout=10)

    yield begin
    for host in open_hosts:
        host.close()


def test_answers_come_one_by_one(talk: Talk) -> None:
    """Requests are echoed in frames; a banner before the first and noise on the error stream disturb nobody."""

    def echo(channel: paramiko.Channel, command: str) -> None:
        channel.sendall(b"Welcome!\nnot at the start of a line: mark 3 no\n")
        channel.sendall_stderr(b"noise\n" * 1000)
        for _ in range(2):
            data = channel.recv(100)
            channel.sendall(b"\nmark %d said %d\n%s" % (len(data), len(data), data))

    with talk(echo) as process:
        for word in (b"one\nmark 4 fake\n", b"\x00\xff"):
            process.send(word, timeout=5)
            assert process.receive("mark", limit=100, timeout=5) == (f"said {len(word)}", word)


def _flood(channel: paramiko.Channel, command: str) -> None:
    while True:
        channel.sendall(b"x" * 32768)


def _flood_errors(channel: paramiko.Channel, command: str) -> None:
    while True:
        channel.sendall_stderr(b"x" * 32768)


@pytest.mark.parametrize(
    ("behave", "said"),
    [
        (_flood, "talks without answering"),
        (_flood_errors, "did not answer in time"),
        (lambda channel, command: time.sleep(2), "did not answer in time"),
        (lambda channel, command: None, "ended before it answered"),
        (
            lambda channel, command: channel.sendall_stderr(b"sh: not\x1b[31m found\n"),
            r"answered: sh: not\?\[31m found",
        ),
        (lambda channel, command: channel.sendall(b"mark 101 large\n"), "announced an answer of '101' bytes"),
        (lambda channel, command: channel.sendall(b"mark -1 odd\n"), "announced an answer of '-1' bytes"),
        (lambda channel, command: channel.sendall(b"mark " + b"9" * 10_000), "a line that makes no sense"),
        (lambda channel, command: channel.sendall(b"mark \xff\xfe\n"), "announced an answer"),
        (lambda channel, command: channel.sendall(b"mark 90 cut\nabc"), "ended before it answered"),
    ],
)
def test_misbehaviour_is_a_sentence(talk: Talk, behave: Behaviour, said: str) -> None:
    """Floods, silence, lies about lengths and a sudden end all end soon, in an error that names the host."""
    begun = time.monotonic()
    with talk(behave) as process, pytest.raises(HostFailed, match=said) as problem:
        process.receive("mark", limit=100, timeout=1)
    assert "127.0.0.1" in problem.value.message
    assert time.monotonic() - begun < 10
