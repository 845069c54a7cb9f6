"""Two machines from one template: nothing that names the one may name the other."""

from collections.abc import Iterator

from imagekit.report import Severity
from imagekit.verify.check import Check, Policy, Profile, Seen, Subject
from imagekit.verify.live import LiveFacts
from imagekit.verify.view import CannotSee, View


def find_twins(view: View, _policy: Policy) -> Iterator[Seen]:
    """Compare machine-id, SSH host keys and SMBIOS UUID with those of the other machine; names and addresses too."""
    live = view.live()
    if live.twin is None:
        raise CannotSee("no other machine was named to compare with")
    twin = live.twin
    if live.boot_id and live.boot_id == twin.boot_id:
        raise CannotSee("both addresses lead to the same machine")
    if live.machine_id and live.machine_id == twin.machine_id:
        yield Seen("/etc/machine-id", f"both machines have the id that begins with {live.machine_id[:8]}")
    for key in live.host_keys:
        if key in twin.host_keys:
            fix = "rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh.service"
            yield Seen(f"/etc/ssh/ssh_host_{key.split()[0]}", f"both machines show {key}", fix=fix)
    if live.product_uuid and live.product_uuid == twin.product_uuid:
        found = f"both machines have the SMBIOS UUID {live.product_uuid}"
        yield Seen("/sys/class/dmi/id/product_uuid", found, fix="`qm set VMID --smbios1 uuid=$(uuidgen)`")
    if live.hostname and live.hostname == twin.hostname:
        yield Seen(
            "/etc/hostname", f"both machines are called {live.hostname}", Severity.WARN, "`hostnamectl hostname NAME`"
        )
    for address in live.addresses:
        if address in twin.addresses and not address.lower().startswith("fe80:"):
            yield Seen(address, "both machines have this address", Severity.WARN, "ip address show")
    if missing := _list_missing(live, twin):
        raise CannotSee(f"not both machines tell their {' and '.join(missing)}")


def _list_missing(live: LiveFacts, twin: LiveFacts) -> list[str]:
    told = {
        "machine-id": live.machine_id and twin.machine_id,
        "host keys": live.host_keys and twin.host_keys,
        "SMBIOS UUID": live.product_uuid and twin.product_uuid,
    }
    return [name for name, value in told.items() if not value]


CHECKS = (
    Check(
        id="clone-twins",
        severity=Severity.FAIL,
        subject=Subject.IDENTITY,
        why="two machines with one identity get one address, one place in the logs, and each other's trust",
        fix="`rm /etc/machine-id; systemd-machine-id-setup; reboot`",
        find=find_twins,
        profiles=(Profile.CLONE,),
        applies=lambda view: view.has_twin,
    ),
)
