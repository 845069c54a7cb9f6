"""The tiny flake through a real Vagrant; run by name, since pytest does not collect this file.

    .venv/bin/pytest -m integration tests/integration/vagrant.py

It needs root, since libvirt's network does, packages ``vagrant``, ``vagrant-libvirt``, ``libvirt-daemon-system``,
``dnsmasq-base``, ``iptables``, ``ovmf`` and ``nix-bin``, and half an hour without hardware acceleration, which is never
used, so that every machine gives the same. The box is imagekit's own template with Nix in it.
"""

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.build.vagrant.machine_readable import find_datum, parse_output
from imagekit.host import run
from tests import tiny
from tests.build.vagrant.stand_in import RECORDED
from tests.integration.hypervisor import Hypervisor, lead_to_vm, make_box, start_hypervisor
from tests.integration.nix_program import NixProgram, make_project

pytestmark = pytest.mark.integration

_UP_SECONDS = 1500


@pytest.fixture(scope="module")
def hypervisor() -> Iterator[Hypervisor]:
    """Run libvirt, where there is none, and leave nothing in it."""
    with start_hypervisor() as running:
        yield running


@pytest.fixture(scope="module")
def program(hypervisor: Hypervisor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[NixProgram]:
    """Return imagekit in a project with the tiny flake, for which a VM of our own box is the builder."""
    place = tmp_path_factory.mktemp("vagrant")
    (place / "box").mkdir()
    box = make_box(place / "box")
    # In a place that QEMU's user can reach: the box's disk is read by libvirt itself, but its log names it.
    made = make_project(place, lead_to_vm(hypervisor, box, place / "vagrant-home"))
    box.unlink()
    yield made
    made("vm", "destroy", "--yes", check=False, timeout=600)


def _read_state(program: NixProgram) -> str:
    return str(program.json("vm", "status")["state"])


def test_vm_is_made_and_entered(program: NixProgram, hypervisor: Hypervisor) -> None:
    """`vm up` makes it and leaves it up, with a Nix that has flakes; its root has the disk that was asked for."""
    assert _read_state(program) == "absent"
    said = program("vm", "up", timeout=_UP_SECONDS)
    for step in ("making the VM", "booting the VM", "preparing the VM", "the VM is running (libvirt)"):
        assert step in said.errors
    assert _read_state(program) == "running"
    assert "-builder" in hypervisor.ask("list", "--name")
    shown = program("vm", "ssh", "--", "nix", "show-config").output.decode()
    config = dict(line.split(" = ", 1) for line in shown.splitlines() if " = " in line)
    assert {"flakes", "nix-command"} <= set(config["experimental-features"].split())
    assert "vagrant" in config["trusted-users"].split()
    assert "aarch64-linux" in config["extra-platforms"].split()
    size = program("vm", "ssh", "--", "df", "--output=size", "-B1G", "/").output.split()[-1]
    assert 18 <= int(size) <= 20


def test_start_again_changes_nothing(program: NixProgram) -> None:
    """A second `vm up` finds all done, and writes no settings anew."""
    asked = ("vm", "ssh", "--", "stat", "-c", "%y", "/etc/nix/imagekit.conf", "/etc/nix/nix.conf")
    before = program(*asked).output
    program("vm", "up", timeout=_UP_SECONDS)
    assert program(*asked).output == before


def test_build_uses_the_running_vm(program: NixProgram) -> None:
    """The tiny flake becomes a version, built over SSH in the VM, which stays up as it was."""
    said = program("build", "pihole", "--builder", "vagrant", timeout=_UP_SECONDS)
    assert said.output.decode().startswith("pihole@")
    assert _read_state(program) == "running"
    provenance = program.json("show", "pihole")["provenance"]
    assert provenance["inputs"]["image"] == tiny.IMAGE_NAME.format(system=tiny.OTHER_SYSTEM)
    left = program("vm", "ssh", "--", "ls", "-A", ".cache/imagekit/builds").output
    assert left == b""


def test_recordings_are_what_vagrant_says(program: NixProgram) -> None:
    """Status of a running and of a stopped VM, the way in, and halting have the recordings' kinds and keys."""
    directory = Path(program.json("vm", "status")["directory"])
    environment = {
        **program.environment(),
        "VAGRANT_CWD": str(directory),
        "VAGRANT_DOTFILE_PATH": str(directory / ".vagrant"),
        "VAGRANT_NO_COLOR": "1",
    }

    def ask(*arguments: str) -> bytes:
        return run(["vagrant", *arguments], environment=environment, timeout=600).output

    def shape(output: bytes) -> list[tuple[str, str]]:
        return [(line.target, line.kind) for line in parse_output(output)]

    def keywords(output: bytes) -> list[str]:
        return re.findall(r"^ *(\w+) ", output.decode(), re.MULTILINE)

    status, way_in = ask("status", "--machine-readable"), ask("ssh-config")
    assert shape(status) == shape((RECORDED / "status-running.txt").read_bytes())
    assert keywords(way_in) == keywords((RECORDED / "ssh-config.txt").read_bytes())
    assert shape(ask("halt", "--machine-readable")) == shape((RECORDED / "halt.txt").read_bytes())
    stopped = ask("status", "--machine-readable")
    assert shape(stopped) == shape((RECORDED / "status-shutoff.txt").read_bytes())
    assert find_datum(parse_output(stopped), "state") == "shutoff"
    assert _read_state(program) == "stopped"


def test_failed_build_halts_what_a_killed_one_left(program: NixProgram, hypervisor: Hypervisor) -> None:
    """kill -9 leaves the VM running, since nobody is there to halt it; the next build does, although it fails."""
    started = program.start("build", "pihole", "--builder", "vagrant")
    started.wait_for("booting the VM", timeout=300)
    time.sleep(5)
    started.process.signal(signal.SIGKILL)
    assert started.wait(timeout=60) == -signal.SIGKILL
    assert "-builder" in hypervisor.ask("list", "--name")
    definition = program.directory / "imagekit.toml"
    text = definition.read_text()
    definition.write_text(text.replace('flake = "flake"', f'flake = "flake"\nattribute = "{tiny.BROKEN}"'))
    try:
        said = program("build", "pihole", "--builder", "vagrant", check=False, timeout=_UP_SECONDS)
    finally:
        definition.write_text(text)
    assert said.status == 4, said.errors
    assert _read_state(program) == "stopped"


def test_build_starts_and_halts_the_vm(program: NixProgram) -> None:
    """With the VM stopped, a build starts it and halts it; its Nix store was kept, so nothing is built again."""
    assert _read_state(program) == "stopped"
    said = program("build", "pihole", "--builder", "vagrant", timeout=_UP_SECONDS)
    assert "the same content is stored already" in said.errors
    assert _read_state(program) == "stopped"


def test_interrupted_start_leaves_nothing_running(program: NixProgram, hypervisor: Hypervisor) -> None:
    """Ctrl-C while the VM boots: exit code 130, and the VM is off."""
    started = program.start("build", "pihole", "--builder", "vagrant")
    started.wait_for("booting the VM", timeout=300)
    time.sleep(5)
    started.process.signal(signal.SIGINT)
    assert started.wait(timeout=600) == 130
    assert _read_state(program) == "stopped"
    assert hypervisor.ask("list", "--name").strip() == ""


def test_vm_is_removed(program: NixProgram, hypervisor: Hypervisor) -> None:
    """Machine and disk are gone; only the box's own image stays, which the next VM is made of."""
    program("vm", "destroy", "--yes", timeout=600)
    assert _read_state(program) == "absent"
    assert hypervisor.ask("list", "--all", "--name").strip() == ""
    assert not [path for path in hypervisor.directory.iterdir() if path.name.endswith("-builder.img")]
