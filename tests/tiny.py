"""The tiny flake: a Raspberry Pi card like NixOS's, built by the real nix(1) in seconds, without nixpkgs or a network.

Its builder is a shell with the machine's own programs (:data:`TOOLS`), so Nix must not use a sandbox, as
:func:`tests.nix_store.make_own_store` says; ``extra-platforms`` lets a card for the other architecture be built.
"""

import shutil
from pathlib import Path

TINY_FLAKE = Path(__file__).with_name("tiny_flake")
# What the builder's machine must have.
TOOLS = ("mke2fs", "debugfs", "mformat", "mcopy", "sfdisk", "zstd")
SYSTEM, OTHER_SYSTEM = "x86_64-linux", "aarch64-linux"  # every attribute below is there for both
IMAGE = "pihole-image"
NEXT_IMAGE = "pihole-image-next"  # one package has another version
UNSTABLE = "unstable"  # two builds differ
BROKEN = "broken"  # the builder ends with status 1
FULL = "full"  # the builder says that the disk is full
SLOW = "slow"  # a minute, a line each tenth of a second
WRONG_SYSTEM = "wrong-system"  # for a system that no machine is
NO_PRODUCTS, MISSING_PRODUCT, FOREIGN_PRODUCT = "no-products", "missing-product", "foreign-product"
CHANGED_PACKAGE, OLD_VERSION, NEW_VERSION = "openssl", "3.5.1", "3.5.2"
IMAGE_NAME = "nixos-image-sd-card-26.05.20260714.8eeec93-{system}.img.zst"
RAW_BYTES = (2048 + 4096 + 16384) * 512
# nixosConfigurations; -x86 is for x86_64-linux, the others for aarch64-linux.
CONFIGURATION, NEXT_CONFIGURATION, BAD_SWITCH = "pihole", "pihole-next", "pihole-bad-switch"
X86_CONFIGURATION, X86_NEXT_CONFIGURATION, X86_BAD_SWITCH = "pihole-x86", "pihole-x86-next", "pihole-x86-bad-switch"
STATE_VARIABLE = "TINY_STATE"  # where switch-to-configuration leaves its traces; see tiny_flake/switch.sh


def copy_tiny_flake(destination: Path) -> Path:
    """Copy the flake to the directory ``destination``, which is made, and return it."""
    shutil.copytree(TINY_FLAKE, destination, dirs_exist_ok=True)
    return destination


def name_attribute(attribute: str = IMAGE, system: str = OTHER_SYSTEM) -> str:
    """Return an installable's fragment: ``packages.aarch64-linux.pihole-image``."""
    return f"packages.{system}.{attribute}"


def name_system(configuration: str = CONFIGURATION) -> str:
    """Return the fragment of a configuration's system closure."""
    return f"nixosConfigurations.{configuration}.config.system.build.toplevel"
