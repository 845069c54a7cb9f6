"""How an image came to be, written down: template, tools, start; the same for the same, other for other."""

import shutil
from pathlib import Path

import pytest

from imagekit.build.packer.choose import Road, Start
from imagekit.build.packer.own_templates import find_own_template
from imagekit.build.packer.record import record_build
from imagekit.build.packer.tool import PackerTool
from imagekit.definition.model import Builder, ImageDefinition, PackerBuild, PackerSource
from imagekit.host import run
from imagekit.image import Package, Provenance

_TOOL = PackerTool(
    Path("/opt/packer"), "1.16.0", None,
    {"github.com/hashicorp/qemu": "1.0.9", "github.com/hashicorp/proxmox": "1.2.3"}, None,
)  # fmt: skip
_HERE = Road(PackerSource.QEMU, Start.LOCAL_DISK, "a test")
_THERE = Road(PackerSource.PROXMOX_CLONE, Start.CLONE, "a test")
_PACKAGES = (Package("bash", "5.2-1", "amd64"),)


def record(road: Road, template: Path, project: Path | None = None, packer: PackerBuild | None = None) -> Provenance:
    """Write down a build of a small definition."""
    definition = ImageDefinition(name="web", builder=Builder.PACKER, packer=packer or PackerBuild())
    return record_build(definition, road, _TOOL, template, _PACKAGES, {"start-disk": "sha256:12"}, project)


@pytest.fixture
def templates(tmp_path: Path) -> Path:
    """Return a copy of our templates that may be changed."""
    return Path(shutil.copytree(find_own_template("qemu").parent, tmp_path / "packer"))


def test_build_here_is_written_down() -> None:
    """Source, start and its digest, template, provisioning, Packer, plugins and QEMU are in it."""
    made = record(_HERE, find_own_template("qemu"))
    assert (made.builder, made.reproducible, made.git_commit) == ("packer", False, None)
    assert made.reproducible_note
    assert made.packages == _PACKAGES
    assert {
        "source": "qemu",
        "start": "the local builder's disk",
        "start-disk": "sha256:12",
    }.items() <= made.inputs.items()
    assert {"template", "provisioning"} <= set(made.inputs)
    assert {
        "packer": "1.16.0",
        "packer-plugin-qemu": "1.0.9",
        "packer-plugin-proxmox": "1.2.3",
    }.items() <= made.tools.items()
    assert made.tools["qemu"][0].isdigit()
    assert made.definition["name"] == "web"


def test_build_on_a_cluster_names_no_qemu() -> None:
    """The cluster's QEMU is not this machine's, and is not claimed to be."""
    made = record(_THERE, find_own_template("proxmox"))
    assert "qemu" not in made.tools
    assert made.inputs["source"] == "proxmox-clone"


def test_ansible_is_named_where_it_is_used(tmp_path: Path) -> None:
    """Ansible's version counts only with a playbook."""
    (tmp_path / "play.yml").write_text("[]\n")
    assert "ansible-playbook" not in record(_HERE, find_own_template("qemu")).tools
    used = record(_HERE, find_own_template("qemu"), packer=PackerBuild(playbook=tmp_path / "play.yml"))
    assert used.tools["ansible-playbook"][0].isdigit()


def test_own_template_has_no_provisioning_of_ours(tmp_path: Path) -> None:
    """Beside a template of the user's own nothing is looked for."""
    (tmp_path / "x.pkr.hcl").touch()
    made = record(Road(None, Start.OWN_TEMPLATE, "a test"), tmp_path)
    assert made.inputs["source"] == "decided by the template"
    assert "provisioning" not in made.inputs


@pytest.mark.parametrize("changed", ["qemu/source.pkr.hcl", "provision/finish.sh"])
def test_every_change_of_a_template_shows(changed: str, templates: Path) -> None:
    """Template and provisioning have digests of their own: the same again for the same, another for any change."""
    before = record(_HERE, templates / "qemu").inputs
    assert record(_HERE, templates / "qemu").inputs == before
    with (templates / changed).open("a") as file:
        file.write("# changed\n")
    after = record(_HERE, templates / "qemu").inputs
    differing = {name for name in before if before[name] != after[name]}
    assert differing == {"template" if changed.startswith("qemu") else "provisioning"}


def test_commit_of_the_project(tmp_path: Path) -> None:
    """The commit that the definition was built from is in it, and whether something was changed since."""
    project = tmp_path / "imagekit.toml"
    project.write_text("[images.web]\n")
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "first"]):
        run(["git", "-C", str(tmp_path), *words])
    clean = record(_HERE, find_own_template("qemu"), project)
    assert clean.git_commit is not None
    assert len(clean.git_commit) == 40
    assert not clean.git_dirty
    project.write_text("[images.other]\n")
    assert record(_HERE, find_own_template("qemu"), project).git_dirty
