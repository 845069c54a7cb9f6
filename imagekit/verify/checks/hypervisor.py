"""What Proxmox needs from inside the guest."""

from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import MACHINES, Check, Policy, Seen, Subject
from imagekit.verify.facts.units import find_unit
from imagekit.verify.view import View

_UNIT = "qemu-guest-agent.service"
_PROGRAMS = ("/usr/sbin/qemu-ga", "/usr/bin/qemu-ga", "/sbin/qemu-ga")
_RULES = ("/etc/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")


def find_guest_agent(view: View, _policy: Policy) -> Iterator[Seen]:
    """The program, an unmasked unit, and something that starts it: a link, or a udev rule as on Debian."""
    if not any(view.is_file(path) for path in _PROGRAMS):
        yield Seen(_PROGRAMS[0], "there is no such file")
        return
    unit = find_unit(view, _UNIT)
    if unit is None:
        yield Seen(f"/usr/lib/systemd/system/{_UNIT}", "there is no such unit")
    elif unit.masked:
        yield Seen(unit.path, "the unit is masked")
    elif not unit.pulled_by and not _is_started_by_udev(view):
        yield Seen(unit.path, "neither a link nor a udev rule starts the unit")
    for line in view.lines("/etc/sysconfig/qemu-ga"):
        key, _, value = line.partition("=")
        # qemu-ga(8): BLACKLIST_RPC lists what is refused; FILTER_RPC_ARGS may hold --allow-rpcs, which is the reverse.
        blocks = key.strip() == "BLACKLIST_RPC" or (key.strip() == "FILTER_RPC_ARGS" and "--block-rpcs" in value)
        if blocks and "guest-exec" in value:
            yield Seen("/etc/sysconfig/qemu-ga", "guest-exec is refused", Severity.WARN)


def _is_started_by_udev(view: View) -> bool:
    """Say whether a rule wants the unit; one of the same name in ``/etc`` replaces the vendor's (udev(7))."""
    seen: set[str] = set()
    for directory in _RULES:
        for path, _ in view.children(directory, ".rules"):
            name = path.rsplit("/", 1)[-1]
            if name not in seen:
                seen.add(name)
                for line in view.lines(path):
                    if "SYSTEMD_WANTS" in line and _UNIT in line and not line.lstrip().startswith("#"):
                        return True
    return False


CHECKS = (
    Check(
        id="qemu-guest-agent",
        severity=Severity.FAIL,
        subject=Subject.HYPERVISOR,
        why="Proxmox gets no address from the clone, cannot shut it down cleanly, and cannot freeze it for backups",
        fix="`apt install qemu-guest-agent; systemctl unmask qemu-guest-agent`",
        find=find_guest_agent,
        profiles=MACHINES,
    ),
)
