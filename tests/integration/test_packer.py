"""Real Packer with real QEMU, end to end from the command line: a version that clones, failures that leave nothing."""

import json
import os
import re
import shlex
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from imagekit.build.packer.choose import Start
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.prepare import prepare_build
from imagekit.build.packer.variables import BuildMachine, make_qemu_variables
from imagekit.definition import read_project
from imagekit.definition.digests import digest_directory
from imagekit.disk.system import open_system
from imagekit.disk.tree import FileTree, FileType
from imagekit.host import run
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.firmware import find_firmware
from tests.integration.conftest import compute_digest
from tests.integration.packing import PackerProgram

pytestmark = pytest.mark.integration

# Packer's own and QEMU's; everything else is our work before and after.
_OUR_STEPS = frozenset(
    {
        "getting ready", "preparing the build", "checking the template", "converting the disk", "computing the digest",
        "verifying", "storing the version",
    }
)  # fmt: skip
_OUR_SECONDS = 15.0  # 5 on a machine that does nothing else


def _assert_no_life_left(tree: FileTree) -> None:
    """Say that the system on a disk has never been anybody's: no account of the build, no identity, no logs."""
    accounts = (tree.read("/etc/passwd") or b"").decode()
    assert not [line for line in accounts.splitlines() if line.startswith("packer:")]
    assert tree.lstat("/home/packer") is None
    assert tree.names("/home") == ()
    assert [name for name in tree.names("/etc/ssh") if name.startswith("ssh_host_")] == []
    keys = [path for path, _ in tree.walk() if path.endswith(("authorized_keys", ".ssh"))]
    assert keys == []
    assert [name for name in tree.names("/etc/sudoers.d") if name != "README"] == []
    machine_id = tree.lstat("/etc/machine-id")
    assert machine_id is not None
    assert tree.read("/etc/machine-id") == b""
    assert tree.read("/etc/hostname") == b""
    assert tree.names("/var/lib/apt/lists") == ()
    assert [path for path, node in tree.walk("/var/log/journal") if node.type is FileType.FILE] == []
    assert tree.lstat("/var/lib/systemd/random-seed") is None
    assert tree.names("/var/lib/cloud/instances") == ()
    assert tree.names("/tmp") == tree.names("/var/tmp") == ()
    assert [path for path, node in tree.walk("/var/log") if node.type is FileType.FILE and tree.read(path)] == []


def test_build_from_the_local_builders_disk(packer_program: PackerProgram) -> None:
    """A feature, a playbook and a script, provisioned by real Packer: verified with no finding, proven by booting,
    stored with its provenance, cloned, and the clone answers; the log has no key, and nothing is left.
    """
    (packer_program.directory / "play.yml").write_text(
        "- hosts: all\n  become: true\n  gather_facts: false\n  tasks:\n"
        "    - copy: {dest: /etc/motd, content: made by a playbook}\n"
    )
    (packer_program.directory / "mark.sh").write_text("#!/bin/sh\nset -eu\nid -u > /etc/made-by-script\n")
    packer_program.define(
        '[images.template]\nbuilder = "packer"\nsize = "1500M"\nfeatures = ["node-exporter"]\n'
        '[images.template.packer]\nplaybook = "play.yml"\nscripts = ["mark.sh"]\n'
    )
    said = packer_program("build", "template", "--timings", "--json")
    document = json.loads(said.output)
    assert (document["builder"], document["added"], document["proven"]) == ("packer", True, True)
    assert "Packer builds with qemu: nothing else is given to start from" in said.errors
    steps = {step["step"]: step["seconds"] for step in document["timings"]}
    ours = sum(seconds for step, seconds in steps.items() if step in _OUR_STEPS)
    print(json.dumps({"ours": round(ours, 1), "all": round(sum(steps.values())), **steps}))  # noqa: T201 - the figures
    assert {"checking the template", "waiting for SSH", "running apply.sh", "running Ansible", "running mark.sh",
            "running finish.sh", "verifying", "booting two clones", "storing the version"} <= set(steps)  # fmt: skip
    assert ours < _OUR_SECONDS
    assert packer_program.list_left() == []

    shown = packer_program.json("show", "template")
    assert shown["report"]["findings"] == []
    _check_provenance(shown)
    with open_system(Path(shown["path"])) as tree:
        assert tree.read("/etc/motd") == b"made by a playbook"
        assert tree.read("/etc/made-by-script") == b"0\n"
        assert tree.lstat("/usr/bin/prometheus-node-exporter") is not None
        _assert_no_life_left(tree)
    (log,) = (packer_program.state / "packer-logs").glob("template-*.log")
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "PRIVATE KEY" not in log.read_text()
    assert "Connected to SSH!" in log.read_text()

    try:
        clone = packer_program.json("clone", "template", "web-1", "--local")
        answered = _enter(clone["ssh"], "hostname; cat /etc/motd; echo; systemctl is-active prometheus-node-exporter")
    finally:  # a clone that still runs would count as what the builds of the other tests left
        packer_program("clone", "--local", "--remove", "web-1", "--yes", check=False)
    assert answered.splitlines() == ["web-1", "made by a playbook", "active"]


