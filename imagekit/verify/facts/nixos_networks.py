"""What gives a NixOS system its addresses, and for which interfaces: networkd, scripts, dhcpcd, NetworkManager.

Asked of a view in which ``/etc`` is the system's own. Sources: systemd.network(5), dhcpcd.conf(5), nixpkgs'
network-interfaces-scripted.nix, network-interfaces-systemd.nix and dhcpcd.nix.
"""

import re
from dataclasses import dataclass

from imagekit.verify.facts.units import is_enabled
from imagekit.verify.view import View, fact

_UNITS = "/etc/systemd/system"
_NETWORKS = "/etc/systemd/network"
_SCRIPTED = re.compile(r"network-addresses-(.{1,64})\.service")
_DHCPCD_CONFIG = re.compile(r"/nix/store/[0-9a-z]{32}-dhcpcd\.conf")
_MANAGERS = ("NetworkManager.service", "connman.service")
_OFF = ("", "no", "false", "0", "off")
_OWN = re.compile(r"(?:lo|docker|podman|br|bond|dummy|veth|vlan|wg|tun|tap|virbr)[\d-]*[*]?")
_LIMIT = 1 << 20


@dataclass(frozen=True, slots=True)
class Network:
    """One thing that gives addresses; ``names`` are the interfaces it is for, empty when they are not told by name."""

    path: str
    names: tuple[str, ...]


@fact
def list_networks(system: View) -> tuple[Network, ...]:
    """Return what configures an interface that may be a card's own, in the order networkd, scripts, dhcpcd, others."""
    found = []
    if is_enabled(system, "systemd-networkd.service", "systemd-networkd.socket"):
        for path, _ in system.children(_NETWORKS, ".network"):
            if (network := _read_network(system, path)) is not None:
                found.append(network)
    for path, _ in system.children(_UNITS, ".service"):
        match = _SCRIPTED.fullmatch(path.rsplit("/", 1)[-1])
        if match is not None and not _OWN.fullmatch(match.group(1)):
            found.append(Network(path, (match.group(1),)))
    if is_enabled(system, "dhcpcd.service"):
        found.append(_read_dhcpcd(system))
    found += [Network(f"{_UNITS}/{name}", ()) for name in _MANAGERS if is_enabled(system, name)]
    return tuple(found)


def _read_network(system: View, path: str) -> Network | None:
    """Return what a networkd file is for; ``None`` when it gives no address, or one to a device of software."""
    section, names, by_other, gives = "", [], False, False
    for line in system.lines(path):
        line = line.strip()
        if line.startswith("["):
            section = line.strip("[]")
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or line[0] in "#;":
            continue
        match section, key:
            case "Match", "Name":
                names += value.split()
            case "Match", "Type" | "MACAddress" | "PermanentMACAddress" | "Path" | "Driver":
                by_other = True
            case ("Network", "DHCP" | "Address") | ("Address", "Address"):
                gives = gives or value.lower() not in _OFF
    if not gives or (names and all(_OWN.fullmatch(name) for name in names)):
        return None
    return Network(path, () if by_other and not names else tuple(names))


@dataclass(frozen=True, slots=True)
class StaticNetworks:
    """The fixed addresses, each with its prefix, and the routers that files of systemd-networkd give."""

    addresses: tuple[str, ...]
    gateways: tuple[str, ...]


@fact
def read_static_networks(system: View) -> StaticNetworks:
    """Return what the system's ``.network`` files give, in their order; nothing where networkd is not started."""
    addresses: list[str] = []
    gateways: list[str] = []
    if is_enabled(system, "systemd-networkd.service", "systemd-networkd.socket"):
        for path, _ in system.children(_NETWORKS, ".network"):
            for line in system.lines(path):
                key, _, value = (part.strip() for part in line.partition("="))
                addresses += [value] if key == "Address" and value else []
                gateways += [value] if key == "Gateway" and value else []
    return StaticNetworks(tuple(addresses), tuple(gateways))


def _read_dhcpcd(system: View) -> Network:
    path = f"{_UNITS}/dhcpcd.service"
    config = _DHCPCD_CONFIG.search(system.text(path, _LIMIT) or "")
    names: list[str] = []
    for line in system.lines(config.group()) if config else []:
        keyword, *words = line.split() or [""]
        if keyword == "allowinterfaces":
            names += words
    return Network(config.group() if config and names else path, tuple(names))
