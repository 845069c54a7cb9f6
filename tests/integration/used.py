"""A clone of the built template, used as a person would use it, and its disk at three moments of its life."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.deliver.clone import Clone
from imagekit.deliver.local import open_clone
from imagekit.host import run
from imagekit.machine.monitor import run_through_agent

if TYPE_CHECKING:
    from tests.integration.conftest import Program

NAME = "web-1"
PASSWORD = "correct-horse-battery"
_USER_DATA = f"#cloud-config\npassword: {PASSWORD}\nchpasswd: {{expire: false}}\nssh_pwauth: true\n"
_TYPED = b"echo a line that a person typed\nexit\n"
_CLEAN = ("sudo", "cloud-init", "clean", "--logs", "--seed")


@dataclass(frozen=True, slots=True)
class Used:
    """Raw disks. The first two were taken from the running machine with its root frozen, as a hypervisor's snapshot is.

    ``booted`` has seen one boot and one login. ``cleaned`` is the same machine after ``cloud-init clean --logs
    --seed``, ``generalized`` after the same with ``--machine-id`` and a press of the power button.
    """

    machine_id: str
    booted: Path
    cleaned: Path
    generalized: Path


def use_clone(program: "Program", reference: str, place: Path) -> Used:
    """Boot a clone of ``reference``, log in, clean up twice; ``place`` gets the disks, and the clone is removed."""
    user_data = place / "user-data"
    user_data.write_text(_USER_DATA)
    try:
        made = program.json("clone", reference, NAME, "--local", "--disk", "3G", "--user-data", str(user_data))
        clone = open_clone(program.home / "state" / "imagekit" / "clones", NAME)
        ssh = shlex.split(made["ssh"])
        run([ssh[0], "-tt", *ssh[1:]], stdin=_TYPED, timeout=120)
        machine_id = run([*ssh, "cat", "/etc/machine-id"], timeout=120).output.decode().strip()
        booted = _take_frozen(clone, place / "booted.raw")
        run([*ssh, *_CLEAN], timeout=120)
        cleaned = _take_frozen(clone, place / "cleaned.raw")
        run([*ssh, *_CLEAN, "--machine-id"], timeout=120)
        program("clone", "--local", "--stop", NAME)
        generalized = _flatten(clone.directory / "disk.qcow2", place / "generalized.raw")
    finally:
        program("clone", "--local", "--remove", NAME, "--yes", check=False)  # there is none when making it failed
    return Used(machine_id, booted, cleaned, generalized)


def _take_frozen(clone: Clone, disk: Path) -> Path:
    copy = disk.with_suffix(".qcow2")
    with _frozen(clone.machine().agent_socket):
        run(["cp", "--sparse=always", str(clone.directory / "disk.qcow2"), str(copy)], timeout=120)
    _flatten(copy, disk)
    copy.unlink()
    return disk


@contextmanager
def _frozen(agent: Path) -> Iterator[None]:
    """Freeze the guest's root: what it wrote is on the disk, and its journal is empty (fsfreeze(8))."""
    assert run_through_agent(agent, "fsfreeze --freeze /", limit=4096, timeout=60).status == 0
    try:
        yield
    finally:
        assert run_through_agent(agent, "fsfreeze --unfreeze /", limit=4096, timeout=60).status == 0


def _flatten(overlay: Path, disk: Path) -> Path:
    """Write an overlay and what it lies on as one raw disk: a disk that needs another one is refused by ``verify``."""
    run(["qemu-img", "convert", "-O", "raw", str(overlay), str(disk)], timeout=300)
    return disk
