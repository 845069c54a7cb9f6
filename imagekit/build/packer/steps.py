"""A build's steps in the operator's words, read from what Packer says, with the time that each took.

Packer marks no steps; builders announce them in sentences (``ui.Say`` in packer-plugin-qemu 1.0, -proxmox 1.1 and 1.2,
-ansible 1.0, packer-plugin-sdk 0.6). What a guest prints looks the same, so a script can at most change a name here.
"""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

from imagekit.machine.serial import clean_text

STARTING = "starting Packer"
CLEANING = "cleaning up"
_MOST_STEPS = 500
_LONGEST_NAME = 60

_PREFIX = re.compile(r"^(?:==> |    )([\w.-]{1,200}): ")
_INLINE = re.compile(r"packer-shell\d+$")
_SIGNS: tuple[tuple[str, str], ...] = (
    (r"Retrieving ", "fetching the boot medium"),
    (r"Creating (?:CD|floppy) disk", "making the seed CD"),
    (r"Uploaded ISO|Uploading ISO", "uploading the ISO"),
    (r"Creating required virtual machine disks|Copying hard drive|Resizing hard drive", "preparing the disk"),
    (r"Creating VM|Cloning VM", "creating the machine"),
    (r"Starting VM", "starting the machine"),
    (r"Waiting \S+ for boot", "waiting for the boot menu"),
    (r"Typing the boot command", "typing the boot command"),
    (r"Waiting for (?:SSH|WinRM) to become available|Using SSH communicator|Waiting for the guest address",
     "waiting for SSH"),
    (r"Connected to SSH", "provisioning"),
    (r"Provisioning with Ansible|Executing Ansible", "running Ansible"),
    (r"Uploading \S.* => ", "uploading files"),
    (r"Trying to remove ephemeral keys", "removing the build's key"),
    (r"Gracefully halting|Waiting for shutdown|Halting the virtual machine|Stopping VM", "shutting the machine down"),
    (r"Adding a cloud-init cdrom", "adding the cloud-init drive"),
    (r"Converting VM to template", "making it a template"),
    (r"Converting hard drive", "converting the disk"),
    (r"Deleting (?:VM|output directory)|Provisioning step had errors|Step \"\w+\" failed", CLEANING),
)  # fmt: skip
_COMPILED = tuple((re.compile(pattern), name) for pattern, name in _SIGNS)
_NAMED = (
    (re.compile(r"(?:Provisioning with|Running local) shell script: (\S.*)"), "running {}"),
    (re.compile(r"Running post-processor:\s*\S* *\(type ([\w.-]+)\)"), "post-processing ({})"),
)


@dataclass(frozen=True, slots=True)
class StepTime:
    """One step and how long it took, in seconds."""

    name: str
    seconds: float


def strip_prefix(line: str) -> str:
    """Return a line of Packer's without the build's name in front."""
    return _PREFIX.sub("", line, count=1)


def name_step(line: str) -> str:
    """Return the step that ``line``, without its prefix, announces; empty when it announces none."""
    for pattern, name in _COMPILED:
        if pattern.match(line):
            return name
    for pattern, form in _NAMED:
        if match := pattern.match(line):
            what = clean_text(match[1]).strip().rsplit("/", 1)[-1]
            return form.format("an inline script" if _INLINE.search(what) else what[:_LONGEST_NAME])
    return ""


class StepClock:
    """The step that is running and those that are over. A step that comes again in a row goes on."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.name = STARTING
        self.began = now()
        self._now = now
        self.failed = ""  # the step before the clean-up
        self._done: list[StepTime] = []

    def enter(self, name: str) -> bool:
        """Begin ``name``; returns whether that is a change."""
        if name == self.name or len(self._done) >= _MOST_STEPS:
            return False
        now = self._now()
        self._done.append(StepTime(self.name, now - self.began))
        self.failed = self.name if name == CLEANING else ""
        self.name, self.began = name, now
        return True

    def measure(self) -> float:
        """Return how long the step has been running, in seconds."""
        return self._now() - self.began

    def list_times(self) -> tuple[StepTime, ...]:
        """Return all steps in order, the running one with its time until now."""
        return (*self._done, StepTime(self.name, self.measure()))
