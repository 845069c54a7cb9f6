"""The tiny flake goes the whole way of an SD image: by Nix here and on another machine, into the store."""

from pathlib import Path

import pytest

from tests import tiny
from tests.integration.nix_program import NixProgram, lead_to_store, make_project
from tests.nix_store import OwnStore, make_own_store

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def own_store(tmp_path_factory: pytest.TempPathFactory) -> OwnStore:
    """One Nix store for these tests; the tiny flake's shell runs on this machine whatever the image is for."""
    store = make_own_store(tmp_path_factory.mktemp("store"))
    store.configure(extra_platforms=tiny.OTHER_SYSTEM)
    return store


@pytest.fixture
def program(own_store: OwnStore, tmp_path: Path) -> NixProgram:
    """The program in a project with the tiny flake, and Nix on this machine."""
    return make_project(tmp_path, lead_to_store(own_store))


def _show(program: NixProgram, reference: str = "pihole") -> dict[str, object]:
    return program.json("show", reference, "--json")


def test_local_build_becomes_a_version(program: NixProgram) -> None:
    """Nix on this machine is found, told, looked at and used; the card is verified and stored with its closure."""
    said = program("build", "pihole", "--verify-rebuild")
    assert said.output.decode().startswith("pihole@")
    assert "Nix builds on this machine: its Nix also runs programs for aarch64-linux" in said.errors
    for subject in ("builds for aarch64-linux", "space in", "memory", "clock", "lock", "SSH key"):
        assert f"ok      {subject}" in said.errors or subject in said.errors, subject
    provenance = _show(program)["provenance"]
    assert isinstance(provenance, dict)
    assert (provenance["builder"], provenance["reproducible"]) == ("nix", True)
    assert provenance["inputs"]["image"] == tiny.IMAGE_NAME.format(system=tiny.OTHER_SYSTEM)
    assert len(provenance["inputs"]["image-digest"]) == len("sha256:") + 64
    assert all(path["path"].startswith("/nix/store/") for path in provenance["closure"])
    assert {"name": "openssl", "version": tiny.OLD_VERSION, "architecture": ""} in provenance["packages"]
    assert program("verify", "pihole", "--strict").status == 0
    again = program("build", "pihole")
    assert "the same content is stored already" in again.errors
    assert again.output == said.output
