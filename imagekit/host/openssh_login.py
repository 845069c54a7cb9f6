"""Entering another machine by ssh(1): its configuration for one run, and the connection that all commands share.

ssh rather than a library, because Nix and Vagrant speak through it as well: what ``~/.ssh/config`` says of the host, a
jump host or a key on a token, counts for all three.
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
import threading
import time
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.host.local import Tail
from imagekit.host.openssh_failure import ConnectionLost, explain_failure, read_last_line
from imagekit.host.openssh_process import SshProcess
from imagekit.host.openssh_settings import format_address, format_login, format_settings
from imagekit.host.ssh_target import SshTarget
from imagekit.host.tools import find_tool

_LOGIN_SECONDS = 75.0  # a slow machine's own login too; ssh's ConnectTimeout ends with the key exchange
_PREFIX = "imagekit-ssh-"
_ABANDONED_SECONDS = 3600
_SOCKET_PATH_BYTES = 103  # sun_path of macOS; ssh adds 17 bytes while it makes the socket
_READY = "imagekit-ready"
_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:%@-]*")
_CHATTER_BYTES = 1 << 20


class SshLogin:
    """How one machine is entered. ``arguments`` and ``destination`` are what ssh(1), and so Nix, needs for that.

    The first session holds the connection; when imagekit ends, even by SIGKILL, it reads the end of its input and the
    connection is closed. Every other session goes through it; where the server allows only one, ssh connects anew.
    """

    def __init__(self, target: SshTarget | str, *, config: Path | None = None) -> None:
        if isinstance(target, str) and not _ALIAS.fullmatch(target):
            raise HostFailed(f"{target!r} cannot be the name of a host in ssh's configuration")
        if config is not None and not config.is_file():
            raise HostFailed(f"{config}, the configuration of ssh, is not there")
        if isinstance(target, SshTarget) and target.identity is not None and not target.identity.is_file():
            raise HostFailed(f"the key file {target.identity} is not there")
        self.program = find_tool("ssh")
        self.name = str(target)
        self.destination = target.host if isinstance(target, SshTarget) else target
        self._by_hand = format_login(target, config)
        self._address = format_address(target)
        self._directory = _make_socket_directory()
        self._master: SshProcess | None = None
        self._connecting = threading.Lock()
        settings = self._directory / "config"
        settings.write_text(format_settings(target, config, self._directory))
        self.arguments = ("-F", os.fspath(settings))

    def make_argv(self, command_line: str) -> list[str]:
        """Return the ssh command that runs ``command_line`` in the other machine's login shell."""
        return [self.program, *self.arguments, "--", self.destination, command_line]

    def connect(self) -> None:
        """Open the shared connection unless it is there; raises :class:`HostFailed` with ssh's reason."""
        with self._connecting:
            if self._master is None or not self._master.is_alive():
                self.disconnect()
                self._master = self._start_master()

    def _start_master(self) -> SshProcess:
        said = Tail(_CHATTER_BYTES)
        command = f"exec /bin/sh -c 'echo; echo {_READY}; exec cat >/dev/null'"
        argv = self.make_argv(command)
        master = SshProcess(
            [argv[0], "-o", "ControlMaster=yes", *argv[1:]], feed=lambda _stream: None, hold=True, output=said
        )
        try:
            deadline = time.monotonic() + _LOGIN_SECONDS
            while f"\n{_READY}\n".encode() not in said.value():
                if master.wait(time.monotonic() + 0.01) is not None:
                    raise self._explain_refusal(master, said)
                if time.monotonic() > deadline:
                    raise HostFailed(f"{self.name} did not finish the login", hint=f"test it with: {self._by_hand}")
        except BaseException:
            master.close()
            raise
        return master

    def disconnect(self) -> None:
        """Close the shared connection, and with it every session; never raises."""
        if self._master is not None:
            self._master.close()
            self._master = None
        (self._directory / "s").unlink(missing_ok=True)

    def close(self) -> None:
        """Close everything; safe to call twice, never raises."""
        self.disconnect()
        shutil.rmtree(self._directory, ignore_errors=True)

    def explain_loss(self, errors: str) -> ConnectionLost:
        """Return the error for a connection that ended while something ran."""
        line = read_last_line(errors)
        return ConnectionLost(
            f"the connection to {self.name} was lost{f': {line}' if line else ''}",
            hint="what ran there was ended; try again once the machine can be reached",
        )

    def explain_no_shell(self, output: str, errors: str) -> HostFailed:
        """Return the error for a login that ran something else than the script."""
        words = read_last_line(output) or read_last_line(errors)
        return HostFailed(
            f"{self.name} gives no shell{f': {words}' if words else ''}",
            hint="imagekit needs an account that can run /bin/sh",
        )

    def _explain_refusal(self, master: SshProcess, said: Tail) -> HostFailed:
        errors = master.read_errors()
        if master.wait() == 255:
            return explain_failure(self.name, errors, login=self._by_hand, address=self._address)
        return self.explain_no_shell(said.value().decode(errors="replace"), errors)


def _make_socket_directory() -> Path:
    """Make a private directory with a path short enough for a socket, named after this process.

    Those of processes that were killed are removed an hour later; not at once, for a container may share the place
    and number its processes anew.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    places = [Path(runtime)] if runtime and os.access(runtime, os.W_OK) else []
    prefix = f"{_PREFIX}{os.getpid()}-"
    for place in (*places, Path(tempfile.gettempdir()), Path("/tmp")):
        if len(os.fsencode(place)) + len(f"/{prefix}12345678/s.") + 16 > _SOCKET_PATH_BYTES:
            continue
        for left in place.glob(f"{_PREFIX}*"):
            with contextlib.suppress(OSError):
                about = left.lstat()
                ours = about.st_uid == os.getuid() and stat.S_ISDIR(about.st_mode)
                if ours and time.time() - about.st_mtime > _ABANDONED_SECONDS and not _lives(left):
                    shutil.rmtree(left)
        return Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    raise HostFailed("no directory for sockets has a short enough path", hint="set TMPDIR to a shorter path")


def _lives(directory: Path) -> bool:
    """Say whether the process lives that ``directory`` is named after."""
    number = directory.name.removeprefix(_PREFIX).partition("-")[0]
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, ValueError, OverflowError):
        return False
    return True
