"""``[images.NAME.nix]`` and ``[images.NAME.site]``: which flake makes a card, and what it is told about one house."""

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv6Address, NetmaskValueError, ip_address
from pathlib import Path

from imagekit.definition.accounts import read_new_account, read_ssh_key
from imagekit.definition.files import read_directory
from imagekit.definition.lint import Contradiction
from imagekit.definition.model import NixBuild, Site
from imagekit.definition.problems import Wrong, quote
from imagekit.definition.table import Table
from imagekit.definition.values import Scope, read_each, read_text

_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")  # RFC 1123 section 2.1, in lower case
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")  # Linux: IFNAMSIZ is 16 with the zero at the end
# Nix: an attribute path of identifiers; no quoted parts, which nobody needs here.
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_'-]*(?:\.[A-Za-z_][A-Za-z0-9_'-]*)*")
_MOST_RESOLVERS = 3  # resolv.conf(5): MAXNS


def read_flake(value: object, scope: Scope) -> Path:
    """Return a directory that holds a ``flake.nix``."""
    path = read_directory(value, scope)
    if not (path / "flake.nix").is_file():
        raise Wrong(f"{quote(str(value))} holds no flake.nix")
    return path


def read_attribute(value: object, scope: Scope) -> str:
    """Return the name of a flake's output, with dots between its parts."""
    text = read_text(value, scope)
    if not _ATTRIBUTE.fullmatch(text):
        raise Wrong(f'{quote(text)} cannot name an output of a flake, such as "pihole-image"')
    return text


def read_host_name(value: object, scope: Scope) -> str:
    """Return a host's name without its domain."""
    text = read_text(value, scope)
    if "." in text:
        raise Wrong(f"{quote(text)} has a domain; give the host's name alone")
    if not _LABEL.fullmatch(text):
        raise Wrong(f"{quote(text)} cannot name a host; use 1 to 63 of a-z, 0-9 and '-', not at either end")
    return text


def read_address(value: object, scope: Scope) -> IPv4Interface:
    """Return an IPv4 address with the length of its network's prefix."""
    text = read_text(value, scope)
    if "/" not in text:
        raise Wrong(f'{quote(text)} does not say how large its network is; write it as "192.168.0.53/24"')
    try:
        address = IPv4Interface(text)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise Wrong(f'{quote(text)} is not an IPv4 address with a prefix, such as "192.168.0.53/24"') from None
    network = address.network
    if network.prefixlen < 31 and address.ip in (network.network_address, network.broadcast_address):
        raise Wrong(f"{quote(text)} is the network's own address, which no machine can have")
    if not 8 <= network.prefixlen <= 31:
        raise Wrong(f"{quote(text)} has a network without room for a gateway, or one larger than any site has")
    return address


def read_gateway(value: object, scope: Scope) -> IPv4Address:
    """Return the IPv4 address of the router."""
    text = read_text(value, scope)
    try:
        return IPv4Address(text)
    except AddressValueError:
        raise Wrong(f'{quote(text)} is not an IPv4 address, such as "192.168.0.1"') from None


def read_resolver(value: object, scope: Scope) -> IPv4Address | IPv6Address:
    """Return the address of a resolver."""
    text = read_text(value, scope)
    try:
        return ip_address(text)
    except ValueError:
        raise Wrong(f"{quote(text)} is not an IP address; a name could not be resolved yet") from None


def read_interface(value: object, scope: Scope) -> str:
    """Return a network interface's name, or nothing for any wired one."""
    text = read_text(value, scope)
    if text and not _INTERFACE.fullmatch(text):
        raise Wrong(f'{quote(text)} cannot name a network interface, such as "end0"')
    return text


def find_site_contradictions(site: Site) -> Iterator[Contradiction]:
    """Yield what an ``[images.NAME.site]`` says against itself."""
    network, own = site.address.network, site.address.ip
    if site.gateway not in network:
        why = f"{site.gateway} is not in {network}, so {own} could not reach it"
        yield Contradiction("gateway", why, ("address", "gateway"))
    if site.gateway == own:
        yield Contradiction("gateway", f"{own} is the machine's own address", ("address", "gateway"))
    if own in site.dns:
        why = f"{own} is the machine itself, which cannot ask itself before it runs"
        yield Contradiction("dns", why, ("address", "dns"))
    if not site.dns:
        why = "needs a resolver: without one the machine cannot fetch what its own resolver is made of"
        yield Contradiction("dns", why, ("dns",))
    if len(site.dns) > _MOST_RESOLVERS:
        yield Contradiction("dns", f"only {_MOST_RESOLVERS} resolvers are ever asked (resolv.conf(5))", ("dns",))


NIX = Table(NixBuild, {"flake": read_flake, "attribute": read_attribute, "configuration": read_attribute})
SITE = Table(
    Site,
    {
        "host_name": read_host_name,
        "address": read_address,
        "gateway": read_gateway,
        "dns": read_each(read_resolver, unique=str),
        "ssh_keys": read_each(read_ssh_key, unique=str),
        "interface": read_interface,
        "admin": read_new_account,
    },
    find=find_site_contradictions,
)
