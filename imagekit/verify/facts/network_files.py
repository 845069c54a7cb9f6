"""Network configuration that names one machine: its MAC, its addresses, its interface names.

Read: netplan, systemd-networkd and its links, NetworkManager keyfiles, ifcfg files, interfaces(5), persistent rules.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from imagekit.verify.facts.boot_entries import read_arguments
from imagekit.verify.facts.yaml_text import YamlInvalid, read_yaml
from imagekit.verify.view import View, fact

_MAC = re.compile(r"\b(?:[0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}\b")
_PATTERN = re.compile(r"[*?\[!/]")
# systemd.netdev(5): names that the configuration itself creates, so they are the same on every clone.
_OWN_DEVICES = re.compile(r"(?:lo|docker|br|bond|dummy|veth|vlan|wg|tun|tap|virbr|lxdbr|cni|flannel)[\d-]*$")


@dataclass(frozen=True, slots=True)
class Binding:
    """A file bound to a machine: ``certain`` for a MAC or an address, not for a mere interface name."""

    path: str
    what: str
    certain: bool


@fact
def read_bindings(view: View) -> tuple[Binding, ...]:
    """Return what binds the image's network configuration to one machine."""
    return tuple(
        dict.fromkeys(
            (
                *_read_netplan(view),
                *_read_networkd(view),
                *_read_keyfiles(view),
                *_read_ifcfg(view),
                *_read_interfaces(view),
                *_read_rules(view),
            )
        )
    )


def _is_fixed(view: View, name: str) -> bool:
    """Say whether an interface name is bound to hardware; ``eth0`` is not where the kernel numbers NICs itself."""
    if not name or _PATTERN.search(name) or _OWN_DEVICES.match(name):
        return False
    numbered = any(argument.text == "net.ifnames=0" for argument in read_arguments(view))
    return not (numbered and name.startswith("eth"))


def _read_netplan(view: View) -> Iterator[Binding]:
    for directory in ("/etc/netplan", "/usr/lib/netplan", "/lib/netplan"):
        for path, _ in view.children(directory, ".yaml"):
            if not view.is_file(path):
                continue
            try:
                content = read_yaml(view.text(path) or "")
            except YamlInvalid as problem:
                yield Binding(path, f"cannot be read: {problem}", False)
                continue
            network = content.get("network") if isinstance(content, dict) else None
            for kind, devices in network.items() if isinstance(network, dict) else ():
                for name, device in devices.items() if isinstance(devices, dict) else ():
                    if isinstance(device, dict):
                        yield from _judge_netplan(view, path, kind, str(name), device)


def _judge_netplan(view: View, path: str, kind: str, name: str, device: dict[str, Any]) -> Iterator[Binding]:
    match = device.get("match")
    match = match if isinstance(match, dict) else {}
    if match.get("macaddress") or device.get("macaddress"):
        yield Binding(path, f"{name} is bound to a MAC address", True)
    if device.get("addresses"):
        yield Binding(path, f"{name} has a static address", True)
    if device.get("gateway4") or device.get("gateway6") or device.get("routes"):
        yield Binding(path, f"{name} has a fixed gateway", True)
    wanted = match.get("name", "*") if match else name
    names = wanted if isinstance(wanted, list) else [wanted]
    if kind in ("ethernets", "wifis") and any(_is_fixed(view, str(each)) for each in names):
        yield Binding(path, f"is for the interface {names[0]} only", False)


def _read_sections(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield section, key and value of an INI-like file as systemd and NetworkManager write it; keys may repeat."""
    section = ""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line and line[0] not in "#;":
            key, _, value = line.partition("=")
            yield section, key.strip(), value.strip()


def _read_networkd(view: View) -> Iterator[Binding]:
    for suffix in (".network", ".link", ".netdev"):
        for path, _ in view.children("/etc/systemd/network", suffix):
            sections = list(_read_sections(view.text(path) or ""))
            by_type = any(section == "Match" and key in ("Type", "Kind") for section, key, _ in sections)
            for section, key, value in sections:
                match section, key:
                    case "Match", "MACAddress" | "PermanentMACAddress" if value:
                        yield Binding(path, "is bound to a MAC address", True)
                    case "Link", "MACAddress" if value:
                        yield Binding(path, "sets a MAC address", True)
                    case ("Network" | "Address", "Address") if value and not value.startswith(("127.", "::1")):
                        yield Binding(path, "has a static address", True)
                    case ("Network" | "Route", "Gateway") if value and not value.startswith("_"):
                        yield Binding(path, "has a fixed gateway", True)
                    case "Match", "Name" | "OriginalName" if not by_type:
                        for name in value.split():
                            if _is_fixed(view, name):
                                yield Binding(path, f"is for the interface {name} only", False)


def _read_keyfiles(view: View) -> Iterator[Binding]:
    for path, _ in view.children("/etc/NetworkManager/system-connections"):
        for section, key, value in _read_sections(view.text(path) or ""):
            if key in ("mac-address", "cloned-mac-address") and _MAC.fullmatch(value):
                yield Binding(path, "is bound to a MAC address", True)
            elif section in ("ipv4", "ipv6") and re.fullmatch(r"address(?:es|\d+)", key) and value:
                yield Binding(path, "has a static address", True)
            elif section in ("ipv4", "ipv6") and key == "gateway" and value:
                yield Binding(path, "has a fixed gateway", True)
            elif section == "connection" and key == "interface-name" and _is_fixed(view, value):
                yield Binding(path, f"is for the interface {value} only", False)


def _read_ifcfg(view: View) -> Iterator[Binding]:
    for path, _ in view.children("/etc/sysconfig/network-scripts"):
        if not path.rsplit("/", 1)[-1].startswith("ifcfg-"):
            continue
        for _, key, value in _read_sections(view.text(path) or ""):
            value = value.strip("\"'")
            if key in ("HWADDR", "MACADDR") and value:
                yield Binding(path, "is bound to a MAC address", True)
            elif re.fullmatch(r"(?:IPADDR|GATEWAY)\d*|IPV6ADDR|IPV6_DEFAULTGW", key) and not value.startswith("127."):
                yield Binding(path, "has a static address or gateway", True)
            elif key == "DEVICE" and _is_fixed(view, value):
                yield Binding(path, f"is for the interface {value} only", False)


def _read_interfaces(view: View) -> Iterator[Binding]:
    paths = ["/etc/network/interfaces", *(path for path, _ in view.children("/etc/network/interfaces.d"))]
    for path in paths:
        interface = ""
        for line in view.lines(path):
            words = line.split()
            if len(words) < 2 or words[0].startswith("#"):
                continue
            if words[0] == "iface":
                interface = words[1]
                if _is_fixed(view, interface):
                    yield Binding(path, f"is for the interface {interface} only", False)
            elif words[0] == "hwaddress" and _MAC.search(line):
                yield Binding(path, "sets a MAC address", True)
            elif words[0] in ("address", "gateway") and not _OWN_DEVICES.match(interface):
                yield Binding(path, f"{interface} has a static {words[0]}", True)


def _read_rules(view: View) -> Iterator[Binding]:
    path = "/etc/udev/rules.d/70-persistent-net.rules"  # a directory of that name only blocks the file
    if _MAC.search(view.text(path) or ""):
        yield Binding(path, "names interfaces by MAC address", True)
