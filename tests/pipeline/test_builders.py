"""Where an SD image could be built, by what is really installed here, and what a machine without it is told."""

import sys
from pathlib import Path

import pytest

from imagekit.host import find_tool
from imagekit.host.ssh_target import SshTarget
from imagekit.pipeline.builders import examine_builders, find_candidates
from imagekit.settings import NixPlace, read_settings
from tests.nix_store import OwnStore, make_own_store

_HOST = SshTarget("nas.example", "builder")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OwnStore:
    """A Nix store of this test's own, which this process's environment leads to."""
    store = make_own_store(tmp_path / "own")
    for name, value in store.environment.items():
        if name.startswith("NIX_"):
            monkeypatch.setenv(name, value)
    return store


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with what every Unix has, and neither Nix nor Vagrant."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "env", "cat", "test", "id", "true", "setpriv"):
        (programs / name).symlink_to(find_tool(name))
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setattr("imagekit.host.tools._EXTRA_PATH", ())
    return programs


def test_nix_of_this_machine_is_asked(store: OwnStore) -> None:
    """What this machine's Nix says of itself decides, and Vagrant is not asked when it is not needed."""
    found = find_candidates("aarch64-linux", NixPlace.AUTO, _HOST, read_settings({}), (2, 4))
    assert (found.nix, found.no_nix) == ("", "Nix here builds for x86_64-linux only")
    assert (found.host, found.vagrant, found.no_vagrant) == (_HOST, "", "nobody asked Vagrant")
    store.configure(extra_platforms="aarch64-linux")
    found = find_candidates("aarch64-linux", NixPlace.AUTO, None, read_settings({}), (2, 4))
    assert found.nix == "Nix here also runs programs for aarch64-linux"
    found = find_candidates("aarch64-linux", NixPlace.REMOTE, _HOST, read_settings({}), (2, 4))
    assert found.no_nix == "nobody asked the Nix here"


def test_nix_that_is_too_old_is_passed_over(store: OwnStore) -> None:
    """A Nix that cannot evaluate the flake is no place to build, whatever it could build otherwise."""
    store.configure(extra_platforms="aarch64-linux")
    found = find_candidates("aarch64-linux", NixPlace.AUTO, _HOST, read_settings({}), (99, 1))
    assert found.nix == ""
    assert found.no_nix.endswith(", and the flake wants 99.1")


def test_doctor_says_where_images_are_built(store: OwnStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part has its row, and the last one says what a build would choose."""
    store.configure(extra_platforms="aarch64-linux")
    monkeypatch.setattr("imagekit.pipeline.builders.OLDEST_FOR_NIXPKGS", (2, 4))  # Debian 12 has 2.8
    monkeypatch.setenv("IMAGEKIT_NIX_HOST", "ssh://builder@nas.example")
    rows = {one.subject: one for one in examine_builders(read_settings({}))}
    assert list(rows) == ["nix", "nix_host", "build VM", "SD images"]
    assert rows["nix"].found.startswith("nix (Nix) 2.")
    assert rows["nix_host"].found == "ssh://builder@nas.example"
    assert rows["SD images"].found == "local: Nix here also runs programs for aarch64-linux"


@pytest.mark.parametrize(
    ("system", "words"),
    [
        ("darwin", ("linux-builder.enable = true", "nix_host", "brew install --cask vagrant")),
        ("linux", ("nix-bin", "qemu-user-static", "vagrant-libvirt")),
    ],
)
def test_doctor_says_what_to_install(
    bare_path: Path, monkeypatch: pytest.MonkeyPatch, system: str, words: tuple[str, ...]
) -> None:
    """A machine with neither Nix nor Vagrant is told each way to an SD image, in its own system's words."""
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr("imagekit.host.host.NIX_PLACES", ())
    monkeypatch.setattr("imagekit.host.here.NIX_PLACES", (), raising=False)
    rows = {one.subject: one for one in examine_builders(read_settings({}))}
    assert not rows["nix"].ok
    assert not rows["build VM"].ok
    assert not rows["SD images"].ok
    assert not any(one.required for one in rows.values())
    assert all(word in rows["SD images"].note for word in words)
