"""The directory that Vagrant works in: a copy of our Vagrantfile, the VM's values beside it, Vagrant's own state.

It is private and stays where it is: Vagrant knows the VM by what is written there.
"""

import hashlib
import json
import os
import platform
from pathlib import Path

from imagekit.build.vagrant.model import GIB, MIB, VmProvider, VmSettings
from imagekit.build.vagrant.own_project import PARTS, find_own_project
from imagekit.durable import replace_file
from imagekit.errors import DefinitionInvalid, HostFailed, ToolMissing

MACHINE = "builder"  # as the Vagrantfile names it
_MOST_CPUS = 8
BOOT_SECONDS = 600
_LEAST_MEMORY = 4 * GIB
_MOST_MEMORY = 8 * GIB


def name_vm(directory: Path) -> str:
    """Return the VM's name for its provider: two operators of one machine must not meet."""
    return f"imagekit-{hashlib.sha256(os.fsencode(directory)).hexdigest()[:8]}"


def name_state(directory: Path) -> Path:
    """Return where Vagrant keeps what it knows of the VM (``VAGRANT_DOTFILE_PATH``)."""
    return directory / ".vagrant"


def find_made_provider(directory: Path) -> VmProvider | None:
    """Return the provider of the VM that is there, by Vagrant's record of its id; ``None`` without a VM."""
    for provider in VmProvider:
        try:
            if (find_machine_directory(directory, provider) / "id").read_text(errors="replace").strip():
                return provider
        except OSError:
            continue
    return None


def find_machine_directory(directory: Path, provider: VmProvider) -> Path:
    """Return where Vagrant keeps the VM's id and key; it empties the directory when the VM is destroyed."""
    return name_state(directory) / "machines" / MACHINE / provider


def write_project(settings: VmSettings, provider: VmProvider) -> None:
    """Bring the project's files up to date; what is right already is not touched.

    Raises :class:`ToolMissing` when no box is known for ``provider`` on this processor and none was named,
    :class:`HostFailed` when the directory cannot be written.
    """
    own = find_own_project()
    values = describe_vm(settings)
    boxes = json.loads((own / "boxes.json").read_text())
    if not settings.box and values["architecture"] not in boxes.get(provider, {}):
        raise ToolMissing(
            f"no box is known for provider {provider} on {values['architecture']}",
            hint="name one that you trust in the settings, as vagrant_box; it needs Debian or Ubuntu, sudo and systemd",
        )
    if settings.box_version and not settings.box:
        raise DefinitionInvalid("a version of the box is set, but no box", hint="set vagrant_box too")
    try:
        settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in PARTS:
            write_private(settings.directory / part, (own / part).read_bytes())
        write_private(settings.directory / "settings.json", (json.dumps(values, indent=2) + "\n").encode())
    except OSError as problem:
        raise HostFailed(f"cannot write the build VM's directory: {problem}") from None


def describe_vm(settings: VmSettings) -> dict[str, str | int]:
    """Return what the Vagrantfile reads from ``settings.json``."""
    values: dict[str, str | int] = {
        "name": name_vm(settings.directory),
        "architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "amd64",
        "cpus": settings.cpus or min(_MOST_CPUS, os.cpu_count() or 1),
        "memory_mib": (settings.memory or _share_memory()) // MIB,
        "disk_gib": settings.disk // GIB,
        "boot_timeout": settings.boot_timeout or BOOT_SECONDS,
    }
    if settings.box:
        values["box"] = settings.box
        if settings.box_version:
            values["box_version"] = settings.box_version
    return values


def write_private(path: Path, data: bytes) -> None:
    """Give ``path`` this content in one step, unless it has it; only its owner can read it."""
    if not path.is_file() or path.read_bytes() != data:
        replace_file(path, data, mode=0o600)


def _share_memory() -> int:
    """Return half of this machine's memory, within 4 and 8 GiB: evaluating NixOS alone takes 2 to 3."""
    half = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return max(_LEAST_MEMORY, min(_MOST_MEMORY, half))
