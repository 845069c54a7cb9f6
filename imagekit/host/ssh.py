"""Another machine over SSH, through paramiko: who it is, how it may be entered, and what a script says there.

A host key is never accepted silently: the caller either expects one, or gets the one that was shown to record it.
RFC numbers: 4252 (authentication), 4253 (transport), 4254 (channels).
"""

import base64
import contextlib
import errno
import hashlib
import logging
import os
import shlex
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from imagekit.errors import HostFailed
from imagekit.host.local import Completed, run
from imagekit.host.tools import find_tool

if TYPE_CHECKING:
    import paramiko

_RSA_SIGNATURES = ("rsa-sha2-512", "rsa-sha2-256")
_ERROR_BYTES = 64 << 10
_BANNER_BYTES = 256


@dataclass(frozen=True, slots=True)
class HostKey:
    """A server's public key: its type and base64 as in ``known_hosts`` (sshd(8))."""

    type: str
    base64: str

    @property
    def fingerprint(self) -> str:
        """The key's ``SHA256:…`` fingerprint, as ssh-keygen -l shows it."""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")

    def format_known_host(self, address: str, port: int) -> str:
        """Return the line for a ``known_hosts`` file."""
        name = address if port == 22 else f"[{address}]:{port}"
        return f"{name} {self.type} {self.base64}\n"


def make_key(path: Path, comment: str = "imagekit") -> str:
    """Make an Ed25519 key at ``path`` (mode 0600, must not exist) and return its public line.

    ssh-keygen makes it where there is one: loading the library takes longer than all else that a clone needs.
    """
    if os.path.lexists(path):  # ssh-keygen would ask a question about it and fail
        raise FileExistsError(errno.EEXIST, "File exists", os.fspath(path))
    if not find_tool("ssh-keygen", required=False):
        return _make_key_in_process(path, comment)
    public = path.with_name(f"{path.name}.pub")
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", os.fspath(path)], timeout=30)
    line = public.read_text().strip()
    public.unlink()
    return line


def _make_key_in_process(path: Path, comment: str) -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    key = ed25519.Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(private)
    return f"{public.decode()} {comment}"


def answers_ssh(address: str, port: int, timeout: float) -> bool:
    """Say whether an SSH server greets at ``port`` within ``timeout`` seconds: an open port alone proves nothing.

    QEMU's user network accepts a connection before anybody in the guest does.
    """
    deadline = time.monotonic() + timeout
    greeting = b""
    try:
        with socket.create_connection((address, port), timeout) as connection:
            while len(greeting) < 4:
                connection.settimeout(max(0.01, deadline - time.monotonic()))
                part = connection.recv(_BANNER_BYTES)
                if not part:
                    return False
                greeting += part
    except OSError:
        return False
    return greeting.startswith(b"SSH-")


