"""Our own qemu template with every kind of start: made ready in a workspace, judged by the lint and by real Packer."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build.packer.choose import Road, Start, choose_road
from imagekit.build.packer.lint import lint_template
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.plan import Plan
from imagekit.build.packer.qemu import plan_by_qemu
from imagekit.build.packer.session import Session
from imagekit.build.packer.tool import PackerTool
from imagekit.build.packer.variables import BuildMachine
from imagekit.definition.model import (
    GIB,
    Base,
    Builder,
    Feature,
    ImageDefinition,
    MachineType,
    Medium,
    PackerBuild,
    PackerSource,
    Release,
    User,
)
from imagekit.errors import ToolMissing
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.firmware import find_firmware
from imagekit.progress import Event

_CONTENT = b"disk" * 1024


@pytest.fixture
def medium(tmp_path: Path) -> Medium:
    """Return a file that passes for a disk or an ISO, with its digest."""
    path = tmp_path / "media, with a comma" / "medium.img"
    path.parent.mkdir()
    path.write_bytes(_CONTENT)
    return Medium(hashlib.sha256(_CONTENT).hexdigest(), path=path)


@pytest.fixture
def session(packer: PackerTool, tmp_path: Path) -> Session:
    """Return what surrounds a build, in places of this test's own."""
    return Session(packer, tmp_path / "cache", tmp_path / "state")


def define(release: Release, packer: PackerBuild) -> ImageDefinition:
    """Return a definition that Packer builds, with something to add."""
    return ImageDefinition(
        name="web", builder=Builder.PACKER, base=Base(release.distribution, release), packer=packer, size=8 * GIB,
        features=(Feature.NODE_EXPORTER,), users=(User("deploy"),),
    )  # fmt: skip


def plan(
    definition: ImageDefinition, session: Session, place: Path, accelerator: Accelerator = Accelerator.TCG
) -> tuple[Plan, Road]:
    """Make a build ready in a workspace of its own and have it judged."""
    workspace = place / "workspace"
    workspace.mkdir(exist_ok=True)
    road = choose_road(definition, has_cluster=False)
    machine = BuildMachine(accelerator, find_firmware())
    return plan_by_qemu(definition, road, session, workspace, machine), road


def assert_no_mistake(made: Plan) -> None:
    """Say that neither Packer nor any rule of the lint, warnings included, has a word about what was planned."""
    assert made.warnings == ()
    (variables,) = made.var_files
    values = json.loads(variables.read_text())
    assert lint_template(find_own_template("qemu"), values=values) == ()
    assert lint_template(made.template, values=values, only="qemu.template") == ()


@pytest.mark.parametrize("release", [Release.BOOKWORM, Release.TRIXIE])
@pytest.mark.parametrize("board", list(MachineType))
def test_local_disk_has_no_mistake(release: Release, board: MachineType, session: Session, tmp_path: Path) -> None:
    """From the local builder's disk: accepted by Packer in full before that disk is made, without a warning."""
    made, road = plan(replace(define(release, PackerBuild()), machine=board), session, tmp_path)
    assert (road.start, road.source) == (Start.LOCAL_DISK, PackerSource.QEMU)
    assert_no_mistake(made)


@pytest.mark.parametrize("release", list(Release))
def test_given_disk_has_no_mistake(release: Release, medium: Medium, session: Session, tmp_path: Path) -> None:
    """From a disk that is given with its digest, of every distribution."""
    made, road = plan(define(release, PackerBuild(disk=medium)), session, tmp_path)
    assert road.start is Start.GIVEN_DISK
    assert_no_mistake(made)
    assert made.inputs == {"start-disk": f"sha256:{medium.sha256}"}


@pytest.mark.parametrize("release", list(Release))
@pytest.mark.parametrize("accelerator", [Accelerator.TCG, Accelerator.KVM])
def test_installer_has_no_mistake(
    release: Release, accelerator: Accelerator, medium: Medium, session: Session, tmp_path: Path
) -> None:
    """From an ISO of every release, with its boot command and the waits of emulation and of an accelerator."""
    made, road = plan(define(release, PackerBuild(iso=medium)), session, tmp_path, accelerator)
    assert road.start is Start.INSTALLER
    assert_no_mistake(made)


def test_everything_at_once_has_no_mistake(medium: Medium, session: Session, tmp_path: Path) -> None:
    """With a playbook, its ansible.cfg and scripts as well."""
    for name in ("play.yml", "ansible.cfg", "a.sh", "b.sh"):
        (tmp_path / name).write_text("")
    (tmp_path / "play.yml").write_text("- hosts: all\n")
    brought = PackerBuild(disk=medium, playbook=tmp_path / "play.yml", scripts=(tmp_path / "b.sh", tmp_path / "a.sh"))
    made, _ = plan(define(Release.BOOKWORM, brought), session, tmp_path)
    assert_no_mistake(made)


def test_url_needs_no_network_to_be_judged(session: Session, tmp_path: Path) -> None:
    """A disk that is to be downloaded is not asked for before the build."""
    medium = Medium("ab" * 32, url="https://cloud.example/debian-12-genericcloud-amd64.qcow2")
    made, _ = plan(define(Release.BOOKWORM, PackerBuild(disk=medium)), session, tmp_path)
    assert_no_mistake(made)


def test_other_file_than_the_digest_says_is_for_packer(medium: Medium, session: Session, tmp_path: Path) -> None:
    """A medium with another digest is accepted here: reading gigabytes is Packer's first step, which stops it."""
    other = replace(medium, sha256="ab" * 32)
    made, _ = plan(define(Release.BOOKWORM, PackerBuild(disk=other)), session, tmp_path)
    assert_no_mistake(made)


def test_missing_plugin_is_told_first(packer: PackerTool, tmp_path: Path) -> None:
    """Without the qemu plugin nothing is made ready."""
    (tmp_path / "plugins").mkdir()
    bare = PackerTool(packer.program, packer.version, tmp_path / "plugins", {}, packer.cache)
    session = Session(bare, tmp_path / "cache", tmp_path / "state")
    with pytest.raises(ToolMissing, match=r"github\.com/hashicorp/qemu"):
        plan(define(Release.BOOKWORM, PackerBuild()), session, tmp_path)
    assert list((tmp_path / "workspace").iterdir()) == []


def test_planning_leaves_only_the_workspace(session: Session, tmp_path: Path) -> None:
    """A plan makes nothing outside its workspace: no record of a build, no process, no output."""
    events: list[Event] = []
    made, _ = plan(define(Release.BOOKWORM, PackerBuild()), replace(session, progress=events.append), tmp_path)
    names: Sequence[str] = sorted(path.name for path in made.workspace.iterdir())
    assert names == ["key", "payload.tar", "seed.iso", "start.img", "variables.json"]
    assert not (tmp_path / "state").exists()
    assert [event.stage for event in events] == ["preparing the build", "checking the template"]
