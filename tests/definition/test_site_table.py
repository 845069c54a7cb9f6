"""What an SD image says about its flake and its site, and how mistakes in it are told."""

from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from imagekit.definition import Builder, ImageDefinition, Kind, NixBuild, Site, change_builder, read_project
from imagekit.errors import DefinitionInvalid
from imagekit.image import Architecture, Firmware
from imagekit.report import Profile
from tests.definition.samples import KEY


def _read(directory: Path, text: str) -> ImageDefinition:
    (directory / "imagekit.toml").write_text(text)
    return read_project(directory).find_image("pihole")


def _refuse(directory: Path, text: str) -> list[str]:
    with pytest.raises(DefinitionInvalid) as caught:
        _read(directory, f'[images.pihole]\nkind = "sd-image"\n{text}')
    return list(caught.value.problems)


def test_kind_decides_the_defaults(tmp_path: Path) -> None:
    """An SD image is made by Nix for a Raspberry Pi, judged as a card and not booted, unless something else is said."""
    card = _read(tmp_path, '[images.pihole]\nkind = "sd-image"\n')
    assert (card.kind, card.builder, card.nix, card.site) == (Kind.SD_IMAGE, Builder.NIX, NixBuild(), Site())
    assert (card.architecture, card.firmware, card.boot_test) == (Architecture.ARM64, Firmware.U_BOOT, False)
    assert (card.timezone, card.verify.profile) == ("Europe/Berlin", Profile.SD_IMAGE)
    card = _read(tmp_path, '[images.pihole]\nkind = "sd-image"\nverify = { allow_users = ["nixos"] }\n')
    assert card.verify.profile is Profile.SD_IMAGE


def test_site_values_are_typed(tmp_path: Path) -> None:
    """Addresses become addresses, keys are whole, and what is left out keeps its default."""
    site = _read(
        tmp_path,
        f'[images.pihole]\nkind = "sd-image"\n[images.pihole.site]\naddress = "10.1.0.9/16"\ngateway = "10.1.255.1"\n'
        f'ssh_keys = ["{KEY}"]\ninterface = "end0"\nhost_name = "dns-2"\ndns = ["2620:fe::fe", "10.1.0.1"]\n',
    ).site
    assert site is not None
    assert (site.address, site.gateway) == (IPv4Interface("10.1.0.9/16"), IPv4Address("10.1.255.1"))
    assert ([str(one) for one in site.dns], site.ssh_keys) == (["2620:fe::fe", "10.1.0.1"], (KEY,))
    assert (site.host_name, site.interface, site.admin) == ("dns-2", "end0", "admin")


def test_own_flake_gets_a_site_only_when_it_is_given(tmp_path: Path) -> None:
    """A flake of the user's own is told nothing that the definition does not say."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "flake.nix").touch()
    text = '[images.pihole]\nkind = "sd-image"\nnix = { flake = "mine", attribute = "sd.card" }\n'
    card = _read(tmp_path, text)
    assert (card.nix.flake, card.nix.attribute, card.site) == (tmp_path / "mine", "sd.card", None)
    assert _read(tmp_path, text + "[images.pihole.site]\n").site == Site()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('site = { address = "192.168.0.53" }', "how large its network is"),
        ('site = { address = "192.168.0.300/24" }', "not an IPv4 address"),
        ('site = { address = "192.168.0.0/24" }', "the network's own address"),
        ('site = { address = "192.168.0.255/24" }', "the network's own address"),
        ('site = { address = "192.168.0.53/32" }', "without room for a gateway"),
        ('site = { address = "fe80::1/64" }', "not an IPv4 address"),
        ('site = { gateway = "192.168.1.1" }', "is not in 192.168.0.0/24, so 192.168.0.53 could not reach it"),
        ('site = { gateway = "192.168.0.53" }', "the machine's own address"),
        ('site = { gateway = "router" }', "not an IPv4 address"),
        ('site = { dns = ["dns.example"] }', "a name could not be resolved yet"),
        ('site = { dns = ["192.168.0.53"] }', "cannot ask itself"),
        ("site = { dns = [] }", "needs a resolver"),
        ('site = { dns = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"] }', "only 3 resolvers"),
        ('site = { host_name = "Pi.home" }', "give the host's name alone"),
        ('site = { host_name = "-pi" }', "cannot name a host"),
        ('site = { interface = "eth 0" }', "cannot name a network interface"),
        ('site = { admin = "root" }', "reserved"),
        ('site = { ssh_keys = ["ssh-ed25519 AAAA"] }', "not a whole ssh-ed25519 key"),
        ('site = { ssh_key = "x" }', "did you mean 'ssh_keys'?"),
        ('site = { password = "x" }', "carry no passwords"),
        ('nix = { flake = "nowhere" }', "is not a directory"),
        ('nix = { flake = "empty" }', "holds no flake.nix"),
        ('nix = { attribute = "a b" }', "cannot name an output"),
        ('builder = "local"', 'is not "nix"'),
        ('features = ["docker"]', "belongs to templates"),
        ("vm_id = 9001", "belongs to templates"),
        ('verify = { profile = "template" }', "always judged as one"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, text: str, problem: str) -> None:
    """Each mistake has one sentence at its key."""
    (tmp_path / "empty").mkdir()
    (said,) = _refuse(tmp_path, text)
    assert problem in said
    assert said.startswith("imagekit.toml:3: images.pihole.")


def test_site_belongs_to_a_card(tmp_path: Path) -> None:
    """A template with a site says so, with the kind that was probably meant."""
    with pytest.raises(DefinitionInvalid) as caught:
        _read(tmp_path, "[images.pihole]\nsite = {}\n")
    assert 'set kind = "sd-image"' in caught.value.problems[0]


def test_cards_take_no_vm_id(tmp_path: Path) -> None:
    """A card shares no number with a template, because it has none."""
    card = _read(tmp_path, '[images.template]\n[images.pihole]\nkind = "sd-image"\n[images.two]\nkind = "sd-image"\n')
    assert card.name == "pihole"


def test_card_is_built_by_nix_alone(tmp_path: Path) -> None:
    """Neither a card by Packer nor a template by Nix can be asked for."""
    card = _read(tmp_path, '[images.pihole]\nkind = "sd-image"\n')
    with pytest.raises(DefinitionInvalid, match="cannot be built with builder packer"):
        change_builder(card, Builder.PACKER)
    with pytest.raises(DefinitionInvalid, match="cannot be built with builder nix"):
        change_builder(ImageDefinition("template"), Builder.NIX)
