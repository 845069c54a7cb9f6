"""How the VM is entered: what ``vagrant ssh-config`` prints, checked and made stricter, in a file for ssh(1)."""

import re
from pathlib import Path

from imagekit.build.vagrant.failure import VmFailed

ALIAS = "imagekit-vm"
_KEYWORD = re.compile(r"  (\w+) (.{1,4096})")
# What ssh-config can print (templates/commands/ssh_config/config.erb); the rest of ssh_config(5) has no business here.
_TAKEN = {
    "HostName", "User", "Port", "PasswordAuthentication", "IdentityFile", "IdentitiesOnly", "ProxyCommand",
    "PubkeyAcceptedKeyTypes", "HostKeyAlgorithms", "PubkeyAcceptedAlgorithms",
}  # fmt: skip


def make_ssh_config(said: str, known_hosts: Path) -> str:
    """Return the file for ssh from what Vagrant printed for ``--host imagekit-vm``.

    Vagrant has the VM's key unchecked (``/dev/null``); here the key of the first contact is kept in ``known_hosts``
    and must stay the same. No agent is forwarded, and ssh may say what goes wrong, which Vagrant turns off. Raises
    :class:`VmFailed` for text that says no address.
    """
    values = []
    names = set()
    for line in said.splitlines():
        if (match := _KEYWORD.fullmatch(line.rstrip())) and match[1] in _TAKEN:
            values.append(line.rstrip())
            names.add(match[1])
    if not {"HostName", "User", "Port"} <= names:
        raise VmFailed("Vagrant does not say how the VM is entered", detail=said[:2000])
    own = (
        f'UserKnownHostsFile "{known_hosts}"',
        f"HostKeyAlias {ALIAS}",
        "StrictHostKeyChecking accept-new",
        "BatchMode yes",
        "LogLevel ERROR",
    )
    return "\n".join((f"Host {ALIAS}", *values, *(f"  {line}" for line in own), ""))
