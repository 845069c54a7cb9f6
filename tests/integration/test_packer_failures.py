"""Builds with real Packer that fail or are killed: a sentence, an exit code, and nothing left in the end."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Started, compute_digest
from tests.integration.packing import PackerProgram, find_marked

pytestmark = pytest.mark.integration


def test_provisioner_that_fails(packer_program: PackerProgram) -> None:
    """A provisioner that fails is exit code 4 with its last lines and the log's place; nothing is left."""
    _write_shell(packer_program, "failing", "echo this is the reason >&2", "exit 7")
    said = packer_program("build", "failing", check=False)
    assert said.status == 4
    assert "this is the reason" in said.errors
    assert "provisioning failed" in said.errors
    (log,) = (packer_program.state / "packer-logs").glob("failing-*.log")
    assert str(log) in said.errors
    assert "this is the reason" in log.read_text()
    assert packer_program.list_left() == []


def _write_shell(packer_program: PackerProgram, name: str, *lines: str) -> None:
    """Define an image whose template runs ``lines`` on this machine and starts none."""
    own = packer_program.directory / name
    own.mkdir(exist_ok=True)
    inline = ", ".join(map(json.dumps, lines))
    (own / "main.pkr.hcl").write_text(
        'packer {\n  required_version = ">= 1.14.0"\n}\nsource "null" "test" {\n  communicator = "none"\n}\n'
        'build {\n  sources = ["source.null.test"]\n'
        f'  provisioner "shell-local" {{\n    inline = [{inline}]\n  }}\n}}\n'
    )
    packer_program.define(f'[images.{name}]\nbuilder = "packer"\npacker = {{template = "{name}"}}\n')


@pytest.fixture
def started() -> Iterator[list[Started]]:
    """Collect what was started; what still runs in the end is killed."""
    running: list[Started] = []
    yield running
    for one in running:
        if one.process.is_alive():
            os.kill(one.process.pid, signal.SIGKILL)
            one.wait(30)


def _find_build_id(packer_program: PackerProgram) -> str:
    (record,) = (packer_program.state / "packer").glob("*.json")
    return record.stem


def _kill_everything(started: Started, packer_program: PackerProgram) -> list[int]:
    """Kill imagekit and Packer's own processes as a machine that runs out of memory would; return what still runs."""
    build_id = _find_build_id(packer_program)
    pids = [pid for pid in find_marked(build_id) if Path(f"/proc/{pid}/exe").resolve().name.startswith("packer")]
    for pid in (started.process.pid, *pids):  # imagekit first: it would clean up after a Packer that dies
        os.kill(pid, signal.SIGKILL)
    started.wait(30)
    return find_marked(build_id)


def test_killed_while_provisioning(packer_program: PackerProgram, started: list[Started]) -> None:
    """After kill -9 of imagekit in the middle of provisioning, Packer cleans up; after kill -9 of both, the next run
    finds the record, ends what still runs, and removes all of it.
    """
    _write_shell(packer_program, "killed", "echo begun", "sleep 300")
    first = packer_program.start("build", "killed")
    started.append(first)
    first.wait_for("running an inline script", 60)
    os.kill(first.process.pid, signal.SIGKILL)
    assert first.wait(30) == -signal.SIGKILL

    second = packer_program.start("build", "killed")
    started.append(second)
    second.wait_for("running an inline script", 60)
    assert len(list((packer_program.state / "packer").glob("*.json"))) == 1  # its own: that of the first is gone
    assert _kill_everything(second, packer_program) != []  # the script sleeps on

    _write_shell(packer_program, "next", "exit 7")
    assert packer_program("build", "next", check=False).status == 4
    assert packer_program.list_left() == []


def test_killed_while_a_machine_runs(packer_program: PackerProgram, given_disk: Path, started: list[Started]) -> None:
    """After kill -9 of imagekit and Packer while QEMU runs, the next run ends QEMU and removes its files."""
    packer_program.define(
        '[images.given]\nbuilder = "packer"\nsize = "1500M"\n'
        f'packer = {{disk = {{path = "golden.qcow2", sha256 = "{compute_digest(given_disk)}"}}}}\n'
    )
    build = packer_program.start("build", "given", "--no-boot-test")
    started.append(build)
    build.wait_for("waiting for SSH", 120)
    left = _kill_everything(build, packer_program)
    assert [pid for pid in left if Path(f"/proc/{pid}/exe").resolve().name.startswith("qemu-system")] != []
    _write_shell(packer_program, "next", "exit 7")
    assert packer_program("build", "next", check=False).status == 4
    assert packer_program.list_left() == []
