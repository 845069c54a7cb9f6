"""What a rule of the lint is: who it is about, what it looks for, why that hurts, and what to write instead."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from imagekit.build.packer.template import Source, Template
from imagekit.build.packer.values import Block
from imagekit.definition.problems import quote

ISO = frozenset({"proxmox-iso"})
CLONE = frozenset({"proxmox-clone"})
PROXMOX = ISO | CLONE
QEMU = frozenset({"qemu"})
ANY = PROXMOX | QEMU
TEMPLATE: frozenset[str] = frozenset()


class Level(StrEnum):
    """An error stops the build, a warning is told."""

    ERROR = "error"
    WARNING = "warning"


class Subject(StrEnum):
    """What a rule is about; the order is that of the documentation."""

    FIELDS = "fields"
    PLUGINS = "plugins and builds"
    VARIABLES = "variables"
    CREDENTIALS = "credentials"
    IDENTITY = "identity"
    FIRMWARE = "firmware"
    HARDWARE = "hardware"
    DISKS = "disks"
    MEDIA = "media"
    CLOUD_INIT = "cloud-init"
    NETWORK = "network"
    TIMING = "timing"
    BOOT_COMMAND = "boot command"
    QEMU = "qemu"


@dataclass(frozen=True, slots=True)
class Mistake:
    """One place of a template that breaks a rule."""

    rule: str
    level: Level
    file: str
    line: int
    where: str
    found: str
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Where a rule found what; ``fix`` when it can say more than the rule's own."""

    file: str
    line: int
    where: str
    found: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule judges: one source as it will be built, or, with an empty source, the template as a whole."""

    template: Template
    source: Source
    only: str = ""
    vm_ids: range | None = None
    given: Mapping[str, object] = field(default_factory=dict)

    @property
    def block(self) -> Block:
        """The source's block."""
        return self.source.block

    @property
    def on_uefi(self) -> bool:
        """Say whether the machine certainly has a UEFI or is a q35."""
        machine = self.block.read_text("machine", "pc") or ""
        return self.block.read_text("bios", "seabios") == "ovmf" or "q35" in machine

    def at(self, block: Block, name: str, found: str = "", fix: str = "") -> Finding:
        """Return a finding about the setting ``name``; without ``found`` its value is told."""
        setting = block.settings.get(name)
        file, line = (setting.file, setting.line) if setting is not None else (block.file, block.line)
        return Finding(file, line, self.name(block, name), found or self.tell(block, name), fix)

    def name(self, block: Block, name: str = "") -> str:
        """Return how a setting is called in a message."""
        inner = "" if block is self.source.block else f"{block.kind}."
        source = f"{self.source.kind}.{self.source.name}"
        return f"{source}: {inner}{name}".rstrip(".: ")

    def tell(self, block: Block, name: str) -> str:
        """Return the value of a setting for a message; never that of a sensitive variable."""
        setting = block.settings.get(name)
        if setting is None or setting.value is None or setting.value == "":
            return "left out"
        known = self.template.variables
        if any(variable in known and known[variable].sensitive for variable in setting.variables):
            return "a sensitive value"
        if isinstance(setting.value, bool):
            return str(setting.value).lower()
        return quote(setting.value) if isinstance(setting.value, str) else str(setting.value)[:60]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. ``kinds`` are the types of sources that it is about, none for the template as a whole."""

    id: str
    level: Level
    subject: Subject
    kinds: frozenset[str]
    find: Callable[[Case], Iterable[Finding]]
    why: str
    fix: str
