"""Rules about network cards and addresses."""

import ipaddress
import re
from collections.abc import Iterator

from imagekit.build.packer.lint.rule import CLONE, ISO, PROXMOX, Case, Finding, Level, Rule, Subject

_MAC = re.compile(r"[0-9A-Fa-f][02468ACEace](:[0-9A-Fa-f]{2}){5}")
_WORDS = ("dhcp", "auto", "manual")


def find_no_card(case: Case) -> Iterator[Finding]:
    """Yield machines that nobody can reach."""
    if case.block.lacks_block("network_adapters") and case.block.read_text("communicator", "ssh") in ("ssh", "winrm"):
        yield Finding(case.block.file, case.block.line, case.name(case.block), "no block network_adapters")


def find_strange_vlans(case: Case) -> Iterator[Finding]:
    """Yield VLAN tags that do not exist; the plugin drops what is no number."""
    for block in case.block.list_blocks("network_adapters"):
        text = block.read_text("vlan_tag")
        if text is not None and not (re.fullmatch(r"[0-9]{1,4}", text) and 1 <= int(text) <= 4094):
            yield case.at(block, "vlan_tag")


def find_strange_macs(case: Case) -> Iterator[Finding]:
    """Yield hardware addresses that are none, or that mean a group; ``repeatable`` is the plugin's own word."""
    for block in case.block.list_blocks("network_adapters"):
        text = block.read_text("mac_address")
        if text is not None and text != "repeatable" and not _MAC.fullmatch(text):
            yield case.at(block, "mac_address")


def find_strange_addresses(case: Case) -> Iterator[Finding]:
    """Yield addresses that are none, and gateways that the machine cannot reach."""
    for block in case.block.list_blocks("ipconfig"):
        for name, gateway_name in (("ip", "gateway"), ("ip6", "gateway6")):
            network = None
            text = block.read_text(name)
            if text is not None and text not in _WORDS:
                try:
                    network = ipaddress.ip_interface(text).network if "/" in text else None
                except ValueError:
                    network = None
                if network is None:
                    yield case.at(block, name)
            gateway = block.read_text(gateway_name)
            if gateway is None:
                continue
            try:
                address = ipaddress.ip_address(gateway)
            except ValueError:
                yield case.at(block, gateway_name)
                continue
            outside = network is not None and (address.version != network.version or address not in network)
            if outside and not address.is_link_local:
                yield case.at(block, gateway_name, f"{gateway_name} {gateway} is not in {network}")


def find_served_files(case: Case) -> Iterator[Finding]:
    """Yield builds whose guest must reach this machine."""
    for name in ("http_directory", "http_content"):
        if case.block.has(name):
            yield case.at(case.block, name, name)
            return
    if any("HTTPIP" in text for text in case.block.read_texts("boot_command") or ()):
        yield case.at(case.block, "boot_command", "{{ .HTTPIP }}")


RULES = (
    Rule(
        "nic-missing", Level.ERROR, Subject.NETWORK, ISO, find_no_card,
        "Packer waits for SSH until ssh_timeout ends", 'add network_adapters { model = "virtio" bridge = "vmbr0" }',
    ),
    Rule(
        "vlan-tag", Level.ERROR, Subject.NETWORK, PROXMOX, find_strange_vlans,
        "the cluster refuses the card, or the plugin leaves the tag out without a word", "1 to 4094",
    ),
    Rule(
        "mac-form", Level.ERROR, Subject.NETWORK, PROXMOX, find_strange_macs,
        "the plugin leaves the address out without a word", 'six bytes, the first even: "BC:24:11:00:00:01"',
    ),
    Rule(
        "address-form", Level.ERROR, Subject.NETWORK, CLONE, find_strange_addresses,
        "the machine comes up without a network, and Packer waits for SSH until ssh_timeout ends",
        'ip = "192.0.2.10/24" with a gateway in that network, or "dhcp"',
    ),
    Rule(
        "http-server", Level.WARNING, Subject.NETWORK, PROXMOX, find_served_files,
        "the guest must reach this machine: another network, a firewall or a VPN and it waits for ever",
        "put the files on a CD: cd_content with cd_label",
    ),
)  # fmt: skip
