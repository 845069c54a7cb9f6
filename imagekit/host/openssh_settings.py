"""The ssh_config(5) file of one run: what imagekit needs comes first, then what the operator says of the host."""

import os
import shlex
from pathlib import Path

from imagekit.errors import HostFailed
from imagekit.host.openssh_failure import clean
from imagekit.host.ssh_target import SshTarget

_CONNECT_SECONDS = 15
_ALIVE_SECONDS, _ALIVE_COUNT = 15, 4


def format_login(target: SshTarget | str, config: Path | None) -> str:
    """Return the command with which the operator enters the machine by hand."""
    words = ["ssh"]
    if config is not None:
        words += ["-F", os.fspath(config)]
    if isinstance(target, SshTarget):
        words += ["-i", os.fspath(target.identity)] if target.identity is not None else []
        words += ["-p", str(target.port)] if target.port else []
        words.append(f"{target.user}@{target.host}" if target.user else target.host)
    else:
        words.append(target)
    return shlex.join(words)


def format_address(target: SshTarget | str) -> str:
    """Return the machine's name in known_hosts (sshd(8)): with brackets when the port is not the usual."""
    if isinstance(target, str):
        return target
    return target.host if target.port in (0, 22) else f"'[{target.host}]:{target.port}'"


def format_settings(target: SshTarget | str, config: Path | None, directory: Path) -> str:
    """Return an ssh_config(5) file: what must be so first, since the first word on a matter counts, then the user's."""
    name = target.host if isinstance(target, SshTarget) else target
    # For this host only: ssh reaches a jump host with the same file.
    lines = [f"Host {name}", f"ControlPath {_quote(directory / 's')}"]
    if isinstance(target, SshTarget):
        lines += [f"Port {target.port}"] if target.port else []
        lines += [f'User "{target.user}"'] if target.user else []
        if target.identity is not None:  # without the second line an agent's keys would come first
            lines += [f"IdentityFile {_quote(target.identity.absolute())}", "IdentitiesOnly yes"]
        if target.host_key:
            lines += _format_pin(target.host_key, directory)
        elif target.accept_new:
            lines.append("StrictHostKeyChecking accept-new")
    lines += [
        "Host *",
        "BatchMode yes",  # no question, of any kind
        f"ConnectTimeout {_CONNECT_SECONDS}",
        f"ServerAliveInterval {_ALIVE_SECONDS}",
        f"ServerAliveCountMax {_ALIVE_COUNT}",
        "ControlMaster no",
        "ControlPersist no",
        "ControlPath none",
        "LogLevel ERROR",
        "RequestTTY no",
        "RemoteCommand none",
        "PermitLocalCommand no",
        "ClearAllForwardings yes",
        "ForwardAgent no",
        "ForwardX11 no",
    ]
    files = [config.absolute()] if config is not None else ["~/.ssh/config", "/etc/ssh/ssh_config"]
    lines += [f"Include {_quote(file)}" for file in files]
    return "\n".join(lines) + "\n"


def _format_pin(fingerprint: str, directory: Path) -> list[str]:
    """Return the lines that accept the one key with ``fingerprint``, whatever known_hosts says.

    KnownHostsCommand (ssh_config(5), OpenSSH 8.5 and later) is asked with the key that the server shows.
    """
    script = directory / "pin"
    script.write_text(f'if [ "$1" = {shlex.quote(fingerprint)} ]; then echo "$2 $3 $4"; fi\n')
    return [
        f"KnownHostsCommand /bin/sh {_quote(script)} %f %H %t %K",
        "UserKnownHostsFile /dev/null",
        "GlobalKnownHostsFile /dev/null",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
    ]


def _quote(path: Path | str) -> str:
    """Quote a path for ssh_config(5), where a percent sign begins a token and nothing can stand for a quote."""
    text = os.fspath(path)
    if any(not each.isprintable() or each == '"' for each in text):
        raise HostFailed(f"{clean(text)!r} cannot stand in a configuration of ssh", hint="use a path without quotes")
    return f'"{text.replace("%", "%%")}"'
