"""What DHCP clients keep between boots, and settings that give every clone one identifier.

Source: dhclient.leases(5), dhclient.conf(5), dhcpcd.conf(5), networkd.conf(5), systemd.network(5),
nm-settings-keyfile(5), RFC 8415 section 11 (DUID).
"""

import re
from collections.abc import Iterator

from imagekit.disk.tree import FileType
from imagekit.verify.view import View, fact

NM_STATE = "/var/lib/NetworkManager"
LEASE_DIRECTORIES = (
    "/var/lib/dhcp", "/var/lib/dhclient", "/var/lib/dhcpcd", "/var/lib/dhcpcd5", "/var/db/dhcpcd", NM_STATE,
    "/var/lib/wicked",
)  # fmt: skip
_NM_RECORDS = ("timestamps", "seen-bssids")
_DUID_FILES = (
    "/var/lib/dhcpcd/duid", "/var/lib/dhcpcd5/duid", "/var/db/dhcpcd/duid", "/etc/dhcpcd.duid",
    "/var/lib/wicked/duid.xml",
)  # fmt: skip
_DEFAULT_DUID = re.compile(r"^[ \t]*default-duid\s+\S", re.MULTILINE)
_RAW_DUID = re.compile(r"^[ \t]*DUIDRawData\s*=\s*\S", re.MULTILINE)
# What is computed on the clone is no fixed value: its MAC, its machine-id.
_DHCLIENT = re.compile(
    r"^[ \t]*(?:send|supersede|default)\s+dhcp-client-identifier(?:\s*=\s*|\s+)(?![=\s]|hardware\b)\S", re.MULTILINE
)
_DHCPCD = re.compile(r"^[ \t]*(?:clientid|duid)[ \t]+(?!(?:ll|llt|uuid)\s*$)[^\s#]", re.MULTILINE)
_NM_CLIENT_ID = re.compile(
    r"^[ \t]*dhcp-client-id\s*=\s*(?!(?:mac|perm-mac|duid|stable|none|ipv6-duid)\s*$)\S", re.MULTILINE
)
_NM_DUID = re.compile(
    r"^[ \t]*dhcp-duid\s*=\s*(?!(?:lease|llt|ll|stable-llt|stable-ll|stable-uuid)\s*$)\S", re.MULTILINE
)
_NETPLAN = re.compile(r"\bdhcp-identifier[\"']?\s*:\s*(?![\"']?(?:mac|duid)\b)[^\s}]")
_IFCFG = re.compile(r"^[ \t]*DHCP_CLIENT_ID\s*=\s*[\"']?[^\s\"']", re.MULTILINE)
_LIMIT = 256 << 10


def list_leases(view: View) -> Iterator[str]:
    """Yield every lease and record of networks that is not empty."""
    for directory in LEASE_DIRECTORIES:
        for path, node in view.children(directory):
            name = path.rsplit("/", 1)[-1]
            is_record = directory == NM_STATE and name in _NM_RECORDS
            if node.type is FileType.FILE and node.size and ("lease" in name or is_record):
                yield path


@fact
def read_duids(view: View) -> tuple[tuple[str, str], ...]:
    """Return path and description of every stored or fixed DHCP identifier; the identifier itself is not told."""
    return tuple(_read_everything(view))


def _read_everything(view: View) -> Iterator[tuple[str, str]]:
    for path in _DUID_FILES:
        node = view.tree.lstat(path)
        if node is not None and node.type is FileType.FILE and node.size:
            yield path, "a stored DUID"
    for path in list_leases(view):
        if _DEFAULT_DUID.search(view.text(path, _LIMIT) or ""):
            yield path, "a lease file with default-duid"
    for pattern, what, paths in (
        (_RAW_DUID, "DUIDRawData= is set", _list_networkd(view)),
        (_DHCLIENT, "a fixed dhcp-client-identifier", ["/etc/dhcp/dhclient.conf", "/etc/dhclient.conf"]),
        (_DHCPCD, "a fixed clientid or duid", ["/etc/dhcpcd.conf"]),
        (_NM_CLIENT_ID, "a fixed dhcp-client-id", _list_networkmanager(view)),
        (_NM_DUID, "a fixed dhcp-duid", _list_networkmanager(view)),
        (_NETPLAN, "a fixed dhcp-identifier", [path for path, _ in view.children("/etc/netplan", ".yaml")]),
        (_IFCFG, "a fixed DHCP_CLIENT_ID", [path for path, _ in view.children("/etc/sysconfig/network-scripts")]),
    ):
        for path in paths:
            if pattern.search(_read_settings(view, path)):
                yield path, what


def _read_settings(view: View, path: str) -> str:
    """Return a configuration file without its comment lines."""
    return "\n".join(line for line in view.lines(path) if not line.lstrip().startswith(("#", ";")))


def _list_networkd(view: View) -> list[str]:
    paths = [
        "/etc/systemd/networkd.conf",
        *(path for path, _ in view.children("/etc/systemd/networkd.conf.d", ".conf")),
    ]
    for path, node in view.children("/etc/systemd/network"):
        if path.endswith(".network"):
            paths.append(path)
        elif node.type is FileType.DIRECTORY and path.endswith(".network.d"):
            paths += [each for each, _ in view.children(path, ".conf")]
    return paths


def _list_networkmanager(view: View) -> list[str]:
    return [
        "/etc/NetworkManager/NetworkManager.conf",
        *(path for path, _ in view.children("/etc/NetworkManager/conf.d", ".conf")),
        *(path for path, _ in view.children("/etc/NetworkManager/system-connections")),
    ]
