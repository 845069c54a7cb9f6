"""A template directory of the user's own, run by real Packer: its disk taken, its directory as it was before."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from imagekit.build.packer.choose import choose_road
from imagekit.build.packer.machine_readable import Artifact
from imagekit.build.packer.own import build_own_template, find_template_id, plan_own_template
from imagekit.build.packer.plan import Plan
from imagekit.build.packer.session import Session
from imagekit.build.packer.tool import PackerTool
from imagekit.definition.digests import digest_directory
from imagekit.definition.model import Builder, ImageDefinition, PackerBuild
from imagekit.errors import DefinitionInvalid, ToolFailed, VerificationFailed
from imagekit.host import run
from imagekit.image import BuiltImage
from imagekit.progress import Event
from tests.verify.clean_tree import make_disk, make_tree

_CANARY = "canary-5ecre7-of-the-shell"
_COPY = """
packer {
  required_version = ">= 1.14.0"
}
variable "disk" {
  type = string
}
variable "password" {
  type      = string
  sensitive = true
}
source "file" "disk" {
  source = var.disk
  target = "taken.qcow2"
}
build {
  sources = ["source.file.disk"]
  post-processor "shell-local" {
    inline = ["echo the password is ${var.password}", "echo left > left-behind"]
  }
}
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a qcow2 image of a disk with a system on it."""
    work = tmp_path_factory.mktemp("disk")
    make_disk(make_tree(work / "tree"), work / "disk.raw", work)
    run(
        [
            "qemu-img",
            "convert",
            "-O",
            "qcow2",
            "-f",
            "raw",
            os.fspath(work / "disk.raw"),
            os.fspath(work / "disk.qcow2"),
        ]
    )
    return work / "disk.qcow2"


@pytest.fixture
def session(packer: PackerTool, tmp_path: Path) -> Session:
    """Return what surrounds a build, with a secret in the environment."""
    return Session(packer, tmp_path / "cache", tmp_path / "state", environment={"PKR_VAR_password": _CANARY})


def define(place: Path, text: str, variables: Mapping[str, object], only: str = "") -> ImageDefinition:
    """Return a definition with a template directory of ``text``."""
    (place / "golden").mkdir()
    (place / "golden" / "golden.pkr.hcl").write_text(text)
    packer = PackerBuild(template=place / "golden", variables=variables, only=only)
    return ImageDefinition(name="web", builder=Builder.PACKER, packer=packer)


def plan(definition: ImageDefinition, session: Session, place: Path) -> Plan:
    """Have the template judged."""
    (place / "workspace").mkdir()
    road = choose_road(definition, has_cluster=False)
    return plan_own_template(definition, road, session, place / "workspace", vm_ids=None)


def test_disk_of_one_s_own_template(disk: Path, session: Session, tmp_path: Path) -> None:
    """The disk that the template makes is taken as raw, with its packages, and with the template as it was before."""
    definition = define(tmp_path, _COPY, {"disk": os.fspath(disk)})
    before = digest_directory(tmp_path / "golden")
    events: list[Event] = []
    made = plan(definition, session, tmp_path)
    assert made.warnings == ()
    assert json.loads(made.var_files[0].read_text()) == {"disk": os.fspath(disk)}
    listening = Session(
        session.tool, session.cache, session.state, environment=session.environment, progress=events.append
    )
    built = build_own_template(made, listening)
    assert isinstance(built, BuiltImage)
    assert built.disk.path == tmp_path / "workspace" / "disk.raw"
    assert built.disk.path.read_bytes() == disk.with_suffix(".raw").read_bytes()
    assert built.provenance.inputs == {
        "source": "decided by the template",
        "start": "a template directory of the user's own",
        "template": f"sha256:{before}",
    }
    assert {"packer", "packer-plugin-qemu"} <= set(built.provenance.tools)
    assert built.provenance.packages != ()
    assert not (tmp_path / "golden" / "taken.qcow2").exists()
    assert disk.is_file()
    assert list((session.state / "packer").glob("*.json")) == []
    assert "converting the disk" in [event.stage for event in events]


def test_secret_of_the_shell_reaches_packer_alone(disk: Path, session: Session, tmp_path: Path) -> None:
    """A secret of the environment is used by the template and is in no plan, variable file, log or provenance."""
    text = _COPY.replace("echo left", "test $${#PKR_VAR_password} -gt 5 && echo left")
    made = plan(define(tmp_path, text, {"disk": os.fspath(disk)}), session, tmp_path)
    assert _CANARY not in repr(made) + repr(session)
    built = build_own_template(made, session)
    assert (tmp_path / "golden" / "left-behind").is_file()  # the secret was there
    assert isinstance(built, BuiltImage)
    assert _CANARY not in repr(built)
    for path in (*(session.state / "packer-logs").iterdir(), *made.var_files):
        assert _CANARY not in path.read_text()


def test_mistakes_are_told_before_anything_runs(session: Session, tmp_path: Path) -> None:
    """A variable without a value and a source that is not there are mistakes of the definition."""
    with pytest.raises(DefinitionInvalid) as caught:
        plan(define(tmp_path, _COPY, {}, only="file.other"), session, tmp_path)
    assert caught.value.problems
    assert not (session.state / "packer").exists()


def test_template_that_makes_no_disk(session: Session, tmp_path: Path) -> None:
    """A template that makes something else is told what an image is, and nothing of the build is left."""
    (tmp_path / "notes.json").write_text("{}")
    text = _COPY.replace("taken.qcow2", "taken.json")
    made = plan(define(tmp_path, text, {"disk": os.fspath(tmp_path / "notes.json")}), session, tmp_path)
    with pytest.raises(ToolFailed, match=r"left 0 disks.*taken\.json"):
        build_own_template(made, session)
    assert list((session.state / "packer").glob("*.json")) == []


def test_disk_without_a_system(session: Session, tmp_path: Path) -> None:
    """A disk that holds no system cannot become an image."""
    (tmp_path / "noise.img").write_bytes(b"noise" * 4096)
    text = _COPY.replace("taken.qcow2", "taken.img")
    made = plan(define(tmp_path, text, {"disk": os.fspath(tmp_path / "noise.img")}), session, tmp_path)
    with pytest.raises(VerificationFailed):
        build_own_template(made, session)


def test_image_without_a_template(session: Session, tmp_path: Path) -> None:
    """An image that names no directory has none to build."""
    definition = ImageDefinition(name="web", builder=Builder.PACKER)
    with pytest.raises(DefinitionInvalid, match="names no template directory"):
        plan(definition, session, tmp_path)


def make_vm(number: str, builder: str = "proxmox.iso") -> Artifact:
    """Return an artifact as the Proxmox plugin tells it."""
    return Artifact("proxmox-iso.template", builder, number, f"A template was created: {number}", ())


def test_template_on_a_cluster_is_its_number() -> None:
    """The artifact of a Proxmox source is the id of its VM; what post-processors add is something else."""
    assert find_template_id((make_vm("9101"),)) == 9101
    assert find_template_id((make_vm("9101"), make_vm("manifest", "packer.post-processor.manifest"))) == 9101
    assert find_template_id((Artifact("qemu.x", "transcend.qemu", "VM", "", ("disk.raw",)),)) == 0
    assert find_template_id(()) == 0


@pytest.mark.parametrize(
    "made", [(make_vm("9101"), make_vm("9102", "proxmox.clone")), (make_vm("none"),), (make_vm(""),)]
)
def test_several_templates_are_none(made: tuple[Artifact, ...]) -> None:
    """Two templates, and one without a number, are refused with the way to choose."""
    with pytest.raises(ToolFailed, match=f"made {len(made)} templates") as caught:
        find_template_id(made)
    assert "packer.only" in str(caught.value.hint)
