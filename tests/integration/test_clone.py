"""A clone from the command line, end to end: made, proven up, entered with OpenSSH, stopped, started, removed."""

import hashlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.host import Completed, run
from tests.integration.conftest import Built, Program

pytestmark = pytest.mark.integration


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@pytest.fixture
def program(built: Built) -> Iterator[Program]:
    """Return the program whose store has the template; its clones are removed afterwards."""
    yield built.program
    for one in built.program.json("clone", "--local", "--list")["clones"]:
        built.program("clone", "--local", "--remove", one["name"], "--yes")


def _enter(command: str, *words: str) -> Completed:
    """Run the printed command as a script would: with no terminal to answer a question."""
    ssh, *rest = shlex.split(command)
    return run([ssh, "-o", "BatchMode=yes", *rest, *words], check=False, timeout=120)


def _states(program: Program) -> dict[str, str]:
    return {one["name"]: one["state"] for one in program.json("clone", "--local", "--list")["clones"]}


def test_two_clones_that_are_not_started(program: Program) -> None:
    """Two clones have different names, ports and machines; neither runs; a name is given once."""
    first = program.json("clone", "template", "one", "--local", "--no-start")
    second = program.json("clone", "template", "two", "--local", "--no-start", "--cores", "1", "--disk", "3G")
    assert first["port"] != second["port"]
    assert first["ssh"] != second["ssh"]
    assert (first["state"], second["state"]) == ("stopped", "stopped")
    assert first["reference"].startswith("template@")
    again = program("clone", "template", "one", "--local", "--no-start", check=False)
    assert (again.status, again.output) == (7, b"")
    assert "there is already a clone one" in again.errors
    smaller = program("clone", "template", "three", "--local", "--no-start", "--disk", "1G", check=False)
    assert smaller.status == 8
    assert "never smaller" in smaller.errors
    assert _states(program) == {"one": "stopped", "two": "stopped"}


def test_life_of_a_clone(program: Program, template_disk: Path, tmp_path: Path) -> None:
    """The printed command enters the clone without a question; what it writes survives a restart; the image does not
    change; nothing is left when the clone is removed.
    """
    before = _digest(template_disk)
    extra = tmp_path / "user-data"
    extra.write_text("#cloud-config\nwrite_files: [{path: /etc/made-by-operator, content: operator}]\n")
    said = program("clone", "template", "web-1", "--local", "--disk", "3G", "--user-data", str(extra))
    name, command, port = said.output.decode().splitlines()
    assert name == "web-1"
    assert f"-p {port.removeprefix('port ')} " in command
    assert "booting web-1" in said.errors

    assert _enter(command, "true").status == 0
    assert _enter(command, "hostname").output == b"web-1\n"
    assert _enter(command, "cat", "/etc/made-by-operator").output == b"operator"
    assert int(_enter(command, "df --output=size -B1 / | tail -1").output) > 2.5 * (1 << 30)
    status = _enter(command, "cloud-init", "status", "--wait")
    assert b"status: done" in status.output
    assert _enter(command, "sudo", "-n", "id", "-u").output == b"0\n"
    assert _enter(command, "echo kept > note && sync").status == 0
    assert _states(program) == {"web-1": "running"}

    stopped = program("clone", "--local", "--stop", "web-1")
    assert (stopped.output, stopped.errors) == (b"", "web-1 is stopped\n")
    assert _states(program) == {"web-1": "stopped"}
    assert _enter(command, "true").status == 255

    again = program.json("clone", "--local", "--start", "web-1")
    assert again["state"] == "running"
    assert _enter(again["ssh"], "cat", "note").output == b"kept\n"

    removed = program.json("clone", "--local", "--remove", "web-1", "--yes")
    assert removed["state"] == "removed"
    assert program.json("clone", "--local", "--list")["clones"] == []
    assert list((program.home / "state" / "imagekit" / "clones").iterdir()) == []
    assert _digest(template_disk) == before
