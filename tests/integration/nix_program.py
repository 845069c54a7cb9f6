"""imagekit with a project that has the tiny flake, and a Nix store of its own on this machine or behind an sshd."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.host import find_tool
from tests.definition.samples import KEY
from tests.integration.conftest import Program
from tests.nix_store import OwnStore
from tests.sshd import Sshd
from tests.tiny import copy_tiny_flake

_PROJECT = """\
[images.pihole]
kind = "sd-image"
channels = ["candidate", "stable"]

[images.pihole.nix]
flake = "flake"

[images.pihole.site]
host_name = "pihole-two"
address = "192.168.7.54/24"
gateway = "192.168.7.1"
ssh_keys = ["{key}"]
"""


@dataclass(frozen=True, slots=True)
class NixProgram(Program):
    """The program in the directory of a project; ``variables`` is what its shell says beside its places."""

    variables: Mapping[str, str] = field(default_factory=dict)

    def environment(self) -> Mapping[str, str]:
        """Return the places of this program and what leads it to its Nix, or to its server."""
        return {**Program.environment(self), **self.variables}


def make_project(directory: Path, variables: Mapping[str, str], *, attribute: str = "pihole-image") -> NixProgram:
    """Return the program in a new project below ``directory``, whose image is ``attribute`` of the tiny flake."""
    project, home = directory / "project", directory / "program"
    project.mkdir(parents=True)
    home.mkdir()
    copy_tiny_flake(project / "flake")
    text = _PROJECT.format(key=KEY)
    if attribute != "pihole-image":
        text = text.replace('flake = "flake"', f'flake = "flake"\nattribute = "{attribute}"')
    (project / "imagekit.toml").write_text(text)
    return NixProgram(home, project, home / "cache", variables)


def lead_to_store(store: OwnStore) -> dict[str, str]:
    """Return what a shell says so that Nix on this machine uses ``store``."""
    return {name: value for name, value in store.environment.items() if name.startswith("NIX_")}


def lead_to_server(server: Sshd, directory: Path) -> dict[str, str]:
    """Return what a shell says so that ssh(1) knows ``server``, and has no Nix on this machine.

    ssh looks for its configuration in the account's home, which is nobody's but the account's: a program of that name
    stands before the real one.
    """
    directory.mkdir()
    ssh = directory / "ssh"
    options = (f"UserKnownHostsFile={server.known_hosts}", f"IdentityFile={server.identity}", "IdentitiesOnly=yes")
    given = " ".join(f"-o {option}" for option in options)
    ssh.write_text(f'#!/bin/sh\nexec {find_tool("ssh")} {given} "$@"\n')
    ssh.chmod(0o755)
    return {"PATH": f"{directory}:{os.environ['PATH']}", "IMAGEKIT_NIX_HOST": server.url}
