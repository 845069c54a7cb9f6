"""The values that our own templates get: one JSON variable file, never text pasted into HCL."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.packer.answers import BUILD_USER
from imagekit.build.packer.choose import Start
from imagekit.cluster import ClusterAccess, Placement, TlsKind
from imagekit.cluster.leftovers import BUILD_TAG, name_build_tag
from imagekit.definition.model import MIB, ImageDefinition, MachineType, Medium
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.firmware import FirmwareFiles
from imagekit.machine.model import choose_cpu_model

# How long the machine may take until it answers: a boot, or an installation with its downloads before it.
_BOOT_MINUTES = {True: 15, False: 5}
_INSTALL_MINUTES = {True: 240, False: 45}
_PROXMOX_BOARDS = {MachineType.Q35: "q35", MachineType.I440FX: "pc"}
_BOARDS = {MachineType.Q35: "q35,smm=off,vmport=off", MachineType.I440FX: "pc,smm=off,vmport=off"}


@dataclass(frozen=True, slots=True)
class BuildMachine:
    """What runs the machine of a build here: ``cpus`` and ``memory_mib`` are the build's, not the clones'."""

    accelerator: Accelerator
    firmware: FirmwareFiles
    cpus: int = 2
    memory_mib: int = 1024


def describe_medium(medium: Medium) -> tuple[str, str]:
    """Return a disk or ISO as Packer's ``iso_url`` and ``iso_checksum``."""
    place = medium.url if medium.url is not None else os.fspath(medium.path or "")
    return place, f"sha256:{medium.sha256}"


def make_qemu_variables(
    definition: ImageDefinition,
    start: Start,
    workspace: Path,
    machine: BuildMachine,
    *,
    image: tuple[str, str],
    boot_command: tuple[str, ...] = (),
) -> dict[str, object]:
    """Return the values of ``packer/qemu`` for a build in ``workspace``; ``image`` is what it starts from, described.

    Every path that is named lies in ``workspace``, where :mod:`imagekit.build.packer.prepare` puts it.
    """
    emulated = machine.accelerator is Accelerator.TCG
    installs = start is Start.INSTALLER
    minutes = (_INSTALL_MINUTES if installs else _BOOT_MINUTES)[emulated]
    return {
        "image_url": image[0],
        "image_checksum": image[1],
        "disk_image": not installs,
        "seed_iso": os.fspath(workspace / "seed.iso"),
        "boot_command": list(boot_command),
        "boot_wait": ("60s" if emulated else "10s") if boot_command else "-1s",
        "accelerator": machine.accelerator.value,
        "cpu_model": choose_cpu_model(machine.accelerator),
        "machine_type": _BOARDS[definition.machine],
        "cores": machine.cpus,
        "memory": max(machine.memory_mib, 2048) if installs else machine.memory_mib,
        "disk_size": f"{definition.size // MIB}M",
        "efi_firmware_code": os.fspath(machine.firmware.code),
        "efi_firmware_vars": os.fspath(machine.firmware.variables),
        "serial_log": os.fspath(workspace / "serial.log"),
        "output_directory": os.fspath(workspace / "output"),
        **make_provisioning_variables(definition, workspace, minutes=minutes),
    }


def make_proxmox_variables(
    definition: ImageDefinition,
    start: Start,
    workspace: Path,
    access: ClusterAccess,
    placement: Placement,
    *,
    vm_id: int,
    build_id: str,
    seed_volume: str,
    boot_command: tuple[str, ...] = (),
) -> dict[str, object]:
    """Return the values of ``packer/proxmox``; the token's secret is none of them and goes by the environment.

    ``placement.node`` and ``vm_id`` are the chosen ones, ``seed_volume`` is where the installer's answers are.
    """
    installs = start is Start.INSTALLER
    return {
        "proxmox_url": f"{access.url}/api2/json",
        "proxmox_username": access.token_id,
        "insecure_skip_tls_verify": access.tls.kind is TlsKind.INSECURE,  # a pinned one is trusted by SSL_CERT_FILE
        "node": placement.node,
        "pool": placement.pool or None,
        "vm_id": vm_id,
        "template_name": definition.name,
        "template_description": f"imagekit: {definition.name}, build {build_id}",
        "tags": f"{BUILD_TAG};{name_build_tag(build_id)}",
        "machine_type": _PROXMOX_BOARDS[definition.machine],
        "cores": definition.cores,
        "memory": definition.memory // MIB,
        "storage": placement.storage,
        "disk_size": f"{definition.size // MIB}M",
        "bridge": placement.bridge,
        "vlan": str(placement.vlan) if placement.vlan else None,
        **(_describe_iso(definition.packer.iso, placement) if installs else {}),
        **({"seed_file": seed_volume, "boot_command": list(boot_command)} if installs else {}),
        **({} if installs else _describe_clone(definition.packer.clone)),
        **make_provisioning_variables(definition, workspace, minutes=_INSTALL_MINUTES[False] if installs else 10),
    }


def _describe_iso(iso: Medium | None, placement: Placement) -> dict[str, object]:
    if iso is None or iso.volume is not None:
        return {"iso_file": None if iso is None else iso.volume}
    url, checksum = describe_medium(iso)
    return {"iso_url": url, "iso_checksum": checksum, "iso_storage": placement.iso_storage}


def _describe_clone(clone: int | str | None) -> dict[str, object]:
    return {"clone_vm_id": clone} if isinstance(clone, int) else {"clone_vm": clone}


def make_provisioning_variables(definition: ImageDefinition, workspace: Path, *, minutes: int) -> dict[str, object]:
    """Return the values that our templates share; SSH may take ``minutes`` to answer."""
    packer = definition.packer
    return {
        "ssh_username": BUILD_USER,
        "ssh_private_key_file": os.fspath(workspace / "key"),
        "ssh_timeout": f"{minutes}m",
        "payload": os.fspath(workspace / "payload.tar"),
        "playbook": "" if packer.playbook is None else os.fspath(packer.playbook),
        "ansible_config": _find_ansible_config(packer.playbook),
        "scripts": [os.fspath(script) for script in packer.scripts],
    }


def _find_ansible_config(playbook: Path | None) -> str:
    """Return the ansible.cfg beside the playbook; Ansible itself would look where Packer was started."""
    config = None if playbook is None else playbook.parent / "ansible.cfg"
    return os.fspath(config) if config is not None and config.is_file() else ""


def write_variables(path: Path, values: dict[str, object]) -> None:
    """Write a variable file for ``packer -var-file``, readable by its owner alone; the name must end in ``.json``."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(values, file, indent=2)
