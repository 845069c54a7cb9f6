"""Network: a clone has another MAC, another NIC name and another address than the machine that was built on.

Source of the rules: systemd.network(5), systemd.link(5), netplan(5), interfaces(5), nm-settings-keyfile(5),
cloud-init's ``net/renderers.py``.
"""

from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import EVERYWHERE, MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.facts.cloud_config import read_cloud_config
from imagekit.verify.facts.firewall import find_closed_firewalls
from imagekit.verify.facts.network_files import list_generated, read_bindings, read_udev_names
from imagekit.verify.facts.network_state import find_network_configuration, matches_nic, writes_cloud_network
from imagekit.verify.facts.system import Family, read_distribution
from imagekit.verify.facts.units import find_unit, is_enabled, is_usable
from imagekit.verify.view import CannotSee, View

# cloud-init net/renderers.py, DEFAULT_PRIORITY without the BSDs.
_WAIT = "systemd-networkd-wait-online.service"
_RENDERERS = ("eni", "sysconfig", "netplan", "network-manager", "networkd")


def find_bound(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for configuration that is true for one machine only."""
    bindings = read_bindings(view)
    certain = {binding.path for binding in bindings if binding.certain}
    for binding in bindings:
        if binding.certain:
            yield Seen(binding.path, binding.what, Severity.FAIL)
        elif binding.path not in certain:  # a file that fails is named once
            yield Seen(binding.path, binding.what, Severity.WARN)


def find_renderer(view: View, _policy: Policy) -> Iterator[Seen]:
    """What cloud-init will write must be read by a service that boot starts.

    cloud-init takes the first renderer of its list whose programs exist; whether that service is enabled it does not
    ask everywhere, so both are looked at.
    """
    try:
        wanted = read_cloud_config(view).get("system_info", "network", "renderers")
    except CannotSee:
        wanted = None
    names = [str(name) for name in wanted] if isinstance(wanted, list) and wanted else list(_RENDERERS)
    states = {name: _find_renderer_state(view, name) for name in names}
    present = [name for name in names if states[name] is not None]
    if not present:
        yield Seen("/etc/cloud/cloud.cfg", f"none of {', '.join(names)} is installed")
    elif not any(states[name] for name in present):
        yield Seen("/etc/systemd/system", f"installed but not enabled: {', '.join(present)}")
    elif not states[present[0]]:
        good = next(name for name in present if states[name])
        found = f"cloud-init writes for {present[0]}, which is not enabled; {good} is"
        yield Seen("/etc/cloud/cloud.cfg", found, Severity.WARN)


def _find_renderer_state(view: View, name: str) -> bool | None:
    """Say whether a renderer's service is enabled; ``None`` when the renderer is not installed."""
    match name:
        case "eni":
            is_installed = any(view.is_file(f"{place}/ifup") for place in ("/usr/sbin", "/sbin"))
            return is_enabled(view, "networking.service") if is_installed else None
        case "netplan":
            if not any(view.is_file(f"{place}/netplan") for place in ("/usr/sbin", "/sbin", "/usr/bin")):
                return None
            # netplan's generator starts its backend itself, so the unit must only be there.
            return is_usable(view, "systemd-networkd.service", "NetworkManager.service")
        case "network-manager":
            if find_unit(view, "NetworkManager.service") is None:
                return None
            return is_enabled(view, "NetworkManager.service")
        case "networkd":
            if find_unit(view, "systemd-networkd.service") is None:
                return None
            return is_enabled(view, "systemd-networkd.service")
        case "sysconfig":
            # cloud-init offers this renderer on Red Hat's and SUSE's families only.
            is_debian = read_distribution(view).family is Family.DEBIAN
            if is_debian or not view.exists("/etc/sysconfig/network-scripts"):
                return None
            return is_enabled(view, "NetworkManager.service", "network.service")
        case _:
            return None


def find_generated(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for network files that cloud-init or an installer wrote, by content and by name."""
    bound = {binding.path for binding in read_bindings(view)}
    for path, writer in list_generated(view):
        if path not in bound:  # what names one machine is net-bound's
            yield Seen(path, f"written by {writer}")


def find_no_network(view: View, _policy: Policy) -> Iterator[Seen]:
    """Either cloud-init writes the network's configuration on each clone, or a started service has one for a NIC."""
    if not writes_cloud_network(view) and not find_network_configuration(view):
        yield Seen(
            "/etc", "cloud-init will not set up the network, and no service that boot starts has a NIC to set up"
        )


def find_udev_names(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for udev rules and link files that are about one machine's NIC; a directory of a rule's name blocks it."""
    for binding in read_udev_names(view):
        yield Seen(binding.path, binding.what, Severity.FAIL if binding.certain else Severity.WARN)


def find_closed_firewall(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look at enabled firewalls that drop by default: one of their rules must let SSH in."""
    for firewall in find_closed_firewalls(view):
        yield Seen(firewall.path, f"{firewall.name} is enabled and no rule lets SSH in", fix=firewall.fix)


def find_wait_online(view: View, _policy: Policy) -> Iterator[Seen]:
    """systemd-networkd's wait must have something to wait for: cloud-init's file, or one that fits a VM's NIC."""
    unit = find_unit(view, _WAIT)
    if unit is None or not unit.enabled or "--any" in unit.text:
        return
    if not writes_cloud_network(view) and not matches_nic(view):
        yield Seen(unit.pulled_by[0], "enabled, but systemd-networkd has no file for any NIC")


def find_resolv_conf(view: View, _policy: Policy) -> Iterator[Seen]:
    """A regular file with servers comes from the build network; a link, even a dangling one, is as it should be."""
    path = "/etc/resolv.conf"
    if view.tree.readlink(path) is not None:
        return
    lines = [line.split() for line in view.lines(path)]
    servers = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    servers = [server for server in servers if not server.startswith(("127.", "::1"))]  # a resolver of its own
    if servers:
        yield Seen(path, f"a regular file with nameserver {', '.join(servers[:3])}")
    elif any(len(words) > 1 and words[0] in ("search", "domain") and words[1] != "." for words in lines):
        yield Seen(path, "a regular file with a search domain")


CHECKS = (
    Check(
        id="net-bound",
        severity=Severity.FAIL,
        subject=Subject.NETWORK,
        why="a clone has another MAC and NIC name: no network, or two clones on one address",
        fix='`rm -rf "$path"` and let cloud-init write it; match network cards by type or pattern',
        find=find_bound,
        profiles=MACHINES,
    ),
    Check(
        id="net-renderer",
        severity=Severity.FAIL,
        subject=Subject.NETWORK,
        why="cloud-init writes a network configuration that no service reads",
        fix="`systemctl enable systemd-networkd`, or install netplan.io",
        find=find_renderer,
        profiles=MACHINES,
    ),
    Check(
        id="resolv-conf",
        severity=Severity.WARN,
        subject=Subject.NETWORK,
        why="clones ask the build network's name servers",
        fix="`ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf`, or remove the file",
        find=find_resolv_conf,
        profiles=MACHINES,
    ),
    Check(
        id="net-generated",
        severity=Severity.WARN,
        subject=Subject.NETWORK,
        why="what was written for the build machine is merged with what cloud-init writes for the clone",
        fix=(
            "`rm -f /etc/netplan/50-cloud-init.yaml /etc/netplan/00-installer-config.yaml "
            "/etc/network/interfaces.d/50-cloud-init* /etc/systemd/network/10-cloud-init-*`"
        ),
        find=find_generated,
        profiles=EVERYWHERE,
    ),
    Check(
        id="net-none",
        severity=Severity.FAIL,
        subject=Subject.NETWORK,
        why="the clone boots and has no address",
        fix=(
            "`printf '[Match]\\nName=en* eth*\\n[Network]\\nDHCP=yes\\n' > /etc/systemd/network/80-dhcp.network && "
            "systemctl enable systemd-networkd`"
        ),
        find=find_no_network,
        profiles=MACHINES,
    ),
    Check(
        id="udev-net-rules",
        severity=Severity.FAIL,
        subject=Subject.NETWORK,
        why="the clone's NIC has another MAC and gets another name than the one that is configured",
        fix="`rm -f /etc/udev/rules.d/70-persistent-net.rules`, and the .link files named here",
        find=find_udev_names,
        profiles=MACHINES,
    ),
    Check(
        id="firewall-ssh",
        severity=Severity.WARN,
        subject=Subject.NETWORK,
        why="the clone is up and cannot be reached",
        fix="allow SSH's port in the firewall",
        find=find_closed_firewall,
        profiles=MACHINES,
    ),
    Check(
        id="wait-online",
        severity=Severity.WARN,
        subject=Subject.NETWORK,
        why="every boot waits two minutes for a network that systemd-networkd does not set up",
        fix=f"`systemctl disable {_WAIT}`",
        find=find_wait_online,
        profiles=MACHINES,
    ),
)
