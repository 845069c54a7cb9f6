"""A failed build as one sentence and a hint: words recorded from Packer, Proxmox VE and consoles."""

from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build.packer.failure import Failure, explain_failure, explain_nothing
from imagekit.errors import HostFailed, ToolFailed

_REASON = "Script exited with non-zero exit status: 1. Allowed exit codes are: [0]"


@pytest.fixture
def failure(tmp_path: Path) -> Failure:
    """Return a failed build that says nothing of why."""
    return Failure(1, "provisioning", (), (), (), None, tmp_path, tmp_path / "build.log")


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("error creating VM: 403 Permission check failed (/vms/9101, VM.Allocate)", "/vms/9101, VM.Allocate", "privil"),
        ("error creating VM: 401 no such token 'x' for user 'root@pam'", "does not accept the API token", "expiry"),
        ("500 unable to create VM 9101: VM 9101 already exists on node 'pve1'", "VMID is taken: 9101", "build_ids"),
        ("Get \"https://pve.example:8006/api2/json/version\": dial tcp 127.0.0.1:8006: connect: connection refused",
         "the cluster did not answer", "8006"),
        ("dial tcp: lookup pve.example: no such host", "the cluster did not answer", "url"),
        ("x509: certificate signed by unknown authority", "certificate was not accepted", "fingerprint"),
        ("500 storage 'fast' does not exist", "the storage cannot be used: fast", "doctor --cluster"),
        ("500 hostname lookup 'pve9' failed - failed to get address info", "the node is not there", "web interface"),
        ("Wait timeout for:UPID:pve1:0001", "did not end in time", "task_timeout"),
        ("500 can't lock file '/var/lock/qemu-server/lock-9101.conf' - got timeout", "did not end in time", ""),
        ("595 Connection refused", "answered with an error", "log"),
    ],
)  # fmt: skip
def test_words_of_the_cluster_are_known(failure: Failure, text: str, said: str, hint: str) -> None:
    """What the API answers becomes exit code 8, with what was refused and where to look."""
    problem = explain_failure(replace(failure, errors=(text,)))
    assert isinstance(problem, HostFailed)
    assert said in problem.message
    assert hint in str(problem.hint)


def test_words_of_a_guest_are_not_the_clusters(failure: Failure) -> None:
    """A script that prints an API's error has failed by itself: only Packer's reason is asked."""
    said = ("curl: (22) 403 Permission check failed (/x, y)", "connect: connection refused")
    problem = explain_failure(replace(failure, errors=(_REASON,), said=said))
    assert isinstance(problem, ToolFailed)
    assert problem.message.startswith("provisioning failed while provisioning")
    assert problem.detail == "\n".join(said)
    assert "--keep" in str(problem.hint)


def test_full_disk_here_and_there(failure: Failure, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk of this machine is the host's failure; one of the guest's is the build's."""
    text = "Error converting hard drive: qemu-img: error while writing at byte 0: No space left on device"
    assert isinstance(explain_failure(replace(failure, errors=(text,))), HostFailed)
    inside = explain_failure(replace(failure, errors=(_REASON,), said=("tar: x: No space left on device",)))
    assert isinstance(inside, ToolFailed)
    assert "larger disk for the image" in str(inside.hint)
    monkeypatch.setattr("imagekit.build.packer.failure.free_bytes", lambda place: 0)
    assert isinstance(explain_failure(replace(failure, errors=(_REASON,))), HostFailed)


def test_silent_machine_shows_its_console(failure: Failure, tmp_path: Path) -> None:
    """SSH that never came up is told with the console's end, its fault, and how the attempts ended."""
    serial = tmp_path / "serial.log"
    serial.write_text("Loading\nALERT! UUID=1 does not exist. Dropping to a shell!\n(initramfs) \n")
    silent = replace(failure, errors=("Timeout waiting for SSH.",), serial_log=serial)
    problem = explain_failure(replace(silent, handshakes=("ssh: handshake failed: EOF",)))
    assert isinstance(problem, ToolFailed)
    assert "did not find the root filesystem" in problem.message
    assert "(initramfs)" in problem.detail
    assert "nothing in the guest answered" in str(problem.hint)


@pytest.mark.parametrize(
    ("handshake", "said"),
    [
        (
            "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey]",
            "refused the build's",
        ),
        ("dial tcp 127.0.0.1:2222: connect: connection refused", "no sshd"),
        ("dial tcp 10.0.0.5:22: i/o timeout", "address does not answer"),
    ],
)
def test_ssh_attempts_tell_how_far_it_came(failure: Failure, handshake: str, said: str) -> None:
    """How the last attempts ended is the likely reason where the console has none."""
    problem = explain_failure(replace(failure, errors=("Timeout waiting for SSH.",), handshakes=(handshake,)))
    assert said in problem.message


def test_empty_console_is_a_reason(failure: Failure, tmp_path: Path) -> None:
    """A guest that wrote nothing never reached its kernel, or writes elsewhere."""
    problem = explain_failure(replace(failure, errors=("Timeout waiting for SSH.",), serial_log=tmp_path / "none"))
    assert "wrote nothing to its serial console" in problem.message
    (tmp_path / "serial").write_text("[    0.000000] Linux version 6.1\n")
    problem = explain_failure(replace(failure, errors=("Timeout waiting for SSH.",), serial_log=tmp_path / "serial"))
    assert "came as far as: kernel" in problem.message


def test_vm_that_packer_could_not_delete_is_named(failure: Failure) -> None:
    """When Packer's own clean-up failed the hint says that a VM is left."""
    said = ("Error deleting VM. Please delete it manually: 500 timeout",)
    problem = explain_failure(replace(failure, errors=(_REASON,), said=said))
    assert str(problem.hint).startswith("a VM is still on the cluster")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("Qemu failed to start. Please run with PACKER_LOG=1 to get more info.", "Qemu stderr"),
        ("Checksums did not match for x", "sha256"),
        ("unexpected EOF", "plugin of Packer died"),
    ],
)
def test_other_failures_point_somewhere(failure: Failure, text: str, hint: str) -> None:
    """Known words of Packer have a hint of their own, and always the log."""
    problem = explain_failure(replace(failure, errors=(text,)))
    assert hint in str(problem.hint)
    assert str(failure.log) in str(problem.hint)


def test_nothing_made_is_told(failure: Failure) -> None:
    """Status 0 without an artifact has its own sentence."""
    assert "made nothing" in explain_nothing(replace(failure, status=0)).message
