"""What ssh(1) says when it cannot reach or enter a machine, as a sentence with something to do about it."""

import re
from dataclasses import dataclass

from imagekit.errors import HostFailed

_LONGEST = 300


class ConnectionLost(HostFailed):
    """The machine cannot be reached at this moment; a later try may find it."""


@dataclass(frozen=True, slots=True)
class _Saying:
    """A pattern in ssh's own words (LC_ALL=C; ssh.c, sshconnect.c, sshconnect2.c), and ours."""

    pattern: str
    sentence: str
    hint: str
    passing: bool = False  # a later try may do better


# In order: a changed host key is said together with "Host key verification failed".
_SAYINGS = (
    _Saying(
        r"Could not resolve hostname (\S+):",
        "its name {0} does not resolve",
        "correct the name, give an address, or name the host in ~/.ssh/config",
        passing=True,
    ),
    _Saying(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|[Hh]ost key for \S+ has changed",
        "it shows another host key than the one that is known",
        "find out why before you trust it; if the machine is new, forget its old key: ssh-keygen -R {address}",
    ),
    _Saying(
        r"[Hh]ost key is marked as revoked|REVOKED HOST KEY",
        "its host key is marked as revoked",
        "do not use it until you know why",
    ),
    _Saying(
        r"Host key verification failed|No \S+ host key is known",
        "its host key is not known yet",
        "log in once by hand and compare the fingerprint: {login}",
    ),
    _Saying(
        r"Too many authentication failures",
        "it ended the login after too many keys",
        "name the right one: --identity, or IdentityFile with IdentitiesOnly yes in ~/.ssh/config",
    ),
    _Saying(
        r"UNPROTECTED PRIVATE KEY FILE|bad permissions",
        "ssh does not use a private key that others can read",
        "chmod 600 the key file",
    ),
    _Saying(
        r"Permission denied \(([a-z0-9,-]+)\)",
        "it refused every key (it takes {0})",
        "give the right key with --identity, or load it: ssh-add; test with: {login}",
    ),
    _Saying(
        r"[Cc]onnection refused",
        "no SSH server answers there",
        "is the machine up, its sshd running, and the port the right one?",
        passing=True,
    ),
    _Saying(
        r"timed out|Timeout, server .* not responding",
        "it did not answer in time",
        "is the machine up, and its network reachable from here?",
        passing=True,
    ),
    _Saying(
        r"No route to host|Network is unreachable|Host is down",
        "there is no way to it from here",
        "is the machine up, and this one in the right network?",
        passing=True,
    ),
    _Saying(
        r"no matching (host key type|key exchange method|cipher|MAC) found",
        "its SSH server and ssh here have no {0} in common",
        "one of the two is too old; ssh_config(5) can allow older methods for this host",
    ),
    _Saying(
        r"Bad configuration option: (\S+)|[Bb]ad configuration options",
        "the configuration of ssh has a mistake: {0}",
        "test it with: {login}",
    ),
    _Saying(
        r"Connection (to \S+ )?(closed|reset)|kex_exchange_identification|banner exchange|Broken pipe|"
        r"read from master failed|lost connection",
        "it ended the connection",
        "its own log says why; a full disk, a limit on logins or a firewall are usual",
        passing=True,
    ),
)


def explain_failure(name: str, said: str, *, login: str, address: str) -> HostFailed:
    """Return the error for what ssh ``said`` before anything ran there.

    ``login`` is the command to try by hand, ``address`` what known_hosts calls the machine.
    """
    for saying in _SAYINGS:
        if found := re.search(saying.pattern, said):
            words = [clean(group) for group in found.groups("")] or [""]
            sentence = saying.sentence.format(*words)
            kind = ConnectionLost if saying.passing else HostFailed
            return kind(f"{name} cannot be entered: {sentence}", hint=saying.hint.format(login=login, address=address))
    return HostFailed(
        f"{name} cannot be entered: {read_last_line(said) or 'ssh says no reason'}", hint=f"test it with: {login}"
    )


def read_last_line(said: str) -> str:
    """Return the last line that says something, safe to show."""
    lines = [line for line in said.splitlines() if line.strip()]
    return clean(lines[-1].strip()) if lines else ""


def clean(text: str) -> str:
    """Return foreign text without control characters, 300 characters at most."""
    return "".join(each if each.isprintable() else "?" for each in text[:_LONGEST])
