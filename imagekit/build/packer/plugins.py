"""Packer's plugins as files: what a plugin directory holds, and what in it Packer would pass over in silence.

The layout is that of ``packer plugins install`` since 1.11:
``HOST/OWNER/NAME/packer-plugin-NAME_vVERSION_xAPI_OS_ARCH``
with the SHA-256 of the binary, bare hexadecimal, in the same name plus ``_SHA256SUM`` (packer/plugin-getter).
"""

import hashlib
import os
import platform
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_FILE = re.compile(r"packer-plugin-([\w.-]+)_v(\d+\.\d+\.\d+)(-dev)?_x(\d+)\.(\d+)_([a-z0-9]+)_([a-z0-9]+)")
_SUM = re.compile(r"[0-9a-fA-F]{64}")
_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64", "i686": "386", "armv7l": "arm"}
_API = 5  # the plugin protocol's major version that Packer 1.11 to 1.16 speaks


@dataclass(frozen=True, slots=True)
class Plugin:
    """One installed plugin; ``fault`` says why Packer would not use it, and is empty when all is well by its names."""

    source: str
    version: str
    program: Path
    fault: str = ""


def find_plugin_directory(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return where a Packer started by this user would look for plugins; None when it has no home.

    The order is Packer's own: PACKER_PLUGIN_PATH, PACKER_CONFIG_DIR, ~/.packer.d when it is there, XDG_CONFIG_HOME,
    ~/.config/packer (packer-plugin-sdk, pathing/config_file_unix.go).
    """
    if path := environment.get("PACKER_PLUGIN_PATH"):
        return Path(path)
    if configuration := environment.get("PACKER_CONFIG_DIR"):
        return Path(configuration) / ".packer.d" / "plugins"
    home = environment.get("HOME")
    if not home:
        return None
    if (Path(home) / ".packer.d").exists():
        return Path(home) / ".packer.d" / "plugins"
    return Path(environment.get("XDG_CONFIG_HOME") or Path(home) / ".config") / "packer" / "plugins"


def list_plugins(directory: Path) -> tuple[Plugin, ...]:
    """Return what ``directory`` holds for this machine, sorted by source, the newest version first.

    Only names and sum files are read; :func:`check_sum` reads a binary. What cannot be read is not there.
    """
    found = list(_read_plugins(directory))
    return tuple(sorted(found, key=lambda one: (one.source, [-number for number in parse_version(one.version)])))


def _read_plugins(directory: Path) -> Iterator[Plugin]:
    system = "darwin" if sys.platform == "darwin" else "linux"
    machine = _MACHINES.get(platform.machine(), platform.machine())
    for program in directory.glob("*/*/*/packer-plugin-*"):
        match = _FILE.fullmatch(program.name)
        if match is None or match[1] != program.parent.name or (match[6], match[7]) != (system, machine):
            continue
        source = "/".join(program.parent.relative_to(directory).parts)
        yield Plugin(source, match[2], program, _find_fault(program, int(match[4])))


def _find_fault(program: Path, api: int) -> str:
    if api != _API:
        return f"it speaks plugin protocol {api}, and Packer {_API}"
    if not os.access(program, os.X_OK):
        return "it may not be run (chmod +x)"
    if _read_sum(program) is None:
        return f"{_sum_path(program).name} beside it is missing or holds no SHA-256, so Packer ignores it"
    return ""


def check_sum(plugin: Plugin) -> str:
    """Return why Packer would ignore ``plugin``, its binary read and compared with its sum; empty when it would not."""
    if plugin.fault:
        return plugin.fault
    try:
        with plugin.program.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as problem:
        return f"it cannot be read: {problem.strerror}"
    if digest != _read_sum(plugin.program):
        return f"{_sum_path(plugin.program).name} beside it has the sum of another file, so Packer ignores it"
    return ""


def parse_version(text: str) -> tuple[int, int, int]:
    """Return the three numbers of a version ("1.14" is 1.14.0); anything after them is left out."""
    numbers = [int(part) for part in re.findall(r"\d{1,9}", text.split("-")[0])[:3]]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch


def _sum_path(program: Path) -> Path:
    return program.with_name(f"{program.name}_SHA256SUM")


def _read_sum(program: Path) -> str | None:
    try:
        with _sum_path(program).open("rb") as file:
            text = file.read(200).decode("ascii", "replace").strip()
    except OSError:
        return None
    return text.lower() if _SUM.fullmatch(text) else None
