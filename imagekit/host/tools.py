"""Which external programs imagekit uses, where they are, and the package that brings each."""

import os
import shutil
import sys
from pathlib import Path

from imagekit.errors import ToolMissing

# Debian's package for each program; Homebrew's where macOS has it. Firmware files are found by imagekit.machine.
PACKAGES = {
    "mmdebstrap": ("mmdebstrap", None),
    "apt-get": ("apt", None),
    "mke2fs": ("e2fsprogs", "e2fsprogs"),
    "debugfs": ("e2fsprogs", "e2fsprogs"),
    "mformat": ("mtools", "mtools"),
    "mcopy": ("mtools", "mtools"),
    "mmd": ("mtools", "mtools"),
    "sfdisk": ("fdisk", None),
    "lsblk": ("util-linux", None),
    "umount": ("mount", None),
    "unshare": ("util-linux", None),
    "setpriv": ("util-linux", None),
    "newuidmap": ("uidmap", None),
    "tar": ("tar", "gnu-tar"),
    "zstd": ("zstd", "zstd"),
    "qemu-img": ("qemu-utils", "qemu"),
    "qemu-system-x86_64": ("qemu-system-x86", "qemu"),
    "qemu-system-aarch64": ("qemu-system-arm", "qemu"),
    "ssh": ("openssh-client", None),
    "ssh-keygen": ("openssh-client", None),
    "nix": ("nix-bin", "nix"),
    "vagrant": ("vagrant vagrant-libvirt", "--cask vagrant"),
    "git": ("git", "git"),
    "ansible-playbook": ("ansible-core", "ansible"),
}

# Root's programs are missing from an ordinary user's PATH on Debian.
_EXTRA_PATH = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find_tool(name: str, *, required: bool = True) -> str:
    """Return the path of program ``name``; an empty string when it is missing and not ``required``.

    Raises :class:`ToolMissing` naming the package for this system.
    """
    if os.sep in name:
        if required and not os.access(name, os.X_OK):
            raise ToolMissing(f"{name} is not there, or not a program", hint="correct the path in the settings")
        return name if os.access(name, os.X_OK) else ""
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), *_EXTRA_PATH])
    found = shutil.which(name, path=search)
    if found is None and required:
        raise ToolMissing(f"{name} is not installed", hint=explain_install(name))
    return found or ""


def explain_install(name: str) -> str:
    """Return the command that installs program ``name`` on this system."""
    debian, homebrew = PACKAGES.get(name, (name, name))
    if sys.platform == "darwin":
        return f"brew install {homebrew}" if homebrew else f"{name} does not exist for macOS; use a Linux host"
    if Path("/etc/debian_version").exists():
        return f"sudo apt install {debian}"
    return f"install the package that brings {name} ({debian} on Debian and Ubuntu)"