def _check_provenance(shown: Mapping[str, Any]) -> None:
    provenance = shown["provenance"]
    assert provenance["builder"] == "packer"
    assert (provenance["inputs"]["source"], provenance["inputs"]["start"]) == ("qemu", "the local builder's disk")
    assert re.fullmatch("sha256:[0-9a-f]{64}", provenance["inputs"]["start-disk"])
    template = find_own_template("qemu")
    assert provenance["inputs"]["template"] == f"sha256:{digest_directory(template)}"
    assert provenance["inputs"]["provisioning"] == f"sha256:{digest_directory(template.parent / 'provision')}"
    assert provenance["tools"]["packer"] == "1.16.0"
    assert provenance["tools"]["packer-plugin-qemu"] == "1.0.9"
    assert {"packer-plugin-ansible", "ansible-playbook", "qemu"} <= set(provenance["tools"])
    assert not provenance["reproducible"]
    assert "prometheus-node-exporter" in {package["name"] for package in provenance["packages"]}


def _enter(command: str, words: str) -> str:
    """Run a command in a clone as a script would, by the line that was printed for it."""
    ssh, *rest = shlex.split(command)
    return run([ssh, "-o", "BatchMode=yes", *rest, words], timeout=120).output.decode()


def test_build_from_a_given_disk(packer_program: PackerProgram, given_disk: Path) -> None:
    """A disk that somebody passed on, by its digest: verified with no finding. Another digest is a sentence and exit
    code 4, before anything is started.
    """
    text = (
        '[images.given]\nbuilder = "packer"\nsize = "1500M"\n'
        'packer = {{disk = {{path = "golden.qcow2", sha256 = "{}"}}}}\n'
    )
    packer_program.define(text.format("ab" * 32))
    said = packer_program("build", "given", "--no-boot-test", check=False)
    assert said.status == 4, said.errors
    assert "what was downloaded is not what the digest says" in said.errors
    assert "starting the machine" not in said.errors
    assert packer_program.list_left() == []

    packer_program.define(text.format(compute_digest(given_disk)))
    document = packer_program.json("build", "given", "--no-boot-test")
    shown = packer_program.json("show", "given")
    assert (document["added"], shown["report"]["findings"]) == (True, [])
    assert shown["provenance"]["inputs"]["start-disk"] == f"sha256:{compute_digest(given_disk)}"
    with open_system(Path(shown["path"])) as tree:
        _assert_no_life_left(tree)
    assert given_disk.is_file()
    assert packer_program.list_left() == []


def _write_vars(values: Mapping[str, object]) -> str:
    """Return values as an inline table of TOML, which writes them as JSON does."""
    return "{" + ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items()) + "}"


