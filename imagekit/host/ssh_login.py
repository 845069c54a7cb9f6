"""Enter a machine as ``ssh`` would: its host key known, by the operator's own keys, agent and ``~/.ssh/config``.

Never by a password and never with a question. Of ssh_config(5) count HostName, Port, User, IdentityFile,
IdentitiesOnly, UserKnownHostsFile and HostKeyAlias; a host behind ProxyJump or ProxyCommand is refused with a sentence.
"""

import contextlib
import getpass
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.errors import HostFailed
from imagekit.host.known_hosts import KnownKeys, read_known_keys, record_key
from imagekit.host.ssh import SshHost
from imagekit.host.ssh_target import SshTarget

if TYPE_CHECKING:
    import paramiko

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")  # ssh_config(5), IdentityFile; those that paramiko can read
_MOST_TRIES = 5  # sshd_config(5), MaxAuthTries: the sixth refusal ends the connection


@dataclass(frozen=True, slots=True)
class _Route:
    """Where to connect, as whom, and which files decide about trust."""

    address: str
    port: int
    user: str
    name: str  # under which the host key is known
    identities: tuple[Path, ...]
    only_identities: bool
    known_hosts: tuple[Path, ...]


def open_ssh(target: SshTarget, *, timeout: float, home: Path | None = None) -> SshHost:
    """Connect to ``target`` and log in within about ``timeout`` seconds for each step.

    ``home`` is where ``.ssh`` lies, the operator's home by default. Raises :class:`HostFailed` for a host key that is
    not known or not the one expected, for a machine that wants a password, and for one that refuses every key.
    """
    directory = (home or Path.home()) / ".ssh"
    route = _read_route(target, directory)
    known = read_known_keys(route.known_hosts, route.name)
    host = SshHost.connect(
        route.address,
        route.port,
        timeout=timeout,
        preferred=() if target.host_key else [key.type for key in known.trusted],
    )
    try:
        _require_trust(host, target, route, known)
        _log_in(host, route, directory)
    except BaseException:
        host.close()
        raise
    return host


def _read_route(target: SshTarget, directory: Path) -> _Route:
    options = _read_config(target.host, directory / "config")
    for jump in ("proxyjump", "proxycommand"):
        if options.get(jump, "none") != "none":
            raise HostFailed(
                f"{target.host} is reached through {jump} in {directory / 'config'}, which is not supported",
                hint=f"forward a port: ssh -N -L 2222:localhost:22 {target.host}, then ssh://USER@localhost:2222",
            )
    port = target.port or _read_port(options.get("port"), target.host)
    address = str(options.get("hostname") or target.host)
    alias = str(options.get("hostkeyalias") or "")
    files = options.get("identityfile")
    configured = tuple(Path(file).expanduser() for file in files) if isinstance(files, list) else ()
    hosts = str(options.get("userknownhostsfile") or "").split()
    own = tuple(Path(file).expanduser() for file in hosts) or (directory / "known_hosts", directory / "known_hosts2")
    return _Route(
        address=address,
        port=port,
        user=target.user or str(options.get("user") or getpass.getuser()),
        name=alias or (address if port == 22 else f"[{address}]:{port}"),
        identities=(*((target.identity,) if target.identity is not None else ()), *configured),
        only_identities=str(options.get("identitiesonly", "no")) == "yes",
        known_hosts=(*own, Path("/etc/ssh/ssh_known_hosts")),
    )


def _read_config(host: str, file: Path) -> dict[str, object]:
    import paramiko

    if not file.is_file():
        return {}
    try:
        return dict(paramiko.SSHConfig.from_path(os.fspath(file)).lookup(host))
    except (paramiko.SSHException, OSError, ImportError, ValueError, KeyError) as problem:
        raise HostFailed(
            f"{file} cannot be used: {problem}", hint="Match exec and canonical names are beyond what is read here"
        ) from problem


def _read_port(text: object, host: str) -> int:
    if text is None:
        return 22
    if not (isinstance(text, str) and text.isdecimal() and 0 < int(text) < 65536):
        raise HostFailed(f"~/.ssh/config gives {host} the port {text!r}")
    return int(text)


