"""Machines to enter in the tests of OpenSshHost: an ordinary one, and one whose programs are an attacker's."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from imagekit.host.openssh import OpenSshHost, open_openssh
from tests.sshd import ALIAS, Sshd, start_sshd


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests of this file."""
    with start_sshd(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def host(server: Sshd) -> Iterator[OpenSshHost]:
    """The server as a host."""
    with open_openssh(ALIAS, config=server.config) as opened:
        yield opened


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Callable[[str, str], OpenSshHost]]:
    """A machine where a program of a given name is another one: call it with the name and a shell script."""
    programs = tmp_path / "programs"
    programs.mkdir()
    with contextlib.ExitStack() as stack:

        def enter(name: str, script: str) -> OpenSshHost:
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
            path = {"PATH": f"{programs}:/usr/bin:/bin"}
            running = stack.enter_context(start_sshd(tmp_path / "sshd", environment=path))
            return stack.enter_context(open_openssh(ALIAS, config=running.config))

        yield enter


def await_that(said: Callable[[], bool], seconds: float = 10) -> bool:
    """Wait until something is so; say whether it is."""
    deadline = time.monotonic() + seconds
    while not said() and time.monotonic() < deadline:
        time.sleep(0.05)
    return said()


def lives(pid: int) -> bool:
    """Say whether a process runs and is no zombie (proc_pid_stat(5): the state follows the name)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
