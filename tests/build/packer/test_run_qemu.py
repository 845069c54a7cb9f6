"""Real Packer with its qemu plugin and a real, empty machine: what is kept on request, and what Ctrl-C leaves."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.build.packer.mask import Masker
from imagekit.build.packer.processes import find_processes
from imagekit.build.packer.remains import find_remains, remove_remains
from imagekit.build.packer.steps import CLEANING
from imagekit.errors import ToolFailed
from imagekit.host import run
from tests.build.packer.conftest import Builder
from tests.build.packer.test_run import act_when

pytestmark = pytest.mark.integration

_TEMPLATE = """
packer {{
  required_plugins {{
    qemu = {{
      version = ">= 1.0.9"
      source  = "github.com/hashicorp/qemu"
    }}
  }}
}}
source "qemu" "test" {{
  disk_image       = true
  iso_url          = "{place}/empty.qcow2"
  iso_checksum     = "none"
  communicator     = "none"
  accelerator      = "tcg"
  headless         = true
  memory           = 64
  boot_wait        = "-1s"
  output_directory = "{place}/workspace/output"
  cd_content       = {{ "meta-data" = "" }}
  cd_label         = "cidata"
}}
build {{
  sources = ["source.qemu.test"]
  provisioner "shell-local" {{
    inline = ["{command}"]
  }}
}}
"""


@pytest.fixture
def machine(builder: Builder) -> Iterator[Builder]:
    """Return a builder with an empty disk to start from."""
    run(["qemu-img", "create", "-q", "-f", "qcow2", os.fspath(builder.place / "empty.qcow2"), "16M"])
    yield builder
    for remains in find_remains(builder.state):
        remove_remains(remains)


def write_machine(builder: Builder, command: str) -> Builder:
    """Write the template with a provisioner that runs ``command`` on this machine."""
    return builder.write(_TEMPLATE.format(place=builder.place, command=command))


def list_machines(builder: Builder) -> list[int]:
    """Return the QEMU processes of this build."""
    names = {pid: Path(f"/proc/{pid}/comm").read_text() for pid in find_processes(builder.build_id)}
    return [pid for pid, name in names.items() if name.startswith("qemu")]


def test_failed_build_leaves_nothing(machine: Builder) -> None:
    """Without --keep a failed build's machine, output and seed CD are gone."""
    with pytest.raises(ToolFailed, match="provisioning failed"):
        write_machine(machine, "exit 3").run()
    assert not (machine.workspace / "output").exists()
    machine.assert_nothing_left()


def test_kept_machine_runs_on_until_it_is_removed(machine: Builder) -> None:
    """With --keep QEMU survives Packer, the hint says so, and the next run finds and removes it with all files."""
    with pytest.raises(ToolFailed, match="provisioning failed") as caught:
        write_machine(machine, "exit 3").run(keep=True)
    assert "the machine was left running" in str(caught.value.hint)
    assert len(list_machines(machine)) == 1
    assert (machine.workspace / "output").is_dir()
    [remains] = find_remains(machine.state)
    assert remains.record.kept.startswith("provisioning failed")
    assert list_machines(machine)[0] in remains.processes
    remove_remains(remains)
    assert find_processes(machine.build_id) == ()
    assert not machine.workspace.exists()


def test_machine_without_ssh_is_explained(machine: Builder) -> None:
    """SSH that never comes up is told with what the console says, and --keep with the way in."""
    write_machine(machine, "true")
    text = (machine.template / "test.pkr.hcl").read_text()
    serial = machine.workspace / "serial.log"
    ssh = f"""communicator = "ssh"
  ssh_username = "builder"
  ssh_password = "canarySecret"
  ssh_timeout  = "3s"
  qemuargs     = [["-serial", "file:{serial}"]]"""
    machine.write(text.replace('communicator     = "none"', ssh))
    with pytest.raises(ToolFailed, match="SSH never came up in the machine that Packer started: ") as caught:
        machine.run(
            Masker(["canarySecret"]),
            keep=True,
            serial_log=serial,
            ssh_user="builder",
            ssh_key=machine.workspace / "key",
        )
    hint = str(caught.value.hint)
    assert re.search(
        rf"ssh -p \d+ -i {machine.workspace}/key -o UserKnownHostsFile=/dev/null builder@127\.0\.0\.1", hint
    )
    assert "wrote nothing to its serial console" in caught.value.message
    assert "canarySecret" not in hint + machine.log.read_text()


@pytest.mark.parametrize("keep", [False, True])
def test_interrupt_ends_the_machine(machine: Builder, keep: bool) -> None:
    """After Ctrl-C no QEMU runs, --keep or not: who interrupts does not wait for a look."""
    begun = machine.place / "begun"
    act_when(begun.exists, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        write_machine(machine, f"touch {begun}; exec sleep 60").run(keep=keep)
    assert machine.events[-1].stage == CLEANING
    assert keep or not (machine.workspace / "output").exists()
    machine.assert_nothing_left()


def test_crash_of_packer_does_not_leave_the_machine(machine: Builder) -> None:
    """SIGKILL of Packer's inner process leaves QEMU running and status 0: it is ended, and called a failure."""
    begun = machine.place / "begun"

    def kill_inner() -> None:
        [inner] = [pid for pid in find_processes(machine.build_id) if _is_inner(pid)]
        os.kill(inner, signal.SIGKILL)

    act_when(begun.exists, kill_inner)
    with pytest.raises(ToolFailed, match="made nothing"):
        write_machine(machine, f"touch {begun}; exec sleep 60").run()
    machine.assert_nothing_left()


def _is_inner(pid: int) -> bool:
    """Say whether ``pid`` is the Packer that does the work: the build's command line, and no leader of the group."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return words[1:3] == [b"-machine-readable", b"build"] and os.getpgid(pid) != pid
