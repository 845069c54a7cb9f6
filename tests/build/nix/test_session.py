"""One build on one host: the flake goes there and leaves it again, and its locks are written down."""

import json
from pathlib import Path

import pytest

from imagekit.build.nix.session import build_attribute, build_system, name_version, open_session, read_locks
from imagekit.build.nix.stage import stage_flake
from imagekit.build.nix.tool import Flavour, Nix, find_nix
from imagekit.definition import ImageDefinition, NixBuild, Site, make_sd_image
from imagekit.errors import DefinitionInvalid
from imagekit.host.here import ThisMachine
from imagekit.image import Architecture
from tests import tiny
from tests.definition.samples import KEY
from tests.nix_store import make_own_store


def _define(flake: Path) -> ImageDefinition:
    nix = NixBuild(flake=flake, configuration=tiny.X86_CONFIGURATION)
    return make_sd_image("pihole", nix=nix, site=Site(ssh_keys=(KEY,)), architecture=Architecture.AMD64)


def test_flake_is_there_for_the_session_alone(tmp_path: Path) -> None:
    """The copy of the flake goes with the session, also after an error, and what it built is in the store."""
    definition = _define(tiny.copy_tiny_flake(tmp_path / "flake"))
    store, host = make_own_store(tmp_path / "own"), ThisMachine()
    nix = find_nix(host, store.environment)
    staged = stage_flake(definition, None, tmp_path / "staged")
    with open_session(definition, staged, host, nix) as session:
        assert session.system == "x86_64-linux"
        assert (Path(session.directory) / "flake" / "nix" / "site.json").is_file()
        path, closure = build_system(session)
        assert path in [each.path for each in closure]
        assert (Path(path) / "init").exists()
        with pytest.raises(DefinitionInvalid, match="the flake has no"):
            build_attribute(session, "packages.x86_64-linux.nothing")
        directory = Path(session.directory)
    assert not directory.exists()


def test_locks_are_written_down(tmp_path: Path) -> None:
    """Each input's revision and hash, and each container's digest, is part of a version's history."""
    (tmp_path / "nix" / "pihole").mkdir(parents=True)
    nodes = {
        "nixpkgs": {"locked": {"rev": "8eeec93", "narHash": "sha256-x", "lastModified": 1}},
        "root": {"inputs": {}},
    }
    (tmp_path / "flake.lock").write_text(json.dumps({"nodes": nodes}))
    pins = {"pihole": {"name": "docker.io/pihole/pihole", "tag": "2026.07.0", "digest": "sha256:ab", "hash": None}}
    (tmp_path / "nix" / "pihole" / "images.json").write_text(json.dumps(pins))
    assert read_locks(tmp_path) == {
        "nixpkgs.rev": "8eeec93",
        "nixpkgs.narHash": "sha256-x",
        "container.pihole": "docker.io/pihole/pihole:2026.07.0@sha256:ab",
    }


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"nodes": 1}', '{"nodes": {"a": 1}}', '{"nodes": {"a": {"locked": 1}}}']
)
def test_odd_locks_are_left_out(tmp_path: Path, text: str) -> None:
    """What is not as it should be is Nix's to complain of, and breaks nothing here."""
    (tmp_path / "flake.lock").write_text(text)
    assert read_locks(tmp_path) == {}


def test_version_names_its_maker() -> None:
    """Nix's own version is a number; that of another maker stands after its name."""
    assert name_version(Nix("nix", Flavour.NIX, (2, 8, 0), "", "")) == "2.8.0"
    assert name_version(Nix("nix", Flavour.LIX, (2, 95, 1), "", "")) == "Lix 2.95.1"
