"""The control sockets, against servers of ours that behave well and badly."""

import base64
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagekit.errors import HostFailed
from imagekit.machine.monitor import ping_agent, run_through_agent, send_command
from imagekit.machine.runtime import make_machine_dir

Talk = Callable[[socket.socket], None]


@pytest.fixture
def serve() -> Iterator[Callable[[Talk], Path]]:
    """Start a server with the given behaviour on a fresh unix socket and return its path."""
    directory = make_machine_dir("test monitor")
    servers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def begin(talk: Talk) -> Path:
        path = directory / f"{len(servers)}.sock"
        path.unlink(missing_ok=True)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(str(path))
        server.listen()

        def work() -> None:
            try:
                connection, _ = server.accept()
                with connection:
                    connection.settimeout(5)
                    talk(connection)
            except OSError:
                pass

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        servers.append(server)
        threads.append(thread)
        return path

    yield begin
    for thread in threads:
        thread.join(6)
    for server in servers:
        server.close()
    for leftover in directory.iterdir():
        leftover.unlink()
    directory.rmdir()


def _receive(connection: socket.socket) -> dict[str, object]:
    line = b""
    while not line.endswith(b"\n"):
        part = connection.recv(1)
        if not part:
            raise OSError("closed")
        line += part
    message = json.loads(line.lstrip(b"\xff"))
    assert isinstance(message, dict)
    return message


def _send(connection: socket.socket, message: object, before: bytes = b"") -> None:
    connection.sendall(before + json.dumps(message).encode() + b"\r\n")


def _agent(*answers: object, noise: bytes = b"") -> Talk:
    def talk(connection: socket.socket) -> None:
        arguments = _receive(connection)["arguments"]
        assert isinstance(arguments, dict)
        _send(connection, {"return": arguments["id"]}, before=noise + b"\xff")
        for answer in answers:
            _receive(connection)
            _send(connection, answer)

    return talk


def _hang(connection: socket.socket) -> None:
    connection.recv(9999)
    time.sleep(0.6)


def test_command_passes_greeting_and_events(serve: Callable[[Talk], Path]) -> None:
    """The greeting, the handshake and events in between are not mistaken for the answer."""

    def talk(connection: socket.socket) -> None:
        _send(connection, {"QMP": {}})
        _receive(connection)
        _send(connection, {"return": {}})
        assert _receive(connection) == {"execute": "query-uuid"}
        _send(connection, {"event": "RESUME"})
        _send(connection, {"return": {"UUID": "1"}})

    assert send_command(serve(talk), "query-uuid") == {"UUID": "1"}


def test_refused_command_is_a_sentence(serve: Callable[[Talk], Path]) -> None:
    """An error from QEMU is told in its own words."""

    def talk(connection: socket.socket) -> None:
        _send(connection, {"QMP": {}})
        _receive(connection)
        _send(connection, {"error": {"class": "CommandNotFound", "desc": "no such thing"}})

    with pytest.raises(HostFailed, match="no such thing"):
        send_command(serve(talk), "nothing")


def test_agent_answers_after_noise(serve: Callable[[Talk], Path]) -> None:
    """Half a message left from an earlier talk is thrown away by the sync, then the ping is answered."""
    assert ping_agent(serve(_agent({"return": {}}, noise=b'{"return": 77}\n{"half')), timeout=3)


def test_agent_that_is_silent_or_gone_does_not_answer(serve: Callable[[Talk], Path], tmp_path: Path) -> None:
    """No agent, one that hangs, and no machine at all are all a plain no within the time given."""
    assert not ping_agent(serve(lambda connection: None), timeout=1)
    assert not ping_agent(serve(_hang), timeout=0.3)
    assert not ping_agent(tmp_path / "none.sock", timeout=0.3)


def test_script_runs_through_the_agent(serve: Callable[[Talk], Path]) -> None:
    """Output comes back decoded, with the exit status."""
    output = base64.b64encode(b"hello").decode()
    talk = _agent({"return": {"pid": 5}}, {"return": {"exited": True, "exitcode": 3, "out-data": output}})
    said = run_through_agent(serve(talk), "true", limit=100, timeout=3)
    assert (said.output, said.status) == (b"hello", 3)


def test_agent_that_forbids_scripts_is_a_sentence(serve: Callable[[Talk], Path]) -> None:
    """Red Hat's default policy blocks guest-exec; that is an answer."""
    talk = _agent({"error": {"desc": "Command guest-exec has been disabled"}})
    with pytest.raises(HostFailed, match="disabled"):
        run_through_agent(serve(talk), "true", limit=100, timeout=3)


def test_flood_is_stopped(serve: Callable[[Talk], Path]) -> None:
    """A guest that sends one endless line is cut off at a bound, not at the end of memory."""

    def talk(connection: socket.socket) -> None:
        for _ in range(1000):
            connection.sendall(b"x" * 65536)

    with pytest.raises(HostFailed, match="longer than"):
        run_through_agent(serve(talk), "true", limit=100, timeout=5)


def test_too_much_output_is_refused(serve: Callable[[Talk], Path]) -> None:
    """The limit of the caller holds for what a script prints."""
    output = base64.b64encode(b"x" * 200).decode()
    talk = _agent({"return": {"pid": 5}}, {"return": {"exited": True, "exitcode": 0, "out-data": output}})
    with pytest.raises(HostFailed, match="more than 100"):
        run_through_agent(serve(talk), "true", limit=100, timeout=3)
