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


LIVE_DIRT = (
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
