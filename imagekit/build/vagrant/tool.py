"""The Vagrant that the operator has: found, its version read, its plugins listed.

Vagrant is under the Business Source License since 2.3.5, so it is never shipped with imagekit.
"""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from imagekit.build.vagrant.machine_readable import parse_output
from imagekit.errors import ToolFailed, ToolMissing
from imagekit.host import find_tool, run

OLDEST = "2.3"
_VERSION = re.compile(r"Vagrant (\d+)\.(\d+)\.(\d+)")
_SECONDS = 60.0
# What of the operator's environment is Vagrant's or its providers' business; a child of ours gets a short list only.
_PASSED = ("VAGRANT_HOME", "VAGRANT_SERVER_URL", "VAGRANT_CLOUD_TOKEN", "LIBVIRT_DEFAULT_URI", "XDG_CACHE_HOME")
_QUIET = {
    "VAGRANT_CHECKPOINT_DISABLE": "1",  # asks HashiCorp for newer versions on each command
    "VAGRANT_BOX_UPDATE_CHECK_DISABLE": "1",
    "VAGRANT_NO_COLOR": "1",
}


@dataclass(frozen=True, slots=True)
class VagrantTool:
    """A Vagrant that can be used; ``version`` such as ``2.4.1``."""

    program: str
    version: str


def find_vagrant() -> VagrantTool:
    """Return the Vagrant on this machine.

    Raises :class:`ToolMissing` with how to get one, also for a version that is too old.
    """
    program = find_tool("vagrant", required=False)
    if not program:
        raise ToolMissing("vagrant is not installed", hint=explain_vagrant())
    said = run([program, "--version"], environment=make_vagrant_environment(), timeout=_SECONDS)
    match = _VERSION.search(said.output.decode(errors="replace"))
    if match is None:
        raise ToolFailed(f"{program} does not tell its version", detail=said.output.decode(errors="replace")[:500])
    version = ".".join(match.groups())
    if (int(match[1]), int(match[2])) < tuple(int(part) for part in OLDEST.split(".")):
        raise ToolMissing(f"Vagrant {version} is older than {OLDEST}", hint=explain_vagrant())
    return VagrantTool(program, version)


def make_vagrant_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what every call of Vagrant gets beside the usual: no look-ups of updates, no colours, and ``extra``."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    return {**passed, **_QUIET, **(extra or {})}


def list_plugins(tool: VagrantTool) -> Mapping[str, str]:
    """Return the installed plugins, name to version; takes about a second."""
    said = run(
        [tool.program, "plugin", "list", "--machine-readable"],
        environment=make_vagrant_environment(),
        timeout=_SECONDS,
    )
    return {
        line.target: line.data[0].partition(",")[0]
        for line in parse_output(said.output)
        if line.kind == "plugin-version" and line.data
    }


def explain_vagrant() -> str:
    """Return how to get Vagrant and a provider on this system."""
    if sys.platform == "darwin":
        return (
            "brew install --cask vagrant, and one provider: VMware Fusion with `brew install --cask"
            " vagrant-vmware-utility` and `vagrant plugin install vagrant-vmware-desktop`,"
            " or `brew install qemu` and `vagrant plugin install vagrant-qemu`"
        )
    if Path("/etc/debian_version").exists():
        return "sudo apt install vagrant vagrant-libvirt libvirt-daemon-system"
    return "developer.hashicorp.com/vagrant/install, and one provider: libvirt with vagrant-libvirt, or VirtualBox"
