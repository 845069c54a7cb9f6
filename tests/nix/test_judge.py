"""Values that cannot work are refused in plain words, all of them at once, before anything is built."""

from typing import Any

import pytest

from tests.nix.conftest import KEY, Evaluator


def complain(nix: Evaluator, **values: object) -> list[str]:
    """Return the sentences with which NixOS would refuse these values."""
    assertions = nix.describe(**values)["told"]["assertions"]
    assert all(one["assertion"] is False for one in assertions)
    messages = [one["message"] for one in assertions]
    assert all(message.startswith("imagekit.pihole: ") and message.endswith(".") for message in messages)
    return [message.removeprefix("imagekit.pihole: ").removesuffix(".") for message in messages]


def test_defaults_with_a_key_are_right(nix: Evaluator) -> None:
    """A key is all that a site has to say."""
    assert complain(nix) == []


@pytest.mark.parametrize(
    "values",
    [
        {"address": "10.1.2.3", "prefixLength": 8, "gateway": "10.255.255.254"},
        {"interface": "end0"},
        {"hostName": "a"},
        {"authorizedKeys": [KEY, "ssh-rsa AAAAB3NzaC1yc2E=", "sk-ssh-ed25519@openssh.com AAAAGnNr a b c"]},
        {"passwordFile": "/run/secrets/pihole"},
        {"upstreamPort": 5353},
        {"timeZone": "UTC"},
        {"timeZone": "America/Argentina/Buenos_Aires"},
        {"metrics": {"allowFrom": ["192.168.0.10", "10.0.0.0/8"]}},
        {"testing": {"enable": True}},
        {"bootstrapDns": ["192.168.0.1"]},
    ],
)
def test_good_values_are_taken(nix: Evaluator, values: dict[str, Any]) -> None:
    """Nothing is said about values that work."""
    assert complain(nix, **values) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"address": "pihole"}, '"pihole" is not an IPv4 address'),
        ({"address": "192.168.0.256"}, '"192.168.0.256" is not an IPv4 address'),
        ({"gateway": "fe80::1"}, 'the gateway "fe80::1" is not an IPv4 address'),
        ({"gateway": "192.168.1.1"}, "the gateway 192.168.1.1 is not in the network of 192.168.0.53/24"),
        (
            {"gateway": "192.168.0.53"},
            "192.168.0.53 is the gateway's address as well; the machine needs one of its own",
        ),
        (
            {"address": "192.168.0.255"},
            "192.168.0.255 is the first or the last address of its network, which no machine can have",
        ),
        (
            {"testing": {"enable": True, "address": "192.168.0.53"}},
            "testing.address is 192.168.0.53, the live machine's; two machines cannot share one",
        ),
        ({"bootstrapDns": []}, "bootstrapDns is empty; without one the machine cannot fetch Pi-hole"),
        ({"bootstrapDns": ["quad9"]}, 'the bootstrap resolver "quad9" is not an IPv4 address'),
        (
            {"bootstrapDns": ["192.168.0.53", "9.9.9.9"]},
            "the bootstrap resolver 192.168.0.53 is this machine itself, which has yet to fetch its Pi-hole",
        ),
        (
            {"bootstrapDns": ["127.0.0.53"]},
            "the bootstrap resolver 127.0.0.53 is this machine itself, which has yet to fetch its Pi-hole",
        ),
        (
            {"authorizedKeys": []},
            "there is no SSH key in authorizedKeys, and no password either: nobody could log in",
        ),
        (
            {"authorizedKeys": ["AAAAC3Nz"]},
            '"AAAAC3Nz" in authorizedKeys is not a public SSH key, such as "ssh-ed25519 AAAA… you@laptop"',
        ),
        ({"hostName": "Pi_hole"}, 'the host name "Pi_hole" is not made of small letters, digits and hyphens'),
        ({"hostName": "-a"}, 'the host name "-a" is not made of small letters, digits and hyphens'),
        ({"adminUser": "root"}, "adminUser is root, who does not log in; name another user"),
        ({"adminUser": "Me"}, 'the user name "Me" is not made of small letters, digits, _ and -'),
        ({"timeZone": "../etc"}, '"../etc" is no time zone, such as "Europe/Berlin"'),
        ({"interface": "eth0; reboot"}, '"eth0; reboot" is no name of a network port, such as "end0"'),
        (
            {"upstreamPort": 53},
            "upstreamPort is 53, which is SSH's, Pi-hole's or the web page's; Unbound needs another",
        ),
        ({"passwordFile": "secret"}, 'passwordFile is "secret"; it must be an absolute path on the machine'),
        (
            {"passwordFile": "/nix/store/x-password"},
            "passwordFile is in the Nix store, which everybody can read; keep it elsewhere on the machine",
        ),
        (
            {"metrics": {"allowFrom": ["all"]}},
            'metrics.allowFrom takes IPv4 addresses and networks only, such as "192.168.0.0/24"',
        ),
        (
            {"images": {"pihole": {"digest": "latest"}}},
            'images.pihole.digest is "latest"; a digest is sha256: and 64 hexadecimal digits',
        ),
        (
            {"images": {"unbound": {"hash": "sha256:abc"}}},
            'images.unbound.hash is "sha256:abc"; a hash is sha256- and 44 characters, or null',
        ),
        ({"images": {"unbound": {"tag": "a b"}}}, 'images.unbound.tag is "a b", which is no tag of a container image'),
        (
            {"images": {"pihole": {"name": "pihole"}}},
            'images.pihole.name is "pihole", which is no name of a container image with its registry',
        ),
    ],
)
def test_bad_values_are_told(nix: Evaluator, values: dict[str, Any], sentence: str) -> None:
    """Each is one sentence that says what is wrong and what would be right."""
    assert complain(nix, **values) == [sentence]


def test_private_key_is_refused_and_not_repeated(nix: Evaluator) -> None:
    """A private key by mistake is a sentence without the key in it."""
    private = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n-----END OPENSSH PRIVATE KEY-----\n"
    assert complain(nix, authorizedKeys=[private]) == [
        "authorizedKeys has a private key; give the public one, from the file that ends in .pub"
    ]


def test_all_mistakes_are_told_at_once(nix: Evaluator) -> None:
    """Three mistakes are three sentences."""
    assert len(complain(nix, address="x", hostName="X", authorizedKeys=[])) == 3


def test_module_that_is_off_asks_nothing(nix: Evaluator) -> None:
    """Imported and not enabled, it sets nothing and refuses nothing."""
    told = nix.describe(enable=False, authorizedKeys=[])["told"]
    assert told.get("assertions", []) == []
    assert set(told) <= {"assertions", "warnings"}
