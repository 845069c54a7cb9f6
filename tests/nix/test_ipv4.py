"""The arithmetic on addresses agrees with Python's own."""

from ipaddress import IPv4Address, IPv4Interface
from typing import Any

import pytest

from tests.nix.conftest import ROOT, Evaluator, quote


def ask(nix: Evaluator, call: str) -> Any:
    """Return what a function of ipv4.nix says."""
    return nix.evaluate(f"with import {ROOT}/nix/ipv4.nix; {call}")


@pytest.mark.parametrize("text", ["0.0.0.0", "192.168.0.53", "255.255.255.255", "10.0.0.1"])
def test_addresses_are_read_and_shown(nix: Evaluator, text: str) -> None:
    """An address is its number, and the number its address."""
    assert ask(nix, f"parse {quote(text)}") == int(IPv4Address(text))
    assert ask(nix, f"show {int(IPv4Address(text))}") == text


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "1.2.3.-4", "a.b.c.d", "::1",
     "1.2.3.4/24", "999999999999.1.1.1", "1.2.3.4\n"],
)  # fmt: skip
def test_everything_else_is_no_address(nix: Evaluator, text: str) -> None:
    """What Python refuses is refused, and what it reads otherwise is no address either."""
    assert ask(nix, f"parse {quote(text)}") is None
    assert ask(nix, f"isAddress {quote(text)}") is False


@pytest.mark.parametrize(
    ("prefix", "one", "other"),
    [
        (24, "192.168.0.53", "192.168.0.1"),
        (24, "192.168.0.53", "192.168.1.1"),
        (23, "192.168.0.53", "192.168.1.1"),
        (30, "10.0.0.5", "10.0.0.6"),
        (30, "10.0.0.3", "10.0.0.4"),
        (1, "1.0.0.1", "127.0.0.1"),
        (1, "1.0.0.1", "128.0.0.1"),
    ],
)
def test_networks_are_pythons(nix: Evaluator, prefix: int, one: str, other: str) -> None:
    """Two addresses are neighbours exactly when Python puts them into one network."""
    same = IPv4Interface(f"{one}/{prefix}").network == IPv4Interface(f"{other}/{prefix}").network
    assert ask(nix, f"areNeighbours {prefix} {quote(one)} {quote(other)}") is same


@pytest.mark.parametrize(
    ("prefix", "address", "expected"),
    [
        (24, "192.168.0.0", False),
        (24, "192.168.0.255", False),
        (24, "192.168.0.254", True),
        (23, "192.168.0.255", True),
    ],
)
def test_ends_of_a_network_are_no_machines(nix: Evaluator, prefix: int, address: str, expected: bool) -> None:
    """The network's own address and the broadcast address belong to nobody."""
    assert ask(nix, f"isMachine {prefix} {quote(address)}") is expected


def test_next_address(nix: Evaluator) -> None:
    """The next address carries over octets; what is no address stays as it is, for the complaint about it."""
    assert ask(nix, '[ (next "192.168.0.53") (next "192.168.0.255") (next "here") ]') == [
        "192.168.0.54", "192.168.1.0", "here",
    ]  # fmt: skip


def test_sources_of_firewall_rules(nix: Evaluator) -> None:
    """An address or a network is one; a command after it is not."""
    given = ["192.168.0.1", "192.168.0.0/24", "10.0.0.0/8", "192.168.0.0/33", "192.168.0.1; reboot", "any", ""]
    asked = " ".join(f"(isAddressOrNetwork {quote(text)})" for text in given)
    assert ask(nix, f"[ {asked} ]") == [True, True, True, False, False, False, False]
