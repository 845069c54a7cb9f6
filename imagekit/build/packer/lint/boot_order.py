"""A rule about the order in which a machine on a cluster tries its devices.

Places are given as the plugin gives them (``builder/proxmox/common/step_start_vm.go``): ISOs with an index first, then
disks, then the other ISOs, each to the first free place of its bus.
"""

from collections.abc import Iterator

from imagekit.build.packer.lint.media import list_isos, read_slot
from imagekit.build.packer.lint.rule import ISO, Case, Finding, Level, Rule, Subject


def place_devices(case: Case) -> set[str] | None:
    """Return the names of the machine's drives and cards, ``None`` when they are not all known."""
    if case.block.dynamic & {"disks", "boot_iso", "additional_iso_files", "network_adapters"}:
        return None
    old = any(case.block.has(name) for name in ("iso_file", "iso_url"))
    taken = {"ide2"} if old else set()  # the old fields place their ISO there
    waiting: list[str] = []
    for iso in list_isos(case):
        slot = read_slot(iso)
        if slot is None:
            return None
        if slot[1] is None:
            waiting.append(slot[0])
        else:
            taken.add(f"{slot[0]}{slot[1]}")
    disks = [disk.read_text("type", "scsi") for disk in case.block.list_blocks("disks")]
    for bus in (*disks, *waiting):
        if bus not in ("ide", "sata", "scsi", "virtio"):  # not known, or a mistake that another rule tells
            return None
        taken.add(next(name for number in range(100) if (name := f"{bus}{number}") not in taken))
    return taken | {f"net{number}" for number in range(len(case.block.list_blocks("network_adapters")))}


def find_absent_devices(case: Case) -> Iterator[Finding]:
    """Yield boot orders with devices that the machine has not."""
    text = case.block.read_text("boot", "") or ""
    devices = place_devices(case) if text.startswith("order=") else None
    for name in text.removeprefix("order=").split(";") if devices is not None else ():
        if name and devices is not None and name not in devices:
            yield case.at(case.block, "boot", f"no {name}; there are {', '.join(sorted(devices))}")


RULES = (
    Rule(
        "boot-order", Level.ERROR, Subject.HARDWARE, ISO, find_absent_devices,
        "the cluster refuses the machine: invalid bootorder", 'boot = "order=scsi0;…" with devices that are there',
    ),
)  # fmt: skip
