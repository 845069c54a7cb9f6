"""The tiny flake is a card as the checks want one: what the other tests build on it stands."""

import json
from pathlib import Path

import pytest

from imagekit.errors import ToolFailed
from imagekit.host import run
from imagekit.host.tools import find_tool
from imagekit.verify import Policy, Profile, verify_disk
from imagekit.verify.formats.text import render_text
from tests import tiny
from tests.nix_store import OwnStore, make_own_store

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG93bmVyb3duZXJvd25lcm93bmVyb3duZXJvd25lcjE0 owner@example"
SITE = {
    "hostName": "pihole-two",
    "address": "192.0.2.54",
    "prefixLength": 25,
    "gateway": "192.0.2.1",
    "bootstrapDns": ["192.0.2.2"],
    "timeZone": "Etc/UTC",
    "authorizedKeys": [KEY],
    "interface": None,
    "adminUser": "owner",
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> OwnStore:
    """A store that builds for both systems."""
    made = make_own_store(tmp_path_factory.mktemp("tiny"))
    made.configure(extra_platforms=f"{tiny.SYSTEM} {tiny.OTHER_SYSTEM}")
    for name in tiny.TOOLS:
        find_tool(name)
    return made


@pytest.fixture(scope="module")
def flake(store: OwnStore) -> Path:
    """The flake as it is in the repository."""
    return tiny.copy_tiny_flake(store.directory / "flake")


def build(store: OwnStore, flake: Path, attribute: str, *options: str) -> Path:
    """Build one attribute and return its store path."""
    answer = store.run("nix", "build", "--no-link", "--json", *options, f"path:{flake}#{attribute}")
    return Path(json.loads(answer.output)[0]["outputs"]["out"])


def unpack(result: Path, directory: Path) -> Path:
    """Return the raw image of a result, found as its products say."""
    kind, subtype, name = (result / "nix-support" / "hydra-build-products").read_text().split()
    assert (kind, subtype) == ("file", "sd-image")
    assert Path(name).parent == result / "sd-image"
    raw = directory / "card.img"
    run(["zstd", "-q", "-d", name, "-o", str(raw)])
    return raw


@pytest.mark.parametrize("system", [tiny.SYSTEM, tiny.OTHER_SYSTEM])
def test_card_passes_every_check(system: str, store: OwnStore, flake: Path, tmp_path: Path) -> None:
    """The built card has no finding, nothing of it is unobserved, and it has the size that is told."""
    raw = unpack(build(store, flake, tiny.name_attribute(tiny.IMAGE, system)), tmp_path)
    report = verify_disk(raw, Policy(profile=Profile.SD_IMAGE, deep=True))
    assert not report.findings, render_text(report)
    assert not report.not_observed
    assert raw.stat().st_size == tiny.RAW_BYTES


def test_card_is_built_the_same_again(store: OwnStore, flake: Path) -> None:
    """A second build gives the same bytes, and the unstable card's does not."""
    for attribute in (tiny.IMAGE, tiny.UNSTABLE):
        build(store, flake, tiny.name_attribute(attribute))
    build(store, flake, tiny.name_attribute(), "--rebuild")
    with pytest.raises(ToolFailed, match="may not be deterministic"):
        build(store, flake, tiny.name_attribute(tiny.UNSTABLE), "--rebuild")


def test_site_is_on_the_card(store: OwnStore, flake: Path, tmp_path: Path) -> None:
    """Host name, address and key of nix/site.json are in the system, and the card still passes."""
    staged = tiny.copy_tiny_flake(tmp_path / "staged")
    (staged / "nix").mkdir()
    (staged / "nix" / "site.json").write_text(json.dumps(SITE), encoding="utf-8")
    etc = build(store, staged, tiny.name_system()) / "etc"
    assert (etc / "hostname").read_text() == "pihole-two\n"
    assert (etc / "ssh/authorized_keys.d/owner").read_text() == f"{KEY}\n"
    network = (etc / "systemd/network/40-wired.network").read_text()
    assert "Address=192.0.2.54/25\nGateway=192.0.2.1\nDNS=192.0.2.2\n" in network
    raw = unpack(build(store, staged, tiny.name_attribute()), tmp_path)
    assert not verify_disk(raw, Policy(profile=Profile.SD_IMAGE)).findings


def test_closure_is_registered_as_nix_has_it(store: OwnStore, flake: Path, tmp_path: Path) -> None:
    """Nix itself takes the card's registration for its own."""
    raw = unpack(build(store, flake, tiny.name_attribute()), tmp_path)
    root = f"{raw}?offset={(2048 + 4096) * 512}"
    text = run(["debugfs", "-R", "cat /nix-path-registration", root]).output.decode()
    other = make_own_store(tmp_path / "other")
    (tmp_path / "registration").write_text(text.replace("/nix/store", str(other.store_dir)), encoding="utf-8")
    other.run("sh", "-c", f"nix-store --load-db < {tmp_path}/registration")
    system = build(store, flake, tiny.name_system())
    paths = other.run("nix-store", "--query", "--requisites", str(other.store_dir / system.name)).output.split()
    expected = store.run("nix-store", "--query", "--requisites", str(system)).output.split()
    assert {Path(path.decode()).name for path in paths} == {Path(path.decode()).name for path in expected}


def test_next_card_has_one_other_package(store: OwnStore, flake: Path) -> None:
    """Of what has a version, only one package of the next system is another."""
    versions = []
    for configuration in (tiny.CONFIGURATION, tiny.NEXT_CONFIGURATION):
        system = build(store, flake, tiny.name_system(configuration))
        paths = store.run("nix-store", "--query", "--requisites", str(system)).output.decode().split()
        versions.append({Path(path).name[33:] for path in paths})
    assert versions[0] ^ versions[1] == {
        f"{tiny.CHANGED_PACKAGE}-{tiny.OLD_VERSION}",
        f"{tiny.CHANGED_PACKAGE}-{tiny.NEW_VERSION}",
    }


@pytest.mark.parametrize(
    ("attribute", "said"),
    [
        (tiny.BROKEN, "failed with exit code 1"),
        (tiny.FULL, "No space left on device"),
        (tiny.WRONG_SYSTEM, "riscv32-netbsd"),
    ],
)
def test_wrong_attributes_fail_as_meant(attribute: str, said: str, store: OwnStore, flake: Path) -> None:
    """Each attribute that is to fail does, with Nix's own words."""
    with pytest.raises(ToolFailed) as caught:
        build(store, flake, tiny.name_attribute(attribute, tiny.SYSTEM))
    assert said in caught.value.detail


def test_site_without_a_key_is_no_system(store: OwnStore, flake: Path, tmp_path: Path) -> None:
    """As in NixOS, a system that nobody could enter does not evaluate."""
    staged = tiny.copy_tiny_flake(tmp_path / "staged")
    (staged / "nix").mkdir()
    (staged / "nix" / "site.json").write_text(json.dumps({**SITE, "authorizedKeys": []}), encoding="utf-8")
    with pytest.raises(ToolFailed) as caught:
        build(store, staged, tiny.name_system())
    assert "Failed assertions" in caught.value.detail


def test_switch_leaves_a_trace(store: OwnStore, flake: Path, tmp_path: Path) -> None:
    """The system's switch runs here: it says what was asked for, and calls what a test has put beside."""
    system = build(store, flake, tiny.name_system(tiny.X86_CONFIGURATION))
    hook = tmp_path / "on-switch"
    hook.write_text(f'#!/bin/sh\nprintf "%s %s" "$@" > {tmp_path}/hooked\n')
    hook.chmod(0o755)
    switch = str(system / "bin/switch-to-configuration")
    run([switch, "switch"], environment={tiny.STATE_VARIABLE: str(tmp_path)})
    assert (tmp_path / "switched").read_text() == f"switch {system}\n"
    assert (tmp_path / "hooked").read_text() == f"switch {system}"
    assert (tmp_path / "current-system").readlink() == system
