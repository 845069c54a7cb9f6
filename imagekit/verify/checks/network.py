"""Network: a clone has another MAC, another NIC name and another address than the machine that was built on.

Source of the rules: systemd.network(5), systemd.link(5), netplan(5), interfaces(5), nm-settings-keyfile(5),
cloud-init's ``net/renderers.py``.
"""

from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.facts.cloud_config import read_cloud_config
from imagekit.verify.facts.network_files import read_bindings
from imagekit.verify.facts.system import Family, read_distribution
from imagekit.verify.facts.units import find_unit, is_enabled, is_usable
from imagekit.verify.view import CannotSee, View

# cloud-init net/renderers.py, DEFAULT_PRIORITY without the BSDs.
_RENDERERS = ("eni", "sysconfig", "netplan", "network-manager", "networkd")


def find_bound(view: View, _policy: Policy) -> Iterator[Seen]:
    """Look for configuration that is true for one machine only."""
    for binding in read_bindings(view):
        yield Seen(binding.path, binding.what, Severity.FAIL if binding.certain else Severity.WARN)


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


def find_resolv_conf(view: View, _policy: Policy) -> Iterator[Seen]:
    """A regular file with servers comes from the build network; a link, even a dangling one, is as it should be."""
    path = "/etc/resolv.conf"
    if view.tree.readlink(path) is not None:
        return
    lines = [line.split() for line in view.lines(path)]
    servers = [words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"]
    if servers:
        yield Seen(path, f"a regular file with nameserver {', '.join(servers[:3])}")


CHECKS = (
    Check(
        id="net-bound",
        severity=Severity.FAIL,
        subject=Subject.NETWORK,
        why="a clone has another MAC and NIC name: no network, or two clones on one address",
        fix="delete the file and let cloud-init write it; match NICs by type or pattern",
        find=find_bound,
        profiles=MACHINES,
    ),
    Check(
        id="net-renderer",
        severity=Severity.FAIL,
        subject=Subject.NETWORK,
        why="cloud-init writes a network configuration that no service reads",
        fix="systemctl enable systemd-networkd, or install netplan.io",
        find=find_renderer,
        profiles=MACHINES,
    ),
    Check(
        id="resolv-conf",
        severity=Severity.WARN,
        subject=Subject.NETWORK,
        why="clones ask the build network's name servers",
        fix="ln -sf ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf, or remove the file",
        find=find_resolv_conf,
        profiles=MACHINES,
    ),
)
