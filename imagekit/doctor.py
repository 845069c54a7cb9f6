"""What this machine can do: each tool and place a build needs, whether it is there, and how to get it."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.apt_sources import require_keyring
from imagekit.build.mke2fs import is_reproducible
from imagekit.build.namespace import namespace_command
from imagekit.errors import ImagekitError
from imagekit.host import find_tool, read_version
from imagekit.host.tools import explain_install
from imagekit.machine.accelerator import Accelerator, explain_accelerator
from imagekit.machine.firmware import find_firmware
from imagekit.settings import Settings

BUILD_TOOLS = ("mmdebstrap", "apt-get", "unshare", "mke2fs", "mformat", "sfdisk", "tar")
BOOT_TOOLS = ("qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen")


@dataclass(frozen=True, slots=True)
class Ability:
    """One thing that was looked at: ``ok`` says whether it serves, ``note`` what to know or do."""

    subject: str
    ok: bool
    found: str
    note: str = ""
    required: bool = True


def examine_machine(settings: Settings) -> tuple[Ability, ...]:
    """Look at every tool, the privileges, the emulator and the places; nothing is changed."""
    mke2fs = str(settings.mke2fs or "mke2fs")
    found = [_examine_tool(name) for name in (*BUILD_TOOLS, *BOOT_TOOLS)]
    found.append(_try("debian-archive-keyring", _describe_keyring))
    found.append(_try("build privileges", _describe_privilege))
    found.append(_try("UEFI firmware", lambda: str(find_firmware().code)))
    if find_tool(mke2fs, required=False):
        repeatable = is_reproducible(mke2fs)
        advice = (
            "" if repeatable else "mke2fs 1.47.1 or later: on Debian 12, apt install -t bookworm-backports e2fsprogs"
        )
        found.append(Ability("reproducible disks", repeatable, "yes" if repeatable else "no", advice, required=False))
    if find_tool("qemu-system-x86_64", required=False):
        probe = explain_accelerator(settings.cache)
        fast = probe.accelerator is not Accelerator.TCG
        found.append(Ability("acceleration", fast, str(probe.accelerator), probe.why, required=False))
    for subject, place in (("store", settings.store), ("cache", settings.cache), ("state", settings.state)):
        found.append(_examine_place(subject, place))
    return tuple(found)


def _examine_tool(name: str) -> Ability:
    if not find_tool(name, required=False):
        return Ability(name, ok=False, found="missing", note=explain_install(name))
    return Ability(name, ok=True, found=read_version(name) or "installed")


def _try(subject: str, look: Callable[[], str]) -> Ability:
    """Turn an error of ``look`` into an ability that is not there."""
    try:
        return Ability(subject, ok=True, found=look())
    except ImagekitError as problem:
        return Ability(subject, ok=False, found=problem.message, note=problem.hint or "")


def _describe_keyring() -> str:
    require_keyring()
    return "installed"


def _describe_privilege() -> str:
    command = namespace_command()
    if not command:
        return "root, without namespaces"
    return "a user namespace" if "--user" in command else "root, in namespaces of its own"


def _examine_place(subject: str, place: Path) -> Ability:
    """Say whether the nearest directory that exists on the way to ``place`` can be written to."""
    existing = next(parent for parent in (place, *place.parents) if parent.exists())
    writable = os.access(existing, os.W_OK)
    return Ability(subject, writable, str(place), "" if writable else f"{existing} cannot be written to")
