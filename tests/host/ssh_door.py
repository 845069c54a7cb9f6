"""An SSH server of ours, in this process: one key and perhaps one password, and what a command does is the test's."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
import paramiko.common
import pytest

from imagekit.host.ssh import HostKey, make_key

Behaviour = Callable[[paramiko.Channel, str], None]


@dataclass
class Door(paramiko.ServerInterface):
    """An SSH server's rules: one key and perhaps one password for anybody, and what a command does."""

    accepted: str = ""
    password: str = ""
    open_door: bool = False
    behave: Behaviour = field(default=lambda channel, command: channel.send_exit_status(0))

    def get_allowed_auths(self, username: str) -> str:
        """Offer passwords only where there is one."""
        return "publickey,password" if self.password else "publickey"

    def check_auth_none(self, username: str) -> int:
        """Let everybody in where the door is open."""
        return paramiko.common.AUTH_SUCCESSFUL if self.open_door else paramiko.common.AUTH_FAILED

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Compare with the one accepted key."""
        return paramiko.common.AUTH_SUCCESSFUL if key.get_base64() == self.accepted else paramiko.common.AUTH_FAILED

    def check_auth_password(self, username: str, password: str) -> int:
        """Compare with the one password."""
        good = self.password and password == self.password
        return paramiko.common.AUTH_SUCCESSFUL if good else paramiko.common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """Open sessions."""
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        """Behave as the test asks, in a thread of its own, once the request was answered."""

        def work() -> None:
            time.sleep(0.05)
            gone = (OSError, EOFError, paramiko.SSHException)  # the client may hang up at any moment
            with contextlib.suppress(*gone):
                self.behave(channel, command.decode())
            with contextlib.suppress(*gone):
                channel.close()

        threading.Thread(target=work, daemon=True).start()
        return True


@dataclass
class Server:
    """A listening server and its host key."""

    port: int
    host_key: HostKey


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Door], Server]]:
    """Start a server with the rules of a door; every connection gets the same rules."""
    listeners: list[socket.socket] = []
    transports: list[paramiko.Transport] = []

    def begin(door: Door) -> Server:
        path = tmp_path / f"host_key{len(listeners)}"
        make_key(path)
        key = paramiko.Ed25519Key.from_private_key_file(str(path))
        listener = socket.create_server(("127.0.0.1", 0))

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                transport = paramiko.Transport(connection)
                transport.add_server_key(key)
                transports.append(transport)
                try:
                    transport.start_server(server=door)
                except (paramiko.SSHException, EOFError, OSError):
                    transport.close()

        threading.Thread(target=accept, daemon=True).start()
        listeners.append(listener)
        return Server(listener.getsockname()[1], HostKey(key.get_name(), key.get_base64()))

    yield begin
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
    for transport in transports:
        transport.close()
        transport.join(5)
