"""Whether anything will set up a clone's network: cloud-init, or configuration that a service reads.

Source: cloud-init's ``stages.py`` (``network: {config: disabled}``, ``network-config=disabled``), systemd.network(5),
netplan(5), interfaces(5), NetworkManager.conf(5) (``no-auto-default``).
"""

import fnmatch
from collections.abc import Iterator

from imagekit.verify.facts.boot_entries import read_arguments
from imagekit.verify.facts.cloud_config import find_switches, is_installed, read_cloud_config
from imagekit.verify.facts.units import is_enabled, is_usable
from imagekit.verify.facts.yaml_text import YamlInvalid, read_yaml
from imagekit.verify.view import CannotSee, View, fact

# Names that the kernel and udev give to the first NIC of a virtual machine, by machine type and setting.
_NAMES = ("eth0", "ens18", "enp6s18", "enp1s0")
_NETWORK_DIRECTORIES = ("/etc/systemd/network", "/usr/lib/systemd/network", "/lib/systemd/network")
# Units that do not stand for a NIC of the machine.
_OTHER_KINDS = ("Kind", "Virtualization")


@fact
def writes_cloud_network(view: View) -> bool:
    """Say whether cloud-init will run on a clone and write its network configuration."""
    if not is_installed(view) or find_switches(view):
        return False
    if any(argument.text == "network-config=disabled" for argument in read_arguments(view)):
        return False
    try:
        return bool(read_cloud_config(view).get("network", "config") != "disabled")
    except CannotSee:
        return True  # its built-in configuration


@fact
def find_network_configuration(view: View) -> tuple[str, ...]:
    """Return the services that boot starts and that have configuration for a NIC, without cloud-init's help."""
    found = []
    if is_enabled(view, "systemd-networkd.service", "systemd-networkd.socket") and matches_nic(view):
        found.append("systemd-networkd")
    if is_usable(view, "systemd-networkd.service", "NetworkManager.service") and _has_netplan(view):
        found.append("netplan")
    if is_enabled(view, "NetworkManager.service") and _networkmanager_connects(view):
        found.append("NetworkManager")
    if is_enabled(view, "networking.service") and _has_interfaces(view):
        found.append("ifupdown")
    if is_enabled(view, "dhcpcd.service", "connman.service", "iwd.service", "network.service", "wicked.service"):
        found.append("another client")
    return tuple(found)


@fact
def matches_nic(view: View) -> bool:
    """Say whether a ``.network`` file, netplan's included, is for a NIC that a virtual machine has."""
    if any(_matches(view, path) for path in _list_network_files(view)):
        return True
    return _has_netplan(view)


def _list_network_files(view: View) -> Iterator[str]:
    """Yield the files that count: one in ``/etc`` hides its namesakes, an empty one or a link to /dev/null masks."""
    seen = set()
    for directory in _NETWORK_DIRECTORIES:
        for path, _ in view.children(directory, ".network"):
            name = path.rsplit("/", 1)[-1]
            if name not in seen:
                seen.add(name)
                yield path


def _matches(view: View, path: str) -> bool:
    """Say whether the ``[Match]`` section fits a VM's NIC: all its lines must; a name fits when one pattern does."""
    section, fits, has_match = "", True, False
    for line in view.lines(path):
        line = line.strip()
        if line.startswith("["):
            section = line
            continue
        key, _, value = (part.strip() for part in line.partition("="))
        if section != "[Match]" or not value or key.startswith(("#", ";")):
            continue
        has_match = True
        if key in ("Name", "OriginalName"):
            fits &= any(fnmatch.fnmatchcase(name, pattern) for pattern in value.split()[:16] for name in _NAMES)
        elif key == "Type":
            fits &= "ether" in value.split()
        elif key in _OTHER_KINDS and not value.startswith("!"):
            fits = False
    return has_match and fits


def _has_netplan(view: View) -> bool:
    for directory in ("/etc/netplan", "/usr/lib/netplan", "/lib/netplan"):
        for path, _ in view.children(directory, ".yaml"):
            try:
                content = read_yaml(view.text(path) or "")
            except YamlInvalid:
                continue
            network = content.get("network") if isinstance(content, dict) else None
            if isinstance(network, dict) and (network.get("ethernets") or network.get("renderer") == "NetworkManager"):
                return True
    return False


def _networkmanager_connects(view: View) -> bool:
    """Say whether NetworkManager has a connection, or makes one of its own for every NIC as it does by default."""
    if next(view.children("/etc/NetworkManager/system-connections"), None) is not None:
        return True
    files = ["/etc/NetworkManager/NetworkManager.conf"]
    for directory in ("/etc/NetworkManager/conf.d", "/usr/lib/NetworkManager/conf.d"):
        files += [path for path, _ in view.children(directory, ".conf")]
    return not any(line.replace(" ", "").startswith("no-auto-default=*") for path in files for line in view.lines(path))


def _has_interfaces(view: View) -> bool:
    for path in ("/etc/network/interfaces", *(path for path, _ in view.children("/etc/network/interfaces.d"))):
        for line in view.lines(path):
            words = line.split()
            if len(words) > 1 and words[0] == "iface" and words[1] != "lo":
                return True
            if words[:1] == ["source-directory"] or (words[:1] == ["source"] and "/run/" in line):
                return True  # Debian's cloud images: a helper writes /run/network/interfaces.d for each NIC
    return False