def _require_trust(host: SshHost, target: SshTarget, route: _Route, known: KnownKeys) -> None:
    """Raise unless the key shown is the pinned one or a known one; record a new one where that was asked for."""
    shown = host.host_key
    if shown in known.revoked:
        raise HostFailed(f"{host.where} shows a host key that is marked as revoked: {shown.fingerprint}")
    if target.host_key:
        if shown.fingerprint != target.host_key:
            raise HostFailed(
                f"{host.where} shows another host key than the one given: {shown.fingerprint} ({shown.type})",
                hint=f"expected {target.host_key}; find out why before you trust it",
            )
    elif shown in known.trusted:
        return
    elif known.trusted:
        raise HostFailed(
            f"{host.where} shows another host key than the one known: {shown.fingerprint} ({shown.type})",
            hint=f"known is {known.trusted[0].fingerprint}; if the machine was made anew: ssh-keygen -R '{route.name}'",
        )
    elif target.accept_new:
        record_key(route.known_hosts[0], route.name, shown)
    else:
        raise HostFailed(
            f"the host key of {host.where} is not known: {shown.fingerprint} ({shown.type})",
            hint=f"log in there once with ssh to record it, or compare and give --host-key {shown.fingerprint}",
        )


def _log_in(host: SshHost, route: _Route, directory: Path) -> None:
    methods = host.offered_methods(route.user)
    if methods == ("none",):
        return
    if "publickey" not in methods:
        offered = ", ".join(methods) or "nothing"
        raise HostFailed(
            f"{host.where} lets {route.user} in by {offered} only, and a password is never asked for here",
            hint=f"put your key there: ssh-copy-id -p {route.port} {route.user}@{route.address}",
        )
    tried: list[str] = []
    locked: list[str] = []
    for name, key in _list_keys(route, directory):
        if key is None:
            locked.append(name)
            continue
        if len(tried) == _MOST_TRIES:
            break
        wanted = host.accepts_loaded_key(route.user, key)
        tried.append(name)
        if wanted == ():
            return
        if wanted is not None:
            raise HostFailed(
                f"{host.where} takes the key of {route.user} and wants {' and '.join(wanted)} besides",
                hint="a second factor cannot be given here; use an account without one",
            )
    said = f"refused every key for {route.user} ({', '.join(tried)})" if tried else f"wants a key for {route.user}"
    left = f"; {', '.join(locked)} cannot be read without a passphrase" if locked else ""
    raise HostFailed(
        f"{host.where} {said}{left}", hint="give the right one with --identity, or load it: ssh-add; then try again"
    )


def _list_keys(route: _Route, directory: Path) -> Iterator[tuple[str, "paramiko.PKey | None"]]:
    """Yield name and key: files that were named, the agent's, then the usual files; ``None`` for a locked one."""

    seen: set[bytes] = set()
    for file in route.identities:
        yield file.name, _note(_load_key(file, required=True), seen)
    if route.only_identities:
        return
    with contextlib.ExitStack() as opened:  # an agent signs as long as it is connected
        for number, held in enumerate(_ask_agent(opened), 1):
            if held.asbytes() not in seen:
                yield f"agent key {number}", _note(held, seen)
    for name in _DEFAULT_KEYS:
        file = directory / name
        if file.is_file() and file not in route.identities:
            key = _load_key(file, required=False)
            if key is None or key.asbytes() not in seen:
                yield name, _note(key, seen)


def _ask_agent(opened: contextlib.ExitStack) -> "tuple[paramiko.PKey, ...]":
    """Return the agent's keys, usable until ``opened`` is closed; one that does not work has none, as for ssh."""
    import paramiko

    # paramiko leaves a socket open when nobody is at its other end.
    if not Path(os.environ.get("SSH_AUTH_SOCK", "")).is_socket():
        return ()
    try:
        agent = paramiko.Agent()
    except (paramiko.SSHException, OSError):
        return ()
    opened.callback(agent.close)
    return tuple(agent.get_keys())


def _note(key: "paramiko.PKey | None", seen: set[bytes]) -> "paramiko.PKey | None":
    if key is not None:
        seen.add(key.asbytes())
    return key


def _load_key(file: Path, *, required: bool) -> "paramiko.PKey | None":
    """Return the key in ``file``, ``None`` for one behind a passphrase; one that is ``required`` must be good."""
    import paramiko
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        return paramiko.PKey.from_path(file)
    except (paramiko.PasswordRequiredException, TypeError):  # TypeError: cryptography's word for the same
        return None
    except (paramiko.SSHException, OSError, ValueError, UnsupportedAlgorithm) as problem:
        if required:
            raise HostFailed(f"the key file {file} cannot be used: {problem}") from problem
        return None
