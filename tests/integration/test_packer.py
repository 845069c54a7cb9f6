"""Real Packer with real QEMU, end to end from the command line: a version that clones, failures that leave nothing."""

import hashlib
import json
import os
import re
import shutil
import signal
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from imagekit.build.packer.choose import Start
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.prepare import prepare_build
from imagekit.build.packer.processes import MARK
from imagekit.build.packer.variables import BuildMachine, make_qemu_variables
from imagekit.definition import read_project
from imagekit.definition.digests import digest_directory
from imagekit.disk.system import open_system
from imagekit.disk.tree import FileTree
from imagekit.host import run
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.firmware import find_firmware
from tests.integration.conftest import Program, Started
from tests.packer_tools import find_packer_tools

pytestmark = pytest.mark.integration

# Read at import: every test then gets a home of its own.
_BUILT = os.environ.get("IMAGEKIT_TEST_PACKER", "")
# Packer's own and QEMU's; everything else is our work before and after.
_OUR_STEPS = frozenset(
    {
        "getting ready", "preparing the build", "checking the template", "converting the disk", "computing the digest",
        "verifying", "storing the version",
    }
)  # fmt: skip
_OUR_SECONDS = 15.0  # 5 on a machine that does nothing else
_SETTLE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class PackerProgram(Program):
    """imagekit that finds the Packer that tests use."""

    def environment(self) -> Mapping[str, str]:
        """Return the places of the program, and where Packer is."""
        tools = Path(_BUILT) if _BUILT else find_packer_tools().plugins.parent
        places = {"IMAGEKIT_PACKER": tools / "bin/packer", "PACKER_PLUGIN_PATH": tools / "plugins"}
        return {**Program.environment(self), **{name: os.fspath(place) for name, place in places.items()}}

    @property
    def state(self) -> Path:
        """Return where the program keeps its state."""
        return self.home / "state" / "imagekit"

    def define(self, text: str) -> None:
        """Write the project's definition."""
        (self.directory / "imagekit.toml").write_text(text)

    def list_left(self) -> list[str]:
        """Return what builds have left: records, workspaces, private directories, processes, once they have settled."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while True:
            records = [path.name for path in (self.state / "packer").glob("*.json")]
            builds = [path.name for path in (self.cache / "builds").glob("*") if path.is_dir()]
            left = [*records, *builds, *_list_processes(self.home, self.cache)]
            if not left or time.monotonic() > deadline:
                return left
            time.sleep(0.2)


def _list_processes(*places: Path) -> list[str]:
    """Return every process with the mark of a build or with one of ``places`` in its arguments."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (process / "cmdline").read_bytes()
            if int(process.name) != os.getpid() and any(os.fsencode(place) in arguments for place in places):
                found.append(f"{process.name}: {arguments[:200]!r}")
        except OSError:
            continue
    return found


