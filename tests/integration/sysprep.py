"""What virt-sysprep leaves of a machine that was booted and used; run by name, since pytest does not collect this file.

    .venv/bin/pytest -m integration tests/integration/sysprep.py

It takes packages ``guestfs-tools`` and ``linux-image-cloud-amd64`` (150 packages and 80 MB beyond what the other tests
take, and 370 MB for the machine that libguestfs makes of them), which is why ``.ci/setup`` leaves it out. Without them
it fails. Seen with guestfs-tools 1.48.2 and cloud-init 22.4.2, the disk being Debian 12's template after one boot:
host keys, people's keys, histories, logs and journals are gone; cloud-init's state, the account with its password and
its right to become root, the name, and the network file with the MAC address stay. And it writes a machine-id and a
random seed into the image, so that all its clones are the same machine. What it deleted is still on the disk. On
Debian 13 with Docker the same was seen, and the engine's id stays.
"""

import os
from pathlib import Path

import pytest

from imagekit.host import run
from imagekit.report import Report, Severity
from imagekit.verify import Policy, verify_disk
from tests.integration.used import Used

pytestmark = pytest.mark.integration

_GUESTFS = {"LIBGUESTFS_BACKEND": "direct", "LIBGUESTFS_BACKEND_SETTINGS": "force_tcg"}


@pytest.fixture(scope="module")
def prepared(used: Used, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the booted disk that virt-sysprep has been over."""
    disk = tmp_path_factory.mktemp("sysprep") / "disk.raw"
    run(["cp", "--sparse=always", os.fspath(used.booted), os.fspath(disk)])
    run(["virt-sysprep", "--format", "raw", "-a", os.fspath(disk)], environment=_GUESTFS, timeout=900)
    return disk


def _ids(report: Report, severity: Severity) -> set[str]:
    return {each.check for each in report.findings if each.severity is severity} - {"ghost-data"}


def test_what_sysprep_leaves_is_found(prepared: Path, used: Used) -> None:
    """Identity, doors and cloud-init's state are named; what it removed is no longer; nothing else is said."""
    report = verify_disk(prepared)
    assert _ids(report, Severity.FAIL) == {
        "account-passwords",
        "build-user",
        "cloud-init-state",
        "machine-id",
        "net-bound",
        "sudo-nopasswd",
    }
    assert _ids(report, Severity.WARN) == {"fs-clean", "hostname", "random-seed"}
    assert _ids(report, Severity.INFO) == {"logs", "shell-history", "sshd-shadowed-setting"}
    assert {"authorized-keys", "ssh-host-keys", "cloud-init-logs", "journal", "machine-id-traces", "tmp-contents"} <= {
        *report.passed
    }
    (identity,) = [each for each in report.findings if each.check == "machine-id"]
    assert identity.found.startswith("a valid id that begins with ")
    assert used.machine_id[:4] not in identity.found
    (seed,) = [each for each in report.findings if each.check == "random-seed"]
    assert "512 bytes" in seed.found


def test_deleted_host_keys_are_found(prepared: Path) -> None:
    """Every clone of the prepared disk still carries the first machine's host keys, in blocks that no file owns."""
    report = verify_disk(prepared, Policy(deep=True))
    keys = [each for each in report.findings if each.check == "ghost-data" and each.severity is Severity.FAIL]
    assert keys
    assert all("private key" in each.found for each in keys)
