"""Where Nix could build an SD image, as far as this machine can tell: for the choice of a build, and for doctor."""

import sys
from collections.abc import Iterator

from imagekit.build.nix.choose import Candidates, choose_place, explain_system
from imagekit.build.nix.environment import read_nix_environment
from imagekit.build.nix.session import SYSTEMS
from imagekit.build.nix.tool import OLDEST_FOR_NIXPKGS, find_nix
from imagekit.build.vagrant.examine import examine_vm
from imagekit.errors import ImagekitError
from imagekit.host.ability import Ability
from imagekit.host.here import ThisMachine
from imagekit.host.ssh_target import SshTarget
from imagekit.image import Architecture
from imagekit.pipeline.vm import explain_vm, read_vm_settings
from imagekit.settings import NixPlace, Settings

_MAC = (
    "on a Mac, one of:\n"
    "Nix (https://nixos.org/download), and nix-darwin with nix.linux-builder.enable = true: no VM of another kind;\n"
    'a Linux machine with Nix, as nix_host = "ssh://user@host" in ~/.config/imagekit/settings.toml;\n'
    "Vagrant and a provider: brew install --cask vagrant, then VMware Fusion with brew install --cask "
    "vagrant-vmware-utility and vagrant plugin install vagrant-vmware-desktop"
)
_LINUX = (
    "one of:\n"
    "Nix 2.18 or newer (nix-bin of Debian 13, or https://nixos.org/download); on a machine that is not aarch64 also "
    "qemu-user-static and extra-platforms = aarch64-linux in nix.conf;\n"
    'another machine with Nix, as nix_host = "ssh://user@host" in ~/.config/imagekit/settings.toml;\n'
    "Vagrant and a provider: sudo apt install vagrant vagrant-libvirt libvirt-daemon-system"
)


def find_candidates(
    system: str, asked: NixPlace, host: SshTarget | None, settings: Settings, oldest: tuple[int, int]
) -> Candidates:
    """Look for what could build for ``system``, without starting or asking another machine.

    ``oldest`` is the first Nix that can evaluate the flake.
    What cannot be chosen is not asked: Vagrant takes a second to say its version.
    """
    why, no_nix, vagrant, no_vagrant = "", "nobody asked the Nix here", "", "nobody asked Vagrant"
    if asked in (NixPlace.AUTO, NixPlace.LOCAL):
        try:
            why, no_nix = explain_system(find_nix(ThisMachine(), read_nix_environment()), system, oldest)
        except ImagekitError as problem:
            no_nix = problem.message
    if asked is NixPlace.VAGRANT or (asked is NixPlace.AUTO and not why and host is None):
        vagrant, no_vagrant = explain_vm(settings)
    return Candidates(system, why, no_nix, host, vagrant, no_vagrant)


def examine_builders(settings: Settings) -> Iterator[Ability]:
    """Look at what building SD images takes, which templates do without."""
    try:
        found = find_nix(ThisMachine(), read_nix_environment())
        yield Ability("nix", ok=True, found=found.said, required=False)
    except ImagekitError as problem:
        yield Ability("nix", ok=False, found=problem.message, note=problem.hint or "", required=False)
    host = settings.nix_host
    if host is not None:
        note = "not asked; a build looks at it before it begins"
        yield Ability("nix_host", ok=True, found=str(host), note=note, required=False)
    yield examine_vm(read_vm_settings(settings))
    system = SYSTEMS[Architecture.ARM64]
    candidates = find_candidates(system, settings.nix_place, host, settings, OLDEST_FOR_NIXPKGS)
    try:
        choice = choose_place(settings.nix_place, candidates)
        yield Ability("SD images", ok=True, found=f"{choice.place}: {choice.why}", required=False)
    except ImagekitError as problem:
        advice = _MAC if sys.platform == "darwin" else _LINUX
        yield Ability("SD images", ok=False, found=problem.message, note=advice, required=False)
