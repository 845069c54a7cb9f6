"""The tiny flake goes the whole way of an SD image: by Nix here and on another machine, into the store."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.host import find_tool, run
from tests import tiny
from tests.integration.nix_program import NixProgram, lead_to_server, lead_to_store, make_project
from tests.nix_store import OwnStore, make_own_store
from tests.sshd import start_sshd

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
    return program.json("show", reference)


def test_local_build_becomes_a_version(program: NixProgram) -> None:
    """Nix on this machine is found, told, looked at and used; the card is verified and stored with its closure."""
    said = program("build", "pihole", "--verify-rebuild")
    assert said.output.decode().startswith("pihole@")
    assert "Nix builds on this machine: Nix here also runs programs for aarch64-linux" in said.errors
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


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Path]:
    """A loop device of 64 MiB, full of something else: what a card in a reader is, as far as it can be had here."""
    file = tmp_path / "card"
    file.write_bytes(b"something else  " * (64 << 16))
    device = run([find_tool("losetup"), "--find", "--show", str(file)]).output.decode().strip()
    yield Path(device)
    run([find_tool("losetup"), "--detach", device])


def test_version_gets_onto_a_card(program: NixProgram, card: Path) -> None:
    """What Nix built goes from the store to the medium, is read back, and is the very disk that was verified."""
    program("build", "pihole", "--promote", "stable")
    said = program.json("flash", str(card), "--yes")
    assert said["verified"] is True
    shown = _show(program)
    size = shown["size_bytes"]
    assert isinstance(size, int)
    with card.open("rb") as written:
        assert f"sha256:{hashlib.sha256(written.read(size)).hexdigest()}" == shown["digest"] == said["digest"]


def test_remote_build_becomes_the_same_version(own_store: OwnStore, program: NixProgram, tmp_path: Path) -> None:
    """A machine that is entered over SSH builds the same card, byte for byte; nothing of Nix is needed here."""
    here = program("build", "pihole")
    with start_sshd(tmp_path / "sshd", environment=lead_to_store(own_store)) as server:
        remote = make_project(tmp_path / "remote", lead_to_server(server, tmp_path / "bin"))
        said = remote("build", "pihole", "--builder", "remote")
        assert "Nix builds on another machine" in said.errors
        assert f"connecting to {server.url}" in said.errors
        assert _show(remote)["digest"] == _show(program)["digest"]
        assert _show(remote)["provenance"]["inputs"]["built-on"] == server.url  # type: ignore[index]
        builds = server.home / ".cache" / "imagekit" / "builds"
        assert list(builds.iterdir()) == []
    assert list((remote.cache / "downloads").iterdir()) == []
    assert here.output == said.output
