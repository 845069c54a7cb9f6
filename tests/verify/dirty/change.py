"""What dirt is: a named change to a clean template, and the finding that it must cause."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from imagekit.report import Severity
from imagekit.verify import Policy
from tests.verify.clean_tree import append, link, remove, replace, write

FAIL, WARN, INFO = Severity.FAIL, Severity.WARN, Severity.INFO
HASH = "$6$Zq3canarysalt$" + "CanaryHash0123456789" * 4
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\ncanarykeymaterial\n-----END OPENSSH PRIVATE KEY-----\n"
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1aWxkZXJidWlsZGVyYnVpbGRlcmJ1aWxkZXIx packer_1234\n"
MACHINE_ID = "0123456789abcdef0123456789abcdef\n"
SYSTEM = "/etc/systemd/system"
CFG = "/etc/cloud/cloud.cfg.d"


@dataclass(frozen=True)
class Dirt:
    """A change that must make ``check`` report something of ``severity`` whose path contains ``path``."""

    check: str
    name: str
    severity: Severity
    path: str
    change: Callable[[Path], None]
    policy: Policy = field(default_factory=Policy)  # what it is judged by: profile, deep, what the definition allows

    def __str__(self) -> str:
        return f"{self.check}-{self.name}"


def wrote(path: str, content: str | bytes = "") -> Callable[[Path], None]:
    """Return a change that writes one file."""
    return lambda root: write(root, path, content)


def added(path: str, text: str) -> Callable[[Path], None]:
    """Return a change that adds text to a file."""
    return lambda root: append(root, path, text)


def swapped(path: str, old: str, new: str) -> Callable[[Path], None]:
    """Return a change that replaces text in a file."""
    return lambda root: replace(root, path, old, new)


def linked(path: str, target: str) -> Callable[[Path], None]:
    """Return a change that makes a link."""
    return lambda root: link(root, path, target)


def removed(path: str) -> Callable[[Path], None]:
    """Return a change that removes a file."""
    return lambda root: remove(root, path)


def all_of(*changes: Callable[[Path], None]) -> Callable[[Path], None]:
    """Return a change that makes several."""

    def change(root: Path) -> None:
        for each in changes:
            each(root)

    return change


CLOUD_INIT_OFF = wrote("/etc/cloud/cloud-init.disabled")
