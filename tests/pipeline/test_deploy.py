"""deploy from a definition: the tiny flake's system built by the real Nix, sent over a real sshd, switched, checked."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.cli import run_cli
from tests import tiny
from tests.deliver.deploy.world import OLD_ADDRESS, World, make_world
from tests.namespace import nix_leaves_chroot

pytestmark = pytest.mark.integration
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG93bmVyb3duZXJvd25lcm93bmVyb3duZXJvd25lcjE0 owner@example"


@pytest.fixture(scope="module")
def whole_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The target and its builder."""
    with make_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture
def world(whole_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The world with a project in the working directory, and its own store in the environment."""
    whole_world.install(whole_world.build(tiny.CONFIGURATION))
    for name, value in whole_world.store.environment.items():
        if name.startswith("NIX_"):
            monkeypatch.setenv(name, value)
    for name in ("STORE", "CACHE"):
        monkeypatch.setenv(f"IMAGEKIT_{name}", str(tmp_path / name.lower()))
    tiny.copy_tiny_flake(tmp_path / "flake")
    write_project(tmp_path, tiny.NEXT_CONFIGURATION)
    monkeypatch.chdir(tmp_path)
    yield whole_world
    whole_world.stop()


def write_project(directory: Path, configuration: str) -> None:
    """Write an imagekit.toml with the tiny flake as its image."""
    (directory / "imagekit.toml").write_text(
        f'[images.pihole]\nkind = "sd-image"\n'
        f'nix = {{ flake = "flake", configuration = "{configuration}" }}\n'
        f'site = {{ address = "{OLD_ADDRESS}/8", gateway = "127.0.0.254", ssh_keys = ["{KEY}"] }}\n'
        "[images.template]\n",
        encoding="utf-8",
    )


def deploy(world: World, *more: str, name: str = "pihole", seconds: int = 10) -> int:
    """Run the command line."""
    root = world.paths.current_system.removesuffix("/run/current-system")
    where = ["--ssh-config", str(world.sshd.config), "--target-root", root, "--dns-port", str(world.port)]
    return run_cli(["deploy", name, world.sshd.url, "--builder", "local", "--timeout", str(seconds), *where, *more])


def test_deploy_brings_a_new_system(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """It is built, compared, sent by nix copy, switched and kept; a second run has nothing to do."""
    assert deploy(world, "--yes", "--json") == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert document["packages"] == [{"name": "openssl", "before": ["3.5.1"], "after": ["3.5.2"]}]
    assert (document["deployed"], document["generation"]) == (True, 2)
    assert document["paths"] > 0
    assert ("it goes through this machine" in said.err) == nix_leaves_chroot()
    assert world.running() == (document["after"], document["after"], 2)
    assert world.answers()
    assert deploy(world, "--yes") == 0
    assert "runs this system already" in capsys.readouterr().err
    assert len(world.switches()) == 2


def test_dry_run_changes_nothing(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what would change and what would be sent."""
    before = world.running()
    assert deploy(world, "--dry-run") == 0
    said = capsys.readouterr().err
    assert "openssl: 3.5.1 → 3.5.2" in said
    assert "to send: " in said
    assert world.running() == before
    assert not (world.state / "switched").exists()


def test_unanswered_question_changes_nothing(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --yes, and with nobody to answer, the machine stays as it is."""
    before = world.running()
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    assert deploy(world) == 130
    assert "Switch " in capsys.readouterr().err
    assert world.running() == before


def test_system_without_dns_ends_with_5(world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What was seen is told, and the old system answers again."""
    assert deploy(world, "--dry-run", "--json") == 0
    world.mark("dead", json.loads(capsys.readouterr().out)["after"])
    assert deploy(world, "--yes", seconds=5) == 5
    said = capsys.readouterr().err
    assert "the new system does not do its work" in said
    assert "runs the old one again, which answers" in said
    assert "does not answer by UDP" in said
    assert world.answers()
    assert world.running()[2] == 1


def test_failed_switch_ends_with_8(world: World, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The switch's own words are shown."""
    write_project(tmp_path, tiny.BAD_SWITCH)
    assert deploy(world, "--yes") == 8
    said = capsys.readouterr().err
    assert "the switch ended with status 4" in said
    assert "| warning: the following units failed: docker-pihole.service" in said
    assert world.running()[2] == 1


def test_what_cannot_be_deployed_to_is_told(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """A template, a builder that is none, and a machine that runs no NixOS."""
    assert deploy(world, name="template") == 3
    assert "is a template" in capsys.readouterr().err
    assert deploy(world, "--builder", "abacus") == 2
    assert deploy(world, "--target-root", "/nowhere") == 8
    assert "does not run NixOS" in capsys.readouterr().err