def test_template_of_one_s_own(packer_program: PackerProgram, raw_disk: Path) -> None:
    """A template directory with a source as its owner wrote it gives a version; what Packer left in it is gone, so
    that the next build is possible. The machine has nothing to start and turns itself off.
    """
    own = packer_program.directory / "golden"
    own.mkdir()
    (own / "golden.pkr.hcl").write_text(_OWN_TEMPLATE)
    wanted = _write_vars({"disk": os.fspath(raw_disk)})
    packer_program.define(
        f'[images.own]\nbuilder = "packer"\nsize = "1500M"\npacker = {{template = "golden", vars = {wanted}}}\n'
    )
    before = sorted(path.name for path in own.iterdir())
    for added in (True, False):
        document = packer_program.json("build", "own", "--no-boot-test")
        assert document["added"] is added  # the same bytes again
        assert sorted(path.name for path in own.iterdir()) == before
    shown = packer_program.json("show", "own")
    assert shown["report"]["findings"] == []
    assert shown["provenance"]["inputs"]["template"] == f"sha256:{digest_directory(own)}"
    assert shown["provenance"]["inputs"]["start"] == "a template directory of the user's own"
    assert compute_digest(Path(shown["path"])) == compute_digest(raw_disk)
    assert packer_program.list_left() == []


_OWN_TEMPLATE = """
packer {
  required_version = ">= 1.14.0"
  required_plugins {
    qemu = {
      source  = "github.com/hashicorp/qemu"
      version = ">= 1.0.9"
    }
  }
}

variable "disk" {
  type = string
}

source "qemu" "golden" {
  disk_image       = true
  iso_url          = var.disk
  iso_checksum     = "none"
  disk_size        = "1500M"
  format           = "qcow2"
  accelerator      = "tcg"
  machine_type     = "pc"
  memory           = 512
  disk_interface   = "virtio"
  headless         = true
  disable_vnc      = true
  boot_wait        = "-1s"
  output_directory = "output"
  vm_name          = "golden-1.0"
  communicator     = "none"
  shutdown_timeout = "1m"
  # The one device that may start has nothing to start: the BIOS gives up, and QEMU ends instead of trying again.
  qemuargs = [
    ["-device", "virtio-net-pci,netdev=user.0,romfile=,bootindex=1"],
    ["-netdev", "user,id=user.0"],
    ["-boot", "strict=on,reboot-timeout=100"],
    ["-no-reboot", ""],
  ]
}

build {
  sources = ["source.qemu.golden"]
}
"""


def test_what_the_last_step_is_for(packer_program: PackerProgram, raw_disk: Path) -> None:
    """A copy of our template whose last step only turns the machine off: verification finds what was left, each thing
    by its check, and nothing is stored.
    """
    own = packer_program.directory / "dirty"
    shutil.copytree(find_own_template("qemu"), own / "qemu")
    shutil.copytree(find_own_template("qemu").parent / "provision", own / "provision")
    (own / "provision" / "finish.sh").write_text(
        "#!/bin/sh\nset -eu\nsync\nsystemd-run --quiet --on-active=2 poweroff\n"
    )
    place = packer_program.directory / "parts"
    place.mkdir()
    packer_program.define('[images.dirty]\nbuilder = "packer"\nsize = "1500M"\n')
    definition = read_project(packer_program.directory).find_image("dirty")
    prepare_build(place, definition, Start.LOCAL_DISK, "by-hand")
    machine = BuildMachine(Accelerator.TCG, find_firmware())
    image = (os.fspath(raw_disk), "none")
    values = make_qemu_variables(definition, Start.LOCAL_DISK, place, machine, image=image)
    values |= {"output_directory": "output", "disk_name": "disk"}
    packer_program.define(
        '[images.dirty]\nbuilder = "packer"\nsize = "1500M"\n'
        f'packer = {{template = "dirty/qemu", vars = {_write_vars(values)}}}\n'
    )
    said = packer_program("build", "dirty", "--no-boot-test", "--json", check=False)
    assert said.status == 5, said.errors
    report = json.loads(said.output)["report"]
    failed = {finding["check"] for finding in report["findings"] if finding["severity"] == "fail"}
    print(f"failed: {' '.join(sorted(failed))}")  # noqa: T201 - the whole list, for the record
    assert failed >= _DIRT
    assert packer_program("show", "dirty", check=False).status != 0
    assert not (own / "qemu" / "output").exists()
    assert packer_program.list_left() == []


# What only a machine that ran has, and what the last step takes away; there may be more of it.
_DIRT = frozenset({"authorized-keys", "build-user", "cloud-init-state", "machine-id", "net-bound", "ssh-host-keys"})
