"""Dirt that only a running machine shows: its clean answers with some of them changed."""

from dataclasses import dataclass, replace
from typing import Any

from imagekit.report import Severity
from imagekit.verify.live import LiveFacts
from tests.verify.dirty.change import FAIL, WARN

CLEAN_ANSWERS = LiveFacts(
    failed_units=(),
    system_state="running",
    cloud_init="done",
    sshd_config=("port 22", "passwordauthentication no", "permitrootlogin no", "permitemptypasswords no"),
    root_bytes=19 << 30,
    disk_bytes=20 << 30,
)


@dataclass(frozen=True)
class LiveDirt:
    """Answers that must make ``check`` report something of ``severity`` whose path contains ``path``."""

    check: str
    name: str
    severity: Severity
    path: str
    answers: LiveFacts

    def __str__(self) -> str:
        return f"{self.check}-{self.name}"


def _dirt(check: str, name: str, severity: Severity, path: str, **changes: Any) -> LiveDirt:
    return LiveDirt(check, name, severity, path, replace(CLEAN_ANSWERS, **changes))


# Two machines that share nothing, to begin with.
_IDENTITY = {
    "machine_id": "0123456789abcdef0123456789abcdef",
    "boot_id": "00000000-0000-4000-8000-000000000001",
    "product_uuid": "00000000-0000-4000-8000-00000000000a",
    "host_keys": ("ssh-ed25519 SHA256:one",),
    "hostname": "one",
    "addresses": ("192.0.2.1", "fe80::1"),
}
_TWIN = replace(
    CLEAN_ANSWERS,
    machine_id="fedcba9876543210fedcba9876543210",
    boot_id="00000000-0000-4000-8000-000000000002",
    product_uuid="00000000-0000-4000-8000-00000000000b",
    host_keys=("ssh-ed25519 SHA256:two",),
    hostname="two",
    addresses=("192.0.2.2", "fe80::1"),
)


def _twin_dirt(field: str, severity: Severity, path: str) -> LiveDirt:
    twin = replace(_TWIN, **{field: _IDENTITY[field]})  # type: ignore[arg-type] # one field of one type each
    return _dirt("clone-twins", field, severity, path, **_IDENTITY, twin=twin)


LIVE_DIRT = (
    _twin_dirt("machine_id", FAIL, "/etc/machine-id"),
    _twin_dirt("host_keys", FAIL, "/etc/ssh/ssh_host_"),
    _twin_dirt("product_uuid", FAIL, "product_uuid"),
    _twin_dirt("hostname", WARN, "/etc/hostname"),
    _twin_dirt("addresses", WARN, "192.0.2.1"),
    _dirt("failed-units", "unit", FAIL, "a.service", failed_units=("a.service",), system_state="degraded"),
    _dirt("failed-units", "state", FAIL, "systemd", system_state="maintenance"),
    _dirt("failed-units", "starting", WARN, "systemd", system_state="starting"),
    _dirt("cloud-init-status", "error", FAIL, "cloud-init", cloud_init="error", cloud_init_errors=("no datasource",)),
    _dirt("cloud-init-status", "degraded", FAIL, "cloud-init", cloud_init="degraded done"),
    _dirt("cloud-init-status", "running", WARN, "cloud-init", cloud_init="running"),
    _dirt("cloud-init-status", "not-started", WARN, "cloud-init", cloud_init="not started"),
    _dirt("disk-grown", "template-size", WARN, "/", root_bytes=2 << 30),
    _dirt("sshd-in-effect", "password", FAIL, "sshd", sshd_config=("PasswordAuthentication yes",)),
    _dirt("sshd-in-effect", "root", FAIL, "sshd", sshd_config=("permitrootlogin yes",)),
    _dirt("sshd-in-effect", "empty", FAIL, "sshd", sshd_config=("permitemptypasswords yes",)),
)
