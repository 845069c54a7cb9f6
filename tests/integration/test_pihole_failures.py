"""What goes wrong with an SD image ends in a sentence and an exit code; nothing is stored or left running."""

import os
import signal
import time
from pathlib import Path

import pytest

from imagekit.host import Completed
from tests import tiny
from tests.integration.nix_program import NixProgram, lead_to_server, lead_to_store, make_project
from tests.nix_store import OwnStore, make_own_store
from tests.sshd import list_descendants, start_sshd

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> OwnStore:
    """One Nix store for these tests, whose shell runs on this machine whatever the image is for."""
    store = make_own_store(tmp_path_factory.mktemp("store"))
    store.configure(extra_platforms=tiny.OTHER_SYSTEM)
    return store


def _fail(program: NixProgram, *arguments: str) -> Completed:
    said = program("build", "pihole", *arguments, check=False)
    assert said.status != 0
    assert "Traceback" not in said.errors, said.errors
    assert program.json("images")["images"] == []
    return said


@pytest.mark.parametrize(
    ("attribute", "status", "sentence"),
    [
        (tiny.BROKEN, 4, "could not be built: its builder failed"),
        (tiny.FULL, 8, "nix-collect-garbage"),
        (tiny.WRONG_SYSTEM, 8, "does not build for"),
        (tiny.NO_PRODUCTS, 4, "hydra-build-products"),
        (tiny.MISSING_PRODUCT, 4, "is not there"),
        (tiny.FOREIGN_PRODUCT, 4, "is not part of it"),
        ("pihole-imag", 3, "the flake has no"),
    ],
)
def test_build_that_cannot_be(own_store: OwnStore, tmp_path: Path, attribute: str, status: int, sentence: str) -> None:
    """A failing builder, a full disk, a foreign system, an output without image and a wrong name are told apart."""
    said = _fail(make_project(tmp_path, lead_to_store(own_store), attribute=attribute))
    assert said.status == status, said.errors
    assert sentence in said.errors
    assert "hint: " in said.errors


def test_unstable_build_says_so(own_store: OwnStore, tmp_path: Path) -> None:
    """A build that differs from its own repetition is stored with the place of the first difference."""
    program = make_project(tmp_path, lead_to_store(own_store), attribute=tiny.UNSTABLE)
    said = program("build", "pihole", "--verify-rebuild")
    assert "note: this build cannot be repeated bit for bit: " in said.errors
    provenance = program.json("show", "pihole")["provenance"]
    assert provenance["reproducible"] is False
    assert "byte" in provenance["reproducible_note"]


def test_no_key(own_store: OwnStore, tmp_path: Path) -> None:
    """Without an SSH key nothing is begun."""
    program = make_project(tmp_path, lead_to_store(own_store))
    definition = program.directory / "imagekit.toml"
    definition.write_text(definition.read_text().partition("ssh_keys")[0])
    said = _fail(program)
    assert said.status == 3
    assert "has no SSH key" in said.errors
    assert "evaluating" not in said.errors


def test_lock_out_of_step(own_store: OwnStore, tmp_path: Path) -> None:
    """A lock that does not fit the flake is found before anything is built, and is not changed."""
    program = make_project(tmp_path, lead_to_store(own_store))
    flake = program.directory / "flake" / "flake.nix"
    flake.write_text(flake.read_text().replace("outputs =", 'inputs.extra.url = "path:/nowhere";\n  outputs =', 1))
    flake.write_text(flake.read_text().replace("{ self }", "{ self, extra }", 1))
    said = _fail(program)
    assert said.status in (3, 8), said.errors
    assert "lock" in said.errors


def test_damaged_image_is_not_stored(own_store: OwnStore, tmp_path: Path) -> None:
    """A card that does not pass its verification becomes no version: here one that does not read its site."""
    program = make_project(tmp_path, lead_to_store(own_store))
    flake = program.directory / "flake" / "flake.nix"
    flake.write_text(flake.read_text().replace("./nix/site.json", "./nix/other.json"))
    said = _fail(program)
    assert said.status == 5
    assert "sd-site" in said.errors
    assert "not fit to be flashed" in said.errors


def test_second_build_of_an_image_waits_its_turn(own_store: OwnStore, tmp_path: Path) -> None:
    """Two builds of one image at once: the second is told who is at it."""
    program = make_project(tmp_path, lead_to_store(own_store), attribute=tiny.SLOW)
    first = program.start("build", "pihole")
    first.wait_for("building", 60)
    second = program("build", "pihole", check=False)
    assert second.status == 6, second.errors
    assert "pihole" in second.errors
    os.kill(first.process.pid, signal.SIGINT)
    assert first.wait(30) == 130


@pytest.mark.parametrize("how", ["interrupted", "killed", "dropped"])
def test_end_of_a_remote_build(own_store: OwnStore, tmp_path: Path, how: str) -> None:
    """Ctrl-C, kill -9 and a broken connection each end what runs on the other machine, within seconds."""
    with start_sshd(tmp_path / "sshd", environment=lead_to_store(own_store)) as server:
        program = make_project(tmp_path, lead_to_server(server, tmp_path / "bin"), attribute=tiny.SLOW)
        started = program.start("build", "pihole", "--builder", "remote")
        started.wait_for("building", 60)
        assert list_descendants(server.process.pid)
        match how:
            case "interrupted":
                os.kill(started.process.pid, signal.SIGINT)
                assert started.wait(30) == 130
            case "killed":
                os.kill(started.process.pid, signal.SIGKILL)
            case _:
                server.drop_connections()
                assert started.wait(60) == 8
                assert "the connection to" in started.messages.read_text()
        deadline = time.monotonic() + 15
        while list_descendants(server.process.pid) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert list_descendants(server.process.pid) == []
    assert program.json("images")["images"] == []
