"""The accelerator probe, run for real on this machine."""

import json
from pathlib import Path

import pytest

from imagekit.errors import HostFailed, ToolFailed
from imagekit.image import Architecture
from imagekit.machine import accelerator
from imagekit.machine.accelerator import Accelerator, Probe, explain_accelerator, require_architecture, run_probe_guest


def test_probe_guest_runs_under_emulation() -> None:
    """The probe guest reaches its end on every host that has QEMU."""
    assert run_probe_guest(Accelerator.TCG)


def test_probe_guest_that_breaks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that ends QEMU in any other way than by its own report does not count as having run."""
    code = bytearray(accelerator._PROBE_CODE)
    end = code.index(bytes.fromhex("b02ae6f4"))
    code[end : end + 4] = bytes.fromhex("0f0b9090")  # ud2 without an IDT: a triple fault resets the machine
    monkeypatch.setattr(accelerator, "_PROBE_CODE", bytes(code))
    assert not run_probe_guest(Accelerator.TCG)


def test_an_accelerator_that_does_not_exist_is_rejected() -> None:
    """QEMU refusing an accelerator is an answer, not an error."""
    assert not run_probe_guest(Accelerator.HVF if Path("/proc").exists() else Accelerator.KVM)


def test_answer_names_an_accelerator_that_runs_guests_and_is_kept(tmp_path: Path) -> None:
    """What is chosen here has just run a guest, says why, and is not probed again during this boot of the host."""
    probe = explain_accelerator(tmp_path)
    assert run_probe_guest(probe.accelerator)
    assert probe.why
    cache = tmp_path / "accelerator.json"
    kept = json.loads(cache.read_text())
    cache.write_text(json.dumps({**kept, "why": "from the cache"}))
    assert explain_accelerator(tmp_path).why == "from the cache"


@pytest.mark.parametrize("damage", ["", "[]", "{}", '{"key": 1', '{"key": "old", "accelerator": "kvm", "why": ""}'])
def test_damaged_or_old_cache_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    """A cache from another boot, or one that is no JSON, leads to a new probe."""
    (tmp_path / "accelerator.json").write_text(damage)
    monkeypatch.setattr(accelerator, "_choose", lambda: Probe(Accelerator.TCG, "probed"))
    assert explain_accelerator(tmp_path) == Probe(Accelerator.TCG, "probed")
    assert json.loads((tmp_path / "accelerator.json").read_text())["why"] == "probed"


def test_dead_kvm_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /dev/kvm exists but its guests die, emulation is chosen and the reason says both."""
    monkeypatch.setattr(accelerator, "_name_candidate", lambda: (Accelerator.KVM, "/dev/kvm exists"))
    monkeypatch.setattr(accelerator, "run_probe_guest", lambda kind: kind is Accelerator.TCG)
    probe = accelerator._choose()
    assert probe.accelerator is Accelerator.TCG
    assert "/dev/kvm exists, but a test guest died" in probe.why


def test_broken_qemu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A QEMU that cannot even emulate is reported instead of being handed on."""
    monkeypatch.setattr(accelerator, "_name_candidate", lambda: (None, "nothing"))
    monkeypatch.setattr(accelerator, "run_probe_guest", lambda kind: False)
    with pytest.raises(ToolFailed, match="test guest"):
        accelerator._choose()


def test_architecture_that_cannot_boot_is_refused() -> None:
    """An arm64 image gets a sentence; an amd64 one passes."""
    require_architecture(Architecture.AMD64)
    with pytest.raises(HostFailed, match="arm64"):
        require_architecture(Architecture.ARM64)
