"""A real OpenSSH server on loopback with an ordinary shell, and an ssh_config(5) file that leads to it."""

import contextlib
import getpass
import os
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imagekit.host.local import end, run, start
from imagekit.host.ssh_target import SshTarget
from imagekit.host.tools import find_tool

ALIAS = "builder"


@dataclass(frozen=True, slots=True)
class Sshd:
    """A running server. ``config`` names it :data:`ALIAS`; everything lies in ``directory``, the home there too."""

    port: int
    user: str
    directory: Path
    config: Path
    identity: Path
    known_hosts: Path
    home: Path
    host_key: str  # SHA256:…
    process: Any = field(repr=False)  # sh waits for the end before it shows a running command

    @property
    def url(self) -> str:
        """The server as ``ssh://user@host:port``."""
        return f"ssh://{self.user}@127.0.0.1:{self.port}"

    @property
    def target(self) -> SshTarget:
        """The server for :func:`imagekit.host.openssh.open_openssh`; it needs :attr:`config` or another known_hosts."""
        return SshTarget.parse(self.url, identity=self.identity)

    def drop_connections(self) -> int:
        """Kill the server's part of each connection, as a reset network does; how many processes that were."""
        sessions = self.list_sessions()
        for pid in sessions:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return len(sessions)

    def list_sessions(self) -> list[int]:
        """Return the server's own processes, one or two for each connection; not what they run."""
        found = []
        for pid in list_descendants(self.process.pid):
            with contextlib.suppress(OSError):
                if (Path("/proc") / str(pid) / "comm").read_text().startswith("sshd"):
                    found.append(pid)
        return found

    def stop(self) -> None:
        """End the server and what its sessions left; safe to call twice."""
        left = list_descendants(self.process.pid)
        end(self.process)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def start_sshd(directory: Path, *, environment: Mapping[str, str] | None = None, extra: str = "") -> Iterator[Sshd]:
    """Run a server on a free port of 127.0.0.1 until the block is left.

    The login is the user of the tests; HOME there is ``directory/home``. ``environment`` is what a login finds beside
    that, ``extra`` more lines of sshd_config(5). Its host key is in a known_hosts file of its own.
    """
    directory.mkdir(parents=True, exist_ok=True)
    home = directory / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    for name in ("host_key", "user_key"):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", os.fspath(directory / name)])
    (directory / "authorized_keys").write_text((directory / "user_key.pub").read_text())
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd(8): the privilege separation directory
    variables = {"HOME": os.fspath(home), "XDG_CACHE_HOME": os.fspath(home / ".cache"), **(environment or {})}
    settings = directory / "sshd_config"
    settings.write_text(
        f"HostKey {directory}/host_key\nAuthorizedKeysFile {directory}/authorized_keys\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nMaxStartups 100\n"
        "PermitRootLogin prohibit-password\nAllowAgentForwarding no\n"
        f"SetEnv {' '.join(f'{name}={value}' for name, value in variables.items())}\n{extra}\n"
    )
    # From OpenSSH 9.8 on a source whose logins fail or break off is shut out for a while; tests do both on purpose.
    penalties = [find_tool("sshd"), "-t", "-f", os.fspath(settings), "-o", "PerSourcePenalties=no"]
    if run(penalties, check=False).status == 0:
        settings.write_text(f"PerSourcePenalties no\n{settings.read_text()}")
    port, process = _listen(settings, directory / "sshd.log")
    user = getpass.getuser()
    known_hosts = directory / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {(directory / 'host_key.pub').read_text()}")
    config = directory / "ssh_config"
    config.write_text(
        f"Host {ALIAS}\n  HostName 127.0.0.1\n  Port {port}\n  User {user}\nHost *\n"
        f"  IdentityFile {directory}/user_key\n  IdentitiesOnly yes\n  UserKnownHostsFile {known_hosts}\n"
        "  GlobalKnownHostsFile /dev/null\n  StrictHostKeyChecking yes\n"
    )
    shown = run(["ssh-keygen", "-l", "-f", os.fspath(directory / "host_key.pub")]).output.decode().split()[1]
    server = Sshd(port, user, directory, config, directory / "user_key", known_hosts, home, shown, process)
    try:
        yield server
    finally:
        server.stop()


def list_descendants(pid: int) -> list[int]:
    """Return the processes below ``pid``, its children first (proc_pid_stat(5): the fourth field is the parent)."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def _listen(settings: Path, log: Path) -> tuple[int, Any]:
    """Start the server; a port that somebody takes in between is given up for another one."""
    for _ in range(5):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        address = ["-o", "ListenAddress=127.0.0.1", "-p", str(port)]
        process = start([find_tool("sshd"), "-D", "-f", os.fspath(settings), "-E", os.fspath(log), *address])
        deadline = time.monotonic() + 10
        while process.is_alive() and time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return port, process
            time.sleep(0.02)
        end(process)
    raise AssertionError(f"sshd does not start: {log.read_text() if log.exists() else ''}")
