"""What lsblk(8) knows of partitions beyond their size: filesystem and label, for people to recognise a card by.

Nothing is decided by it. Without the program, and for a user whom udev tells nothing, the fields stay empty.
"""

from dataclasses import replace

from imagekit.deliver.flash.device import Device
from imagekit.errors import ImagekitError
from imagekit.host import find_tool, run

_SECONDS = 10.0


def label_partitions(devices: tuple[Device, ...]) -> tuple[Device, ...]:
    """Return the devices with filesystem and label of their partitions, where they can be told."""
    import msgspec

    program = find_tool("lsblk", required=False)
    if not program or not devices:
        return devices
    try:
        said = run([program, "--json", "--list", "--output", "KNAME,FSTYPE,LABEL"], timeout=_SECONDS, check=False)
        rows = msgspec.json.decode(said.output, type=dict[str, list[dict[str, str | None]]])["blockdevices"]
    except (ImagekitError, msgspec.MsgspecError, KeyError):
        return devices
    known = {row.get("kname"): row for row in rows}

    def find(name: str, key: str) -> str:
        return (known.get(name) or {}).get(key) or ""

    return tuple(
        replace(
            device,
            partitions=tuple(
                replace(part, filesystem=find(part.name, "fstype"), label=find(part.name, "label"))
                for part in device.partitions
            ),
        )
        for device in devices
    )
