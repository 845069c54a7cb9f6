"""A Proxmox VM's configuration: what makes each of its checks speak, how it is read, what is refused."""

import json
from pathlib import Path

import pytest

from imagekit.errors import VerificationFailed
from imagekit.report import NotObserved
from imagekit.verify import VmConfig, list_checks, read_vm_config, verify_disk, verify_vm_config
from imagekit.verify.formats.text import render_text
from tests.verify.dirty.vm_config import CLEAN, KIN, VM_DIRT, VmDirt

_RECORDED = Path(__file__).parents[3] / "shared" / "pve-api" / "recorded-9.2.11.jsonl"
_IDS = {check.id for check in list_checks() if check.id.startswith("vm-")}


@pytest.mark.parametrize("dirt", VM_DIRT, ids=str)
def test_dirty_configuration_is_reported(dirt: VmDirt, clean_disk: Path) -> None:
    """A changed key makes its check report it, and no other but those that it really causes."""
    config = dirt.make_config()
    if dirt.disk:
        report = verify_disk(clean_disk, dirt.policy, vm_config=config)
    else:
        report = verify_vm_config(config, dirt.policy)
    found = [finding for finding in report.findings if finding.check == dirt.check]
    assert any(each.severity is dirt.severity and dirt.path in each.path for each in found), render_text(report)
    others = {finding.check for finding in report.findings if finding.check.startswith("vm-")} - {dirt.check}
    assert others <= KIN.get(dirt.check, set()), render_text(report)
    assert "canary" not in repr(report)


def test_clean_configuration_has_no_finding() -> None:
    """A configuration as publishing makes it passes; what only its disk shows is not observed, and no pass."""
    report = verify_vm_config(VmConfig("9000.json", CLEAN))
    assert report.findings == (), render_text(report)
    assert report.not_observed == (NotObserved("vm-firmware", "no disk was given beside the VM's configuration"),)
    assert set(report.passed) | {"vm-firmware"} == _IDS


def test_clean_configuration_with_its_disk_passes(clean_disk: Path) -> None:
    """Together with the disk every check is made, the disk's own too."""
    report = verify_disk(clean_disk, vm_config=VmConfig("9000.json", CLEAN))
    assert report.findings == (), render_text(report)
    assert report.not_observed == ()
    assert set(report.passed) >= _IDS


def test_saved_answer_of_the_api_is_read(tmp_path: Path) -> None:
    """The API's envelope, and what pvesh prints without it, mean the same."""
    plain, wrapped = tmp_path / "plain.json", tmp_path / "wrapped.json"
    plain.write_text(json.dumps({**CLEAN, "cores": 2}))
    wrapped.write_text(json.dumps({"data": {**CLEAN, "cores": 2}}))
    assert dict(read_vm_config(plain).values) == dict(read_vm_config(wrapped).values) == dict(CLEAN)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]", b'{"data": []}', b'{"bios": {"a": 1}}', b'{"../x": "1"}', b"bios: ovmf\n", b'{"name": "x"}',
     b"\xff" * 9, b"[" * 200_000, b" " * (1 << 20) + b"{}"],
)  # fmt: skip
def test_what_is_no_configuration_is_refused(content: bytes, tmp_path: Path) -> None:
    """Anything else is refused with the command that saves one."""
    path = tmp_path / "9000.json"
    path.write_bytes(content)
    with pytest.raises(VerificationFailed) as caught:
        read_vm_config(path)
    assert "pvesh" in (caught.value.hint or "")


def test_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is named."""
    with pytest.raises(VerificationFailed, match=r"9000\.json"):
        read_vm_config(tmp_path / "9000.json")


@pytest.mark.skipif(not _RECORDED.exists(), reason="the recorded answers of a real cluster are not here")
def test_recorded_configurations_are_read(tmp_path: Path) -> None:
    """Every configuration that a real cluster answered is understood and judged."""
    count = 0
    for line in _RECORDED.read_text().splitlines():
        record = json.loads(line)
        place = record.get("path", "")
        if record.get("method") == "GET" and place.endswith("/config") and "/qemu/" in place:
            if record["status"] != 200 or not isinstance(record["body"].get("data"), dict):
                continue
            path = tmp_path / f"{count}.json"
            path.write_text(json.dumps(record["body"]))
            report = verify_vm_config(read_vm_config(path))
            assert {each.check for each in report.findings} | set(report.passed) <= _IDS
            count += 1
    assert count > 3
