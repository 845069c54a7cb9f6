"""A Proxmox VM's configuration, read from the JSON that its API answers (``GET /nodes/N/qemu/ID/config``)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VmConfig:
    """The keys and values of one VM, values as text, as the API gives them."""

    values: dict[str, str]
