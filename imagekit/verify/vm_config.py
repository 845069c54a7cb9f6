"""A Proxmox VM's configuration, read from the JSON that its API answers (``GET /nodes/N/qemu/ID/config``).

``pvesh get … --output-format json`` and a saved answer of the API are both understood. Values are kept as text, as the
API gives them; a property string (``local:vm-9000-disk-0,efitype=4m``) is taken apart when it is asked for.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.errors import VerificationFailed

_MOST_BYTES = 1 << 20
_MOST_KEYS = 1000
_KEY = re.compile(r"[a-z][a-z0-9_-]{0,63}")
_DRIVE = re.compile(r"(?:ide|sata|scsi|virtio)\d{1,2}")
_TRUE = ("1", "on", "yes", "true")
_HINT = "save it with: pvesh get /nodes/NODE/qemu/9000/config --output-format json > 9000.json"


@dataclass(frozen=True, slots=True)
class VmConfig:
    """The keys and values of one VM. ``others`` are further VMs given beside it, to be compared with it."""

    name: str
    values: Mapping[str, str]
    others: tuple["VmConfig", ...] = field(default=())

    def get(self, key: str) -> str:
        """Return a value as text, empty when the key is not there."""
        return self.values.get(key, "")

    def is_on(self, key: str) -> bool:
        """Say whether a flag is set, in any of Proxmox's spellings (``pve-common``, ``parse_boolean``)."""
        return self.get(key).lower() in _TRUE

    def properties(self, key: str, first: str = "") -> dict[str, str]:
        """Return a property string as keys and values; a first part without a key gets the name ``first``."""
        found = {}
        for at, part in enumerate(filter(None, self.get(key).split(","))):
            name, equals, value = part.partition("=")
            if equals:
                found[name.strip()] = value.strip()
            elif at == 0:
                found[first] = name.strip()
        return found

    def drives(self) -> Iterator[tuple[str, str, dict[str, str]]]:
        """Yield key, volume and properties of each drive that the guest sees."""
        for key in sorted(self.values):
            if _DRIVE.fullmatch(key):
                properties = self.properties(key, "volume")
                yield key, properties.get("volume") or properties.get("file", ""), properties

    @property
    def cloud_init_drives(self) -> tuple[str, ...]:
        """The keys of the drives that Proxmox writes cloud-init's data to."""
        return tuple(key for key, volume, _ in self.drives() if "cloudinit" in volume.rpartition(":")[2])


def read_vm_config(path: Path) -> VmConfig:
    """Read the configuration saved in ``path``; raises :class:`VerificationFailed` when that is none."""
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as problem:
        raise VerificationFailed(f"{path} cannot be read: {problem.strerror}", hint=_HINT) from None
    if len(data) > _MOST_BYTES:
        raise VerificationFailed(f"{path} is too large for a VM's configuration", hint=_HINT)
    import json  # here: most runs are about a disk alone

    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise VerificationFailed(f"{path} is not JSON", hint=_HINT) from None
    if isinstance(document, dict) and isinstance(document.get("data"), dict):
        document = document["data"]
    return parse_vm_config(document, path.name)


def parse_vm_config(document: object, name: str) -> VmConfig:
    """Return the configuration in an answer of the API; raises :class:`VerificationFailed` when it is none."""
    if not isinstance(document, dict) or not 0 < len(document) <= _MOST_KEYS:
        raise VerificationFailed(f"{name} holds no VM's configuration", hint=_HINT)
    values = {}
    for key, value in document.items():
        if not _KEY.fullmatch(key) or not isinstance(value, str | int | float):
            raise VerificationFailed(f"{name} holds no VM's configuration: key {key[:40]!r} is none", hint=_HINT)
        values[key] = str(int(value)) if isinstance(value, bool) else str(value)
    if not values.keys() & {"bios", "boot", "memory", "scsihw", "smbios1", "net0", "cores", "digest"}:
        raise VerificationFailed(f"{name} has no key that every VM's configuration has", hint=_HINT)
    return VmConfig(name, values)
