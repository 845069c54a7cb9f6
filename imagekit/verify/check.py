"""A check as a value: what it looks for, how bad that is, why it hurts, how to mend it, and the function that looks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from imagekit.image import Architecture, Firmware
from imagekit.report import Profile as Profile  # a check's file needs one import for all that a check is made of
from imagekit.report import Severity
from imagekit.verify.view import View, ViewKind

if TYPE_CHECKING:
    from imagekit.definition.model import Allowance, SeverityOverride, Site

# What a check is for, as the four usual answers; others are written out in the check.
EVERYWHERE = (Profile.TEMPLATE, Profile.CONTAINER)
MACHINES = (Profile.TEMPLATE,)
CLONES_TOO = (Profile.TEMPLATE, Profile.CLONE, Profile.CONTAINER)
ALL_PROFILES = tuple(Profile)


class Subject(StrEnum):
    """The groups that checks are listed and reported in."""

    IDENTITY = "identity"
    CLOUD_INIT = "cloud-init"
    SSH = "ssh"
    ACCOUNTS = "accounts"
    SECRETS = "secrets"
    CREDENTIALS = "credentials"
    NETWORK = "network"
    BOOT = "boot"
    DISK = "disk"
    PACKAGES = "packages"
    TRACES = "traces"
    AGENTS = "agents"
    HYPERVISOR = "hypervisor"
    VM_CONFIG = "vm-config"
    SD_IMAGE = "sd-image"
    POLICY = "policy"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the image's definition allows and asks for.

    ``allow_users`` are accounts that the definition names: they, their keys and a sudoers file about nobody else are
    meant to be there. ``profile`` is the one being verified, for a check whose rule turns around with it. ``deep``
    asks for what takes seconds: free blocks, slack, whole files. ``today`` is what ages are measured against.
    """

    allow_users: tuple[str, ...] = ()
    firmware: Firmware = Firmware.OVMF
    architecture: Architecture = Architecture.AMD64
    profile: Profile = Profile.TEMPLATE
    deep: bool = False
    secure_boot: bool = False
    allow: "tuple[Allowance, ...]" = ()
    unused: "tuple[Allowance, ...]" = ()  # filled by the runner, for the checks of the policy itself
    severity: "tuple[SeverityOverride, ...]" = ()
    forbid_paths: tuple[str, ...] = ()
    forbid_text: tuple[str, ...] = ()
    site: "Site | None" = None  # what a card was told about its house, where a definition says so
    services: tuple[str, ...] = ()  # units that must be started, as "docker-pihole.service"
    today: date = field(default_factory=lambda: datetime.now(UTC).date())


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw: where, and evidence that never is the secret itself.

    ``severity`` and ``fix`` replace the check's own where this case differs.
    """

    path: str
    found: str
    severity: Severity | None = None
    fix: str | None = None


Find = Callable[[View, Policy], Iterator[Seen]]


def shows_image(view: View) -> bool:
    """Say whether the view is of an image's files, as most checks need it: not of a VM's configuration alone."""
    return view.kind is not ViewKind.VM_CONFIG


@dataclass(frozen=True, slots=True)
class Check:
    """One rule: ``id`` never changes its meaning; ``severity`` is that of its ordinary finding.

    ``find`` yields what it saw and ends; no yield is a pass. It raises :class:`imagekit.verify.view.CannotSee` when
    the view does not show what it must look at.
    """

    id: str
    severity: Severity
    subject: Subject
    why: str
    fix: str
    find: Find
    profiles: tuple[Profile, ...] = EVERYWHERE
    applies: Callable[[View], bool] = shows_image  # what a target is not about is not even counted
    never_published: bool = False  # an allowance for it holds only as long as the image stays here