class SshHost:
    """A connection to an SSH server: encrypted, its key known, and at first nobody logged in."""

    def __init__(self, transport: "paramiko.Transport", where: str, host_key: HostKey) -> None:
        self.host_key = host_key
        self.where = where
        self._transport = transport

    @classmethod
    def connect(
        cls,
        address: str,
        port: int = 22,
        *,
        timeout: float,
        expected: HostKey | None = None,
        preferred: Sequence[str] = (),
    ) -> Self:
        """Connect and agree on keys within ``timeout`` seconds; nothing is logged in yet.

        With ``expected`` any other host key raises; without, :attr:`host_key` is what was shown and the caller
        compares or records it. ``preferred`` are key types to ask for first, those of which the caller knows a key:
        a server has several. Raises :class:`HostFailed`.
        """
        import paramiko

        _silence()
        where = f"{address}:{port}"
        with explained(where, "connecting"):
            connection = socket.create_connection((address, port), timeout)
            try:
                transport = paramiko.Transport(connection)
            except BaseException:
                connection.close()
                raise
            try:
                transport.daemon = True
                transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = timeout
                if expected is not None:
                    rsa = expected.type == "ssh-rsa"
                    transport.get_security_options().key_types = _RSA_SIGNATURES if rsa else (expected.type,)
                elif preferred:
                    options = transport.get_security_options()
                    first = [each for kind in preferred for each in _list_signatures(kind)]
                    options.key_types = tuple(sorted(options.key_types, key=lambda each: each not in first))
                transport.start_client(timeout=timeout)
                shown = transport.get_remote_server_key()
            except BaseException:
                transport.close()
                raise
        host_key = HostKey(shown.get_name(), shown.get_base64())
        if expected is not None and host_key != expected:
            transport.close()
            raise HostFailed(
                f"{where} shows another host key than the one recorded: {host_key.fingerprint}",
                hint=f"expected {expected.fingerprint}; find out why before you trust it",
            )
        return cls(transport, where, host_key)

    def open_channel(self, timeout: float) -> "paramiko.Channel":
        """Open a session channel for one program; raises :class:`HostFailed`."""
        with explained(self.where, "opening a channel"):
            return self._transport.open_session(timeout=timeout)

    def log_in(self, user: str, key: Path) -> None:
        """Log in as ``user`` with the private key in file ``key``; raises :class:`HostFailed` when refused."""
        if not self.accepts_key(user, key):
            raise HostFailed(f"{self.where} refused the key for user {user}")

    def accepts_key(self, user: str, key: Path) -> bool:
        """Say whether the private key in file ``key`` lets ``user`` in, and if so stay logged in."""
        import paramiko

        with explained(self.where, "logging in"):
            try:
                return not self._transport.auth_publickey(user, paramiko.PKey.from_path(key))
            except paramiko.AuthenticationException:
                return False

    def accepts_password(self, user: str, password: str) -> bool:
        """Try ``password`` for ``user``, whatever methods the server claims to offer; say whether it let us further."""
        import paramiko

        with explained(self.where, "trying a password"):
            try:
                self._transport.auth_password(user, password, fallback=True)
            except paramiko.AuthenticationException:
                return False
        return True

    def accepts_loaded_key(self, user: str, key: "paramiko.PKey") -> tuple[str, ...] | None:
        """Offer a key that is loaded already; return what the server still wants, ``None`` when it refused the key."""
        import paramiko

        with explained(self.where, "logging in"):
            try:
                return tuple(self._transport.auth_publickey(user, key))
            except paramiko.AuthenticationException:
                return None

    def offered_methods(self, user: str) -> tuple[str, ...]:
        """Return the authentication methods offered to ``user`` (RFC 4252, 5.2), sorted; ``none`` if none is needed."""
        import paramiko

        with explained(self.where, "asking for authentication methods"):
            try:
                self._transport.auth_none(user)
            except paramiko.BadAuthenticationType as refusal:
                return tuple(sorted(str(method) for method in refusal.allowed_types))
        return ("none",)

    def run(self, script: str, *, limit: int, timeout: float) -> Completed:
        """Run a POSIX shell script there; at most ``limit`` bytes of output within ``timeout`` seconds.

        The status is -1 when the server tells none. Raises :class:`HostFailed` when either bound is passed: a
        machine that floods or hangs is an answer too.
        """
        deadline = time.monotonic() + timeout
        output, errors = bytearray(), bytearray()
        # paramiko waits for ever for the answer to an exec request: closing the connection is the way out.
        watchdog = threading.Timer(timeout + 1.0, self._transport.close)
        watchdog.daemon = True
        with explained(self.where, "running a script"):
            channel = self._transport.open_session(timeout=timeout)
            watchdog.start()
            try:
                channel.exec_command(f"exec /bin/sh -c {shlex.quote(script)}")
                while True:
                    ended = channel.closed or (channel.eof_received and channel.exit_status_ready())
                    if channel.recv_ready():
                        output += channel.recv(32768)
                    elif channel.recv_stderr_ready():
                        errors += channel.recv_stderr(32768)
                        del errors[:-_ERROR_BYTES]
                    elif ended:
                        break
                    else:
                        time.sleep(0.02)
                    if len(output) > limit:
                        raise HostFailed(f"{self.where} answered with more than {limit} bytes")
                    if time.monotonic() > deadline:
                        raise HostFailed(f"{self.where} did not finish a script within {timeout:g} s")
                status = channel.recv_exit_status() if channel.exit_status_ready() else -1
            finally:
                watchdog.cancel()
                channel.close()
        return Completed(bytes(output), errors.decode(errors="replace"), status)

    def close(self) -> None:
        """End the connection; safe to call twice."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _list_signatures(kind: str) -> tuple[str, ...]:
    """Return the names under which a key of this type signs (RFC 8332 for RSA)."""
    return _RSA_SIGNATURES if kind == "ssh-rsa" else (kind,)


@contextlib.contextmanager
def explained(where: str, doing: str) -> Iterator[None]:
    """Turn what paramiko and sockets raise into one sentence naming the host."""
    import paramiko

    try:
        yield
    except (paramiko.SSHException, EOFError, OSError) as problem:
        said = str(problem) or type(problem).__name__
        raise HostFailed(f"SSH to {where} failed while {doing}: {said}") from problem


def _silence() -> None:
    """Keep paramiko's own log off the terminal: its threads print tracebacks for every broken connection."""
    logger = logging.getLogger("paramiko")
    logger.setLevel(logging.CRITICAL + 1)
    logger.propagate = False
