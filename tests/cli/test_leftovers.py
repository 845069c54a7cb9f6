"""leftovers: what is listed, who is asked, and what goes; and what a build says of leftovers before it starts."""

import io
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imagekit.build.packer.processes import MARK, find_processes
from imagekit.host import start
from imagekit.host.local import end
from imagekit.settings import read_settings
from tests.cli.conftest import Program
from tests.pipeline.leave import DEAD, OTHER, leave_build, seed_volume, tag

_TOKEN = "packer@pve!imagekit"
_CANARY = "5a1dca9a-4e1d-4c0f-9d6a-0ca9a57ec9e7"


@pytest.fixture
def pve(program: Program, fakepve: Any, fakepve_cafile: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster that the project names, for an image that is made of a template there."""
    fakepve.apitokens[_TOKEN] = _CANARY
    Path("imagekit.toml").write_text(
        '[images.template]\nbuilder = "packer"\npacker = {clone = 9001}\n'
        f'[cluster]\nurl = "{fakepve.url}"\nnode = "pve1"\nca_file = "{fakepve_cafile}"\n'
    )
    monkeypatch.setenv("PROXMOX_VE_API_TOKEN", f"{_TOKEN}={_CANARY}")
    yield fakepve
    # the stand-in stops its loop without waiting for connections to end, which leaves sockets open
    deadline = time.monotonic() + 5
    while fakepve.runner.server.connections and time.monotonic() < deadline:
        time.sleep(0.002)


class _Terminal(io.StringIO):
    """A terminal at which somebody has typed ahead."""

    def isatty(self) -> bool:
        return True


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Put somebody at the terminal who answers ``text``."""
    monkeypatch.setattr(sys, "stdin", _Terminal(text))


def leave(tmp_path: Path, build_id: str = DEAD, **noted: Any) -> Path:
    """Leave a build in the program's state directory."""
    return leave_build(read_settings({}).state, tmp_path / f"left-{build_id}", build_id, **noted)


def test_nothing_is_left(program: Program) -> None:
    """Without leftovers the list is empty, and --remove needs to ask nobody."""
    said = program("leftovers", "--remove")
    assert (said.output, said.errors) == ("", "no build left anything\n")
    assert program("leftovers", "--json").json()["builds"] == []


def test_list(program: Program, pve: Any, tmp_path: Path) -> None:
    """Each thing has a row with its build, place and reason; nothing is changed by looking."""
    leave(tmp_path, kept="provisioning\x1b[31m failed", vm_id=9101, node="pve1")
    pve.add_vm(9101, "build", status="running", config=tag())
    pve.add_vm(9102, "build-debian")
    said = program("leftovers")
    rows = [line.split(maxsplit=2) for line in said.output.splitlines()[1:]]
    assert [row[:2] for row in rows] == [[DEAD, "here"], [DEAD, "pve1"], ["-", "pve1"]]
    assert rows[0][2].startswith(str(tmp_path / f"left-{DEAD}"))
    assert rows[0][2].endswith("kept: provisioning\\x1b[31m failed")
    assert rows[1][2] == "VM 9101 (build, running)"
    assert "not tagged" in rows[2][2]
    assert _CANARY not in said.output + said.errors
    document = program("leftovers", "--json").json()
    (build,) = document["builds"]
    assert (build["build_id"], build["processes"], build["directories"]) == (DEAD, [], [f"{tmp_path}/left-{DEAD}"])
    assert [one["vm_id"] for one in build["on_cluster"]] == [9101]
    assert [one["vm_id"] for one in document["untouchable"]] == [9102]
    assert (document["cluster"], document["problem"]) == (pve.url, None)
    assert {vm.vmid for vm in pve.vms} == {9101, 9102}


def test_nobody_to_ask(program: Program, tmp_path: Path) -> None:
    """Without a terminal and without --yes the list is printed, nothing is removed, and the exit code is 7."""
    record = leave(tmp_path)
    said = program("leftovers", "--remove", status=7)
    assert DEAD in said.output
    assert "hint: --yes" in said.errors
    assert record.exists()


def test_removed_unasked(program: Program, pve: Any, tmp_path: Path) -> None:
    """--yes removes everything of our builds, processes too, and nothing else."""
    leave(tmp_path, kept="to look at it", vm_id=9101, seed_volume=seed_volume(), node="pve1")
    running = start(["sleep", "60"], environment={MARK: DEAD})
    pve.add_vm(9101, "build", status="running", config=tag())
    pve.add_vm(9102, "build", status="running", config=tag(OTHER))
    pve.store_file("local", seed_volume().partition("/")[2], 1000)
    try:
        said = program("leftovers", "--remove", "--yes")
        assert f"what build {DEAD} left is removed" in said.errors
        assert find_processes(DEAD) == ()
    finally:
        end(running, grace=0)
    assert [vm.vmid for vm in pve.vms] == [9102]
    assert pve.storages["local"]["files"] == set()
    assert "another machine's" in program("leftovers").output
    program("leftovers", "--remove", "--yes", "--others")
    assert pve.vms == []


def test_each_build_is_asked_for(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal each build is named with what it left; only what was agreed to goes."""
    first, second = leave(tmp_path), leave(tmp_path, OTHER)
    answer(monkeypatch, "n\ny\n")
    said = program("leftovers", "--remove")
    assert f"Remove what build {DEAD} left ({tmp_path}/left-{DEAD})? [y/N]" in said.errors
    assert (first.exists(), second.exists()) == (True, False)


def test_unreachable_cluster(program: Program, pve: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that does not answer is told at the end, with exit code 8; what is here is listed and removed."""
    record = leave(tmp_path)
    monkeypatch.setenv("PROXMOX_VE_ENDPOINT", "https://127.0.0.1:1")
    assert "nothing listens at 127.0.0.1:1" in program("leftovers", status=8).errors
    assert "nothing listens" in program("leftovers", "--json", status=8).json()["problem"]
    said = program("leftovers", "--remove", "--yes", status=8)
    assert "nothing listens at 127.0.0.1:1" in said.errors
    assert not record.exists()


def test_record_of_what_is_gone(program: Program, pve: Any, tmp_path: Path) -> None:
    """A record of which nothing is left is not listed, and goes with --remove without a question."""
    record = leave(tmp_path, vm_id=9101, node="pve1", workspace=str(tmp_path / "gone"))
    assert program("leftovers").output == ""
    assert record.exists()
    program("leftovers", "--remove")
    assert not record.exists()


def test_what_is_doubtful_stays(program: Program, pve: Any, tmp_path: Path) -> None:
    """A VM that only the record says to be the build's is listed and stays; what is certain goes."""
    record = leave(tmp_path, vm_id=9101, node="pve1")
    pve.add_vm(9101, "web")
    said = program("leftovers", "--remove", "--yes")
    assert "its record names it" in said.output
    assert f"what build {DEAD} left is removed, but for VM 9101" in said.errors
    assert pve.vm(9101) is not None
    assert record.exists()
    again = program("leftovers", "--remove")
    assert "VM 9101" in again.output
    assert again.errors == ""


def test_refused_removal(program: Program, pve: Any, tmp_path: Path) -> None:
    """What the cluster protects stays and ends with its reason; the other builds' leftovers go."""
    leave(tmp_path, vm_id=9101, node="pve1")
    other = leave(tmp_path, OTHER)
    pve.add_vm(9101, "build", config={**tag(), "protection": "1"})
    said = program("leftovers", "--remove", "--yes", status=7)
    assert "it is protected" in said.errors
    assert not other.exists()


@pytest.mark.parametrize("options", [["--yes"], ["--remove", "--json"]])
def test_options_that_say_nothing_together(program: Program, options: list[str]) -> None:
    """--yes without --remove and --json with it are wrong usage."""
    assert "Usage: imagekit leftovers" in program("leftovers", *options, status=2).errors


@pytest.fixture
def no_packer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have builds end before they begin: what is called Packer is none."""
    monkeypatch.setenv("IMAGEKIT_PACKER", "/bin/true")


def test_build_tells_of_leftovers(program: Program, pve: Any, tmp_path: Path, no_packer: None) -> None:
    """A build for the cluster says in one line what is left there; what was kept on purpose is not mentioned."""
    leave(tmp_path, vm_id=9101, node="pve1")
    pve.add_vm(9101, "build", config=tag())
    said = program("build", "template", status=9)
    assert said.errors.startswith("note: 1 leftover on the cluster: imagekit leftovers --remove\n")
    assert "leftover" not in program("build", "template", "--source", "qemu", status=3).errors
    record = read_settings({}).state / "packer" / f"{DEAD}.json"
    record.write_text(record.read_text().replace('"kept": ""', '"kept": "to look at it"'))
    assert "leftover" not in program("build", "template", status=9).errors


def test_build_offers_to_remove(
    program: Program, pve: Any, tmp_path: Path, no_packer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal a build for the cluster asks whether the leftovers there may go, and goes on either way."""
    record = leave(tmp_path, vm_id=9101, node="pve1")
    pve.add_vm(9101, "build", config=tag())
    answer(monkeypatch, "n\n")
    assert "VM 9101 (build, stopped)" in program("build", "template", status=9).errors
    assert pve.vm(9101) is not None
    answer(monkeypatch, "y\n")
    program("build", "template", status=9)
    assert pve.vm(9101) is None
    assert not record.exists()


def test_build_goes_on_without_a_look(
    program: Program, pve: Any, no_packer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That leftovers cannot be looked for is a warning."""
    monkeypatch.setenv("PROXMOX_VE_ENDPOINT", "https://127.0.0.1:1")
    assert "warning: leftovers: nothing listens at" in program("build", "template", status=9).errors
