"""What this machine can do: each tool and place a build needs, whether it is there, and how to get it."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from imagekit.build.apt_sources import require_keyring
from imagekit.build.mke2fs import is_reproducible
from imagekit.build.namespace import namespace_command
from imagekit.errors import ImagekitError, SettingsInvalid, ToolMissing
from imagekit.host import find_tool, read_version
from imagekit.host.ability import Ability
from imagekit.host.tools import explain_install
from imagekit.machine.accelerator import Accelerator, explain_accelerator
from imagekit.machine.firmware import find_firmware
from imagekit.settings import Settings

if TYPE_CHECKING:
    from imagekit.definition import Project

BUILD_TOOLS = ("mmdebstrap", "apt-get", "unshare", "mke2fs", "mformat", "sfdisk", "tar")
BOOT_TOOLS = ("qemu-system-x86_64", "qemu-img", "ssh", "ssh-keygen")


def examine_machine(settings: Settings) -> tuple[Ability, ...]:
    """Look at every tool, the privileges, the emulator and the places; nothing is changed."""
    mke2fs = str(settings.mke2fs or "mke2fs")
    found = []
    if (
        sys.platform != "darwin"
    ):  # a Mac has no packages of Debian's: templates are made by another machine, or a cluster
        found += [_examine_tool(name) for name in BUILD_TOOLS]
        found.append(_try("debian-archive-keyring", _describe_keyring))
        found.append(_try("build privileges", _describe_privilege))
    found += [_examine_tool(name) for name in BOOT_TOOLS]
    found.append(_try("UEFI firmware", lambda: str(find_firmware().code)))
    if sys.platform != "darwin" and find_tool(mke2fs, required=False):
        repeatable = is_reproducible(mke2fs)
        advice = (
            "" if repeatable else "mke2fs 1.47.1 or later: on Debian 12, apt install -t bookworm-backports e2fsprogs"
        )
        found.append(Ability("reproducible disks", repeatable, "yes" if repeatable else "no", advice, required=False))
    if find_tool("qemu-system-x86_64", required=False):
        probe = explain_accelerator(settings.cache)
        fast = probe.accelerator is not Accelerator.TCG
        found.append(Ability("acceleration", fast, str(probe.accelerator), probe.why, required=False))
    found.extend(_examine_packer(settings))
    for subject, place in (("store", settings.store), ("cache", settings.cache), ("state", settings.state)):
        found.append(_examine_place(subject, place))
    return tuple(found)


def _examine_packer(settings: Settings) -> Iterator[Ability]:
    """Look at what a build with Packer takes, which the local builder does without.

    The plugins are judged by their files' names: their sums are read before a build, which takes a second.
    """
    from imagekit.build.packer import proxmox, qemu
    from imagekit.build.packer.plugins import parse_version
    from imagekit.build.packer.tool import explain_plugin_install, find_packer

    try:
        tool = find_packer(settings.packer, settings.packer_plugins, settings.cache)
    except ToolMissing as problem:
        yield Ability("packer", ok=False, found=problem.message, note=problem.hint or "", required=False)
        return
    yield Ability("packer", ok=True, found=f"{tool.version} ({tool.program})", required=False)
    for source, oldest in (qemu.PLUGINS | proxmox.PLUGINS).items():
        subject, version = f"packer-plugin-{source.rpartition('/')[2]}", tool.plugins.get(source)
        if version is not None and parse_version(version) >= parse_version(oldest):
            yield Ability(subject, ok=True, found=version, required=False)
            continue
        found = "missing" if version is None else f"{version}, {oldest} or later is needed"
        faults = [fault for fault in tool.faults if f" {source} " in fault]
        note = "; ".join([*faults, explain_plugin_install(tool, source, oldest)])
        yield Ability(subject, ok=False, found=found, note=note, required=False)
    ansible = find_tool("ansible-playbook", required=False)
    note = "" if ansible else f"only for images with a playbook: {explain_install('ansible-playbook')}"
    yield Ability("ansible-playbook", bool(ansible), ansible or "missing", note, required=False)


def examine_configured_cluster(project: "Project") -> tuple[Ability, ...]:
    """Look at what a Packer build of the project's default image needs of the cluster; nothing is changed.

    An image that is built elsewhere is taken to be installed there, from an ISO image yet to be named. Raises
    :class:`SettingsInvalid` when no cluster is configured or its settings cannot be used.
    """
    from imagekit.build.packer.choose import Road, Start, choose_road
    from imagekit.build.packer.proxmox import make_need
    from imagekit.cluster.api import open_cluster
    from imagekit.cluster.preflight import examine_cluster
    from imagekit.definition.model import ImageDefinition, Kind, PackerSource
    from imagekit.definition.read import DEFAULT_IMAGE
    from imagekit.settings.cluster import read_cluster

    settings = read_cluster(project.cluster, (image.vm_id for image in project.images.values()))
    if settings is None:
        raise SettingsInvalid(
            "no cluster is configured",
            problems=[
                "PROXMOX_VE_ENDPOINT is its url: https://HOST:8006",
                "PROXMOX_VE_API_TOKEN is its token: USER@REALM!NAME=SECRET; or, with _FILE at the end, a file with it",
            ],
            hint="or add a table [cluster] with url and node to imagekit.toml; the secret stays outside of it",
        )
    templates = {name: image for name, image in project.images.items() if image.kind is Kind.TEMPLATE}
    first = next(iter(templates.values()), ImageDefinition(DEFAULT_IMAGE))  # a project may have SD images alone
    definition = templates.get(DEFAULT_IMAGE, first)
    road = choose_road(definition, has_cluster=True)
    if road.source is None or not road.source.on_cluster:
        road = Road(PackerSource.PROXMOX_ISO, Start.INSTALLER, "nothing is on the cluster yet")
    with open_cluster(settings.access) as cluster:
        return examine_cluster(cluster, make_need(definition, road, settings.placement))


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
