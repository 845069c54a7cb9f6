"""What a dry run says: what a build would do, checked as the build would check it, and nothing made."""

import os
from pathlib import Path
from typing import Any

import pytest

from imagekit.definition import Builder, PackerSource, read_project
from imagekit.errors import DefinitionInvalid, ToolMissing
from imagekit.pipeline import BuildOptions, plan_build
from imagekit.progress import Event
from imagekit.settings import Settings, read_settings
from tests.build.packer.conftest import found_packer
from tests.cluster.conftest import CANARY, TOKEN_ID, pve

__all__ = ["found_packer", "pve"]

_CLUSTER = '[cluster]\nurl = "%s"\nnode = "pve1"\nca_file = "%s"\nbuild_ids = "9300-9310"\n'


@pytest.fixture
def settings(found_packer: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings of an operator with the real Packer, who has decided on the accelerator."""
    monkeypatch.setenv("IMAGEKIT_PACKER", os.fspath(found_packer.program))
    monkeypatch.setenv("IMAGEKIT_PACKER_PLUGINS", os.fspath(found_packer.plugin_directory))
    monkeypatch.setenv("IMAGEKIT_ACCELERATOR", "tcg")
    return read_settings({})


def assert_nothing_made(settings: Settings) -> None:
    """Say that no workspace, record, log or version is left."""
    assert [path.name for path in (settings.cache / "builds").iterdir()] == ["lock"]
    assert not settings.state.exists()
    assert not settings.store.exists()


def test_plan_for_this_machine(tmp_path: Path, settings: Settings) -> None:
    """A plan by the qemu source names it with the reason, start, tools and template; lint and Packer accept it."""
    events: list[Event] = []
    plan = plan_build("template", read_project(tmp_path), settings, BuildOptions(builder=Builder.PACKER), events.append)
    assert (plan["builder"], plan["source"], plan["release"]) == ("packer", "qemu", "debian bookworm")
    assert (plan["why"], plan["starts_from"]) == ("nothing else is given to start from", "the local builder's disk")
    assert isinstance(plan["plugins"], dict)
    assert plan["plugins"]["github.com/hashicorp/qemu"] == "1.0.9"
    assert str(plan["packer"]).startswith("1.")
    assert Path(str(plan["template"])).name == "qemu"
    assert plan["warnings"] == []
    assert plan["boot_test"] is True
    assert "checking the template" in {event.stage for event in events}
    assert_nothing_made(settings)


def test_source_that_was_asked_for(tmp_path: Path, settings: Settings) -> None:
    """A source implies Packer, and the plan says that it was asked for; what contradicts it is told."""
    project = read_project(tmp_path)
    plan = plan_build("template", project, settings, BuildOptions(source=PackerSource.QEMU, boot_test=False))
    assert (plan["builder"], plan["source"], plan["why"]) == ("packer", "qemu", "it was asked for")
    assert plan["boot_test"] is False
    with pytest.raises(DefinitionInvalid, match="source proxmox-iso"):
        plan_build("template", project, settings, BuildOptions(source=PackerSource.PROXMOX_ISO))


def test_source_of_a_users_template_is_its_own(tmp_path: Path, settings: Settings) -> None:
    """An image with a template directory of its own takes no other source."""
    (tmp_path / "own").mkdir()
    (tmp_path / "imagekit.toml").write_text('[images.web]\nbuilder = "packer"\npacker = {template = "own"}\n')
    with pytest.raises(DefinitionInvalid, match="template directory of its own"):
        plan_build("web", read_project(tmp_path), settings, BuildOptions(source=PackerSource.QEMU))


def test_what_stops_a_build_stops_its_plan(tmp_path: Path, settings: Settings) -> None:
    """A template that the lint or Packer refuses, and a script that went meanwhile, are told as by the build."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "a.pkr.hcl").write_text('build {\n  sources = ["source.null.a"]\n}\n')
    (tmp_path / "gone.sh").touch()
    (tmp_path / "imagekit.toml").write_text(
        '[images.web]\nbuilder = "packer"\npacker = {scripts = ["gone.sh"]}\n'
        '[images.own]\nbuilder = "packer"\nvm_id = 9001\npacker = {template = "own"}\n'
    )
    project = read_project(tmp_path)
    (tmp_path / "gone.sh").unlink()
    with pytest.raises(DefinitionInvalid, match=r"gone\.sh is not there"):
        plan_build("web", project, settings, BuildOptions())
    with pytest.raises(DefinitionInvalid) as caught:
        plan_build("own", project, settings, BuildOptions())
    assert any("null" in problem for problem in caught.value.problems)
    assert_nothing_made(settings)


@pytest.fixture
def there(tmp_path: Path, pve: Any, fakepve_cafile: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a project whose image is installed on the stand-in for a cluster."""
    pve.store_file("local", "debian.iso", 1 << 30)
    monkeypatch.setenv("PROXMOX_VE_API_TOKEN", f"{TOKEN_ID}={CANARY}")
    (tmp_path / "imagekit.toml").write_text(
        '[images.template]\nbuilder = "packer"\nsize = "8G"\npacker = {iso = {volume = "local:iso/debian.iso"}}\n'
        + _CLUSTER % (pve.url, fakepve_cafile)
    )
    return read_project(tmp_path)


def test_plugin_for_the_cluster_is_required(there: Any, settings: Settings, pve: Any) -> None:
    """Without the Proxmox plugin the plan ends as the build would, and says how to install it."""
    with pytest.raises(ToolMissing, match=r"github\.com/hashicorp/proxmox is not installed") as caught:
        plan_build("template", there, settings, BuildOptions())
    assert "plugins install github.com/hashicorp/proxmox" in str(caught.value.hint)


def test_plan_for_the_cluster(there: Any, settings: Settings, pve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plan for the cluster has node, VM id and range; only reading requests are made, and no secret is in it.

    The plugin's own validation is left out: the one that can be built here is older than our template.
    """
    monkeypatch.setattr("imagekit.build.packer.proxmox.require_plugins", lambda tool, needed: None)
    monkeypatch.setattr("imagekit.build.packer.check.validate_template", lambda *_, **options: ())
    pve.add_vm(9300, "taken")
    plan = plan_build("template", there, settings, BuildOptions())
    assert (plan["source"], plan["starts_from"]) == ("proxmox-iso", "an installer")
    assert (plan["node"], plan["vm_id"], plan["vm_ids"]) == ("pve1", 9301, "9300-9310")
    assert plan["cluster"] == pve.url
    assert plan["boot_test"] is False
    assert {verb for verb, *_ in pve.requests} == {"GET"}
    assert CANARY not in str(plan)
    assert_nothing_made(settings)