def _find_marked(build_id: str) -> list[int]:
    """Return the processes of one build, Packer's and QEMU's."""
    mark = f"{MARK}={build_id}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "environ").read_bytes().split(b"\0"):
                found.append(int(process.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def program(warm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PackerProgram]:
    """Return a program with an empty store and a warm cache; its clones are removed afterwards."""
    home = tmp_path_factory.mktemp("packer")
    (home / "project").mkdir()
    made = PackerProgram(home, home / "project", warm_cache)
    yield made
    for one in made.json("clone", "--local", "--list")["clones"]:
        made("clone", "--local", "--remove", one["name"], "--yes")


@pytest.fixture(scope="module")
def raw_disk(program: PackerProgram) -> Path:
    """Return the local builder's disk of a plain template; nobody writes to it."""
    program.define('[images.plain]\nbuilder = "local"\nsize = "1500M"\n')
    program("build", "plain", "--no-boot-test")
    return Path(program.json("show", "plain")["path"])


@pytest.fixture(scope="module")
def given_disk(raw_disk: Path, program: PackerProgram) -> Path:
    """Return that disk as people pass disks on: qcow2, compressed."""
    path = program.directory / "golden.qcow2"
    run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", os.fspath(raw_disk), os.fspath(path)])
    return path


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
    assert [path for path, node in tree.walk("/var/log/journal") if node.is_file] == []
    assert tree.lstat("/var/lib/systemd/random-seed") is None
    assert tree.names("/var/lib/cloud/instances") == ()
    assert tree.names("/tmp") == tree.names("/var/tmp") == ()  # noqa: S108 - the image's, not this machine's
    assert [path for path, node in tree.walk("/var/log") if node.is_file and tree.read(path)] == []


def test_build_from_the_local_builders_disk(program: PackerProgram) -> None:
    """A feature, a playbook and a script, provisioned by real Packer: verified with no finding, proven by booting,
    stored with its provenance, cloned, and the clone answers; the log has no key, and nothing is left.
    """
    (program.directory / "play.yml").write_text(
        "- hosts: all\n  become: true\n  gather_facts: false\n  tasks:\n"
        "    - copy: {dest: /etc/motd, content: made by a playbook}\n"
    )
    (program.directory / "mark.sh").write_text("#!/bin/sh\nset -eu\nid -u > /etc/made-by-script\n")
    program.define(
        '[images.template]\nbuilder = "packer"\nsize = "1500M"\nfeatures = ["node-exporter"]\n'
        '[images.template.packer]\nplaybook = "play.yml"\nscripts = ["mark.sh"]\n'
    )
    said = program("build", "template", "--timings", "--json")
    document = json.loads(said.output)
    assert (document["builder"], document["added"], document["proven"]) == ("packer", True, True)
    assert "Packer builds with qemu: nothing else is given to start from" in said.errors
    steps = {step["step"]: step["seconds"] for step in document["timings"]}
    ours = sum(seconds for step, seconds in steps.items() if step in _OUR_STEPS)
    print(json.dumps({"ours": round(ours, 1), "all": round(sum(steps.values())), **steps}))  # noqa: T201 - the figures
    assert {"checking the template", "waiting for SSH", "running apply.sh", "running Ansible", "running mark.sh",
            "running finish.sh", "verifying", "booting two clones", "storing the version"} <= set(steps)  # fmt: skip
    assert ours < _OUR_SECONDS
    assert program.list_left() == []

    shown = program.json("show", "template")
    assert shown["report"]["findings"] == []
    _check_provenance(shown)
    with open_system(Path(shown["path"])) as tree:
        assert tree.read("/etc/motd") == b"made by a playbook"
        assert tree.read("/etc/made-by-script") == b"0\n"
        assert tree.lstat("/usr/bin/prometheus-node-exporter") is not None
        _assert_no_life_left(tree)
    (log,) = (program.state / "packer-logs").iterdir()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert "PRIVATE KEY" not in log.read_text()
    assert "Connected to SSH!" in log.read_text()

    clone = program.json("clone", "template", "web-1", "--local")
    answered = _enter(clone["ssh"], "hostname; cat /etc/motd; systemctl is-active prometheus-node-exporter")
    assert answered.splitlines() == ["web-1", "made by a playbook", "active"]
    program("clone", "--local", "--remove", "web-1", "--yes")


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
    ssh, *rest = command.split()
    return run([ssh, "-o", "BatchMode=yes", *rest, words], timeout=120).output.decode()


def test_build_from_a_given_disk(program: PackerProgram, given_disk: Path) -> None:
    """A disk that somebody passed on, by its digest: verified with no finding. Another digest is a sentence and exit
    code 4, before anything is started.
    """
    text = '[images.given]\nbuilder = "packer"\nsize = "1500M"\npacker = {{disk = {{path = "golden.qcow2", sha256 = "{}"}}}}\n'
    program.define(text.format("ab" * 32))
    said = program("build", "given", "--no-boot-test", check=False)
    assert said.status == 4, said.errors
    assert "what was downloaded is not what the digest says" in said.errors
    assert "starting the machine" not in said.errors
    assert program.list_left() == []

    program.define(text.format(_digest(given_disk)))
    document = program.json("build", "given", "--no-boot-test")
    shown = program.json("show", "given")
    assert (document["added"], shown["report"]["findings"]) == (True, [])
    assert shown["provenance"]["inputs"]["start-disk"] == f"sha256:{_digest(given_disk)}"
    with open_system(Path(shown["path"])) as tree:
        _assert_no_life_left(tree)
    assert given_disk.is_file()
    assert program.list_left() == []


def _write_vars(values: Mapping[str, object]) -> str:
    """Return values as an inline table of TOML, which writes them as JSON does."""
    return "{" + ", ".join(f"{name} = {json.dumps(value)}" for name, value in values.items()) + "}"


def test_template_of_one_s_own(program: PackerProgram, raw_disk: Path) -> None:
    """A template directory with a source as its owner wrote it gives a version; what Packer left in it is gone, so
    that the next build is possible. The machine has nothing to start and turns itself off.
    """
    own = program.directory / "golden"
    own.mkdir()
    (own / "golden.pkr.hcl").write_text(_OWN_TEMPLATE)
    wanted = _write_vars({"disk": os.fspath(raw_disk)})
    program.define(
        f'[images.own]\nbuilder = "packer"\nsize = "1500M"\npacker = {{template = "golden", vars = {wanted}}}\n'
    )
    before = sorted(path.name for path in own.iterdir())
    for added in (True, False):
        document = program.json("build", "own", "--no-boot-test")
        assert document["added"] is added  # the same bytes again
        assert sorted(path.name for path in own.iterdir()) == before
    shown = program.json("show", "own")
    assert shown["report"]["findings"] == []
    assert shown["provenance"]["inputs"]["template"] == f"sha256:{digest_directory(own)}"
    assert shown["provenance"]["inputs"]["start"] == "a template directory of the user's own"
    assert _digest(Path(shown["path"])) == _digest(raw_disk)
    assert program.list_left() == []


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


def test_what_the_last_step_is_for(program: PackerProgram, raw_disk: Path) -> None:
    """A copy of our template whose last step only turns the machine off: verification finds what was left, each thing
    by its check, and nothing is stored.
    """
    own = program.directory / "dirty"
    shutil.copytree(find_own_template("qemu"), own / "qemu")
    shutil.copytree(find_own_template("qemu").parent / "provision", own / "provision")
    (own / "provision" / "finish.sh").write_text("#!/bin/sh\nset -eu\nsync\nsystemd-run --quiet --on-active=2 poweroff\n")
    place = program.directory / "parts"
    place.mkdir()
    program.define('[images.dirty]\nbuilder = "packer"\nsize = "1500M"\n')
    definition = read_project(program.directory).find_image("dirty")
    prepare_build(place, definition, Start.LOCAL_DISK, "by-hand")
    machine = BuildMachine(Accelerator.TCG, find_firmware())
    image = (os.fspath(raw_disk), "none")
    values = make_qemu_variables(definition, Start.LOCAL_DISK, place, machine, image=image)
    values |= {"output_directory": "output", "disk_name": "disk"}
    program.define(
        '[images.dirty]\nbuilder = "packer"\nsize = "1500M"\n'
        f'packer = {{template = "dirty/qemu", vars = {_write_vars(values)}}}\n'
    )
    said = program("build", "dirty", "--no-boot-test", "--json", check=False)
    assert said.status == 5, said.errors
    report = json.loads(said.output)["report"]
    failed = {finding["check"] for finding in report["findings"] if finding["severity"] == "fail"}
    assert failed >= _DIRT, sorted(failed)
    assert program("show", "dirty", check=False).status != 0
    assert not (own / "qemu" / "output").exists()
    assert program.list_left() == []


_DIRT = frozenset({"machine-id"})


def test_provisioner_that_fails(program: PackerProgram, tmp_path: Path) -> None:
    """A provisioner that fails is exit code 4 with its last lines and the log's place; nothing is left."""
    _write_shell(program, "failing", "echo this is the reason >&2", "exit 7")
    said = program("build", "failing", check=False)
    assert said.status == 4
    assert "this is the reason" in said.errors
    assert "provisioning failed" in said.errors
    (log,) = (program.state / "packer-logs").glob("failing-*.log")
    assert str(log) in said.errors
    assert "this is the reason" in log.read_text()
    assert program.list_left() == []


def _write_shell(program: PackerProgram, name: str, *lines: str) -> None:
    """Define an image whose template runs ``lines`` on this machine and starts none."""
    own = program.directory / name
    own.mkdir(exist_ok=True)
    inline = ", ".join(map(json.dumps, lines))
    (own / "main.pkr.hcl").write_text(
        'packer {\n  required_version = ">= 1.14.0"\n}\nsource "null" "test" {\n  communicator = "none"\n}\nbuild {\n  sources = ["source.null.test"]\n'
        f'  provisioner "shell-local" {{\n    inline = [{inline}]\n  }}\n}}\n'
    )
    program.define(f'[images.{name}]\nbuilder = "packer"\npacker = {{template = "{name}"}}\n')


@pytest.fixture
def started() -> Iterator[list[Started]]:
    """Collect what was started; what still runs in the end is killed."""
    running: list[Started] = []
    yield running
    for one in running:
        if one.process.is_alive():
            os.kill(one.process.pid, signal.SIGKILL)
            one.wait(30)


def _find_build_id(program: PackerProgram) -> str:
    (record,) = (program.state / "packer").glob("*.json")
    return record.stem


def _kill_everything(started: Started, program: PackerProgram) -> list[int]:
    """Kill imagekit and Packer's own processes as a machine that runs out of memory would; return what still runs."""
    build_id = _find_build_id(program)
    os.kill(started.process.pid, signal.SIGSTOP)  # it shall not see Packer die
    for pid in _find_marked(build_id):
        if Path(f"/proc/{pid}/exe").resolve().name.startswith("packer"):
            os.kill(pid, signal.SIGKILL)
    os.kill(started.process.pid, signal.SIGKILL)
    started.wait(30)
    return _find_marked(build_id)


def test_killed_while_provisioning(program: PackerProgram, started: list[Started]) -> None:
    """After kill -9 of imagekit in the middle of provisioning, Packer cleans up; after kill -9 of both, the next run
    finds the record, ends what still runs, and removes all of it.
    """
    _write_shell(program, "killed", "echo begun", "sleep 300")
    first = program.start("build", "killed")
    started.append(first)
    first.wait_for("running an inline script", 60)
    os.kill(first.process.pid, signal.SIGKILL)
    assert first.wait(30) == -signal.SIGKILL

    second = program.start("build", "killed")
    started.append(second)
    second.wait_for("running an inline script", 60)
    assert len(list((program.state / "packer").glob("*.json"))) == 1  # its own: that of the first is gone
    assert _kill_everything(second, program) != []  # the script sleeps on

    _write_shell(program, "failing", "exit 7")
    assert program("build", "failing", check=False).status == 4
    assert program.list_left() == []


def test_killed_while_a_machine_runs(
    program: PackerProgram, given_disk: Path, started: list[Started]
) -> None:
    """After kill -9 of imagekit and Packer while QEMU runs, the next run ends QEMU and removes its files."""
    program.define(
        '[images.given]\nbuilder = "packer"\nsize = "1500M"\n'
        f'packer = {{disk = {{path = "golden.qcow2", sha256 = "{_digest(given_disk)}"}}}}\n'
    )
    build = program.start("build", "given", "--no-boot-test")
    started.append(build)
    build.wait_for("waiting for SSH", 120)
    left = _kill_everything(build, program)
    assert [pid for pid in left if Path(f"/proc/{pid}/exe").resolve().name.startswith("qemu-system")] != []
    _write_shell(program, "failing", "exit 7")
    assert program("build", "failing", check=False).status == 4
    assert program.list_left() == []
