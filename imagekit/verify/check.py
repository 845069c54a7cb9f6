"""A check as a value: what it looks for, how bad that is, why it hurts, how to mend it, and the function that looks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from imagekit.image import Architecture, Firmware
from imagekit.report import Severity
from imagekit.verify.view import View


class Profile(StrEnum):
    """What the image is meant to become; a check belongs to one or more of them."""

    TEMPLATE = "template"
    CONTAINER = "container"


EVERYWHERE = (Profile.TEMPLATE, Profile.CONTAINER)
MACHINES = (Profile.TEMPLATE,)


class Subject(StrEnum):
    """The groups that checks are listed and reported in."""

    IDENTITY = "identity"
    CLOUD_INIT = "cloud-init"
    SSH = "ssh"
    ACCOUNTS = "accounts"
    SECRETS = "secrets"
    NETWORK = "network"
    BOOT = "boot"
    DISK = "disk"
    PACKAGES = "packages"
    TRACES = "traces"
    HYPERVISOR = "hypervisor"


@dataclass(frozen=True, slots=True)
class Policy:
    """What the image's definition allows and asks for.

    ``allow_users`` are accounts that the definition names: they, their keys and a sudoers file about nobody else are
    meant to be there.
    """

    allow_users: tuple[str, ...] = ()
    firmware: Firmware = Firmware.OVMF
    architecture: Architecture = Architecture.AMD64


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
