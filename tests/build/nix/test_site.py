"""What the flake is told about one house."""

import json
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

import pytest

from imagekit.build.nix.site import render_site, require_key
from imagekit.definition import NixBuild, Site, make_sd_image
from imagekit.errors import DefinitionInvalid, ExitCode
from tests.definition.samples import KEY


def test_site_is_one_document() -> None:
    """Each value stands under the name that the flake reads, addresses as text and nothing where nothing is said."""
    site = Site(host_name="dns", address=IPv4Interface("10.1.0.9/16"), gateway=IPv4Address("10.1.0.1"), ssh_keys=(KEY,))
    assert json.loads(render_site(site, "Europe/Berlin")) == {
        "hostName": "dns",
        "address": "10.1.0.9",
        "prefixLength": 16,
        "gateway": "10.1.0.1",
        "bootstrapDns": ["9.9.9.9", "1.1.1.1"],
        "timeZone": "Europe/Berlin",
        "authorizedKeys": [KEY],
        "interface": None,
        "adminUser": "admin",
    }
    assert render_site(site, "Etc/UTC").endswith("}\n")


def test_build_without_a_key_is_refused() -> None:
    """Nobody could enter the machine, and the sentence says what to add and where."""
    with pytest.raises(DefinitionInvalid, match="image pihole has no SSH key") as caught:
        require_key(make_sd_image("pihole"))
    assert caught.value.exit_code is ExitCode.DEFINITION
    assert "[images.pihole]" in (caught.value.hint or "")
    assert "ssh_keys" in (caught.value.hint or "")
    require_key(make_sd_image("pihole", site=Site(ssh_keys=(KEY,))))


def test_own_flake_says_for_itself_who_may_enter() -> None:
    """A flake of one's own that is told nothing about a site is not asked for a key."""
    image = make_sd_image("pihole", nix=NixBuild(flake=Path("/flake")))
    require_key(image)
    assert image.site is None
