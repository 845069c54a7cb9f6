"""Which distribution it is and in which of its states the machine-id is."""

import re
from dataclasses import dataclass
from enum import StrEnum

from imagekit.disk.tree import FileType
from imagekit.verify.view import View, fact

_ASSIGNMENT = re.compile(r"\s*([A-Z0-9_]+)=(.*?)\s*$")
_MACHINE_ID = re.compile(r"[0-9a-fA-F]{32}")


class Family(StrEnum):
    """Distributions that keep the same things in the same places."""

    DEBIAN = "debian"
    REDHAT = "redhat"
    NIXOS = "nixos"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Distribution:
    """What os-release(5) says."""

    id: str
    version_id: str
    codename: str
    family: Family


@fact
def read_distribution(view: View) -> Distribution:
    """Read os-release(5), ``/etc`` before ``/usr/lib``; an absent file gives family OTHER and empty names."""
    text = view.text("/etc/os-release") or view.text("/usr/lib/os-release") or ""
    values = {}
    for line in text.splitlines():
        if match := _ASSIGNMENT.match(line):
            values[match.group(1)] = match.group(2).strip("\"'")
    names = {values.get("ID", ""), *values.get("ID_LIKE", "").split()}
    if names & {"debian", "ubuntu"}:
        family = Family.DEBIAN
    elif names & {"rhel", "fedora", "centos"}:
        family = Family.REDHAT
    else:
        family = Family.NIXOS if "nixos" in names else Family.OTHER
    return Distribution(values.get("ID", ""), values.get("VERSION_ID", ""), values.get("VERSION_CODENAME", ""), family)


class MachineId(StrEnum):
    """What systemd makes of ``/etc/machine-id`` (machine-id(5))."""

    VALID = "valid"
    EMPTY = "empty"
    UNINITIALIZED = "uninitialized"
    MISSING = "missing"
    OTHER = "other"


@fact
def read_machine_id(view: View) -> MachineId:
    """Classify ``/etc/machine-id``; 32 zeros count as valid because systemd keeps them, a lone newline as other."""
    node = view.tree.stat("/etc/machine-id")
    if node is None or node.type is not FileType.FILE:
        return MachineId.MISSING
    return classify_machine_id(view.text("/etc/machine-id", 4096, head=True) or "")


def classify_machine_id(text: str) -> MachineId:
    """Classify the content of a machine-id file."""
    if text == "":
        return MachineId.EMPTY
    line = text.removesuffix("\n")
    if line == "uninitialized":
        return MachineId.UNINITIALIZED
    return MachineId.VALID if _MACHINE_ID.fullmatch(line) else MachineId.OTHER


def is_first_boot(view: View) -> bool:
    """Say whether systemd will call the next boot a first boot (``ConditionFirstBoot=yes``)."""
    return read_machine_id(view) in (MachineId.UNINITIALIZED, MachineId.MISSING)
