"""The proof on a dirtied template: it fails, and for the right reason. That a clean one passes, the build shows."""

from pathlib import Path

import pytest

from imagekit.host import run
from imagekit.machine.accelerator import probe_accelerator
from imagekit.machine.firmware import find_firmware
from imagekit.verify.boot.prove import BootProof, prove_clones

pytestmark = pytest.mark.integration


def _dirty(disk: Path, copy: Path, *commands: str, files: dict[str, str] | None = None) -> Path:
    """Copy ``disk`` and change its root filesystem with debugfs, as a careless builder would have left it."""
    import json

    run(["cp", "--sparse=always", "--reflink=auto", str(disk), str(copy)])
    table = json.loads(run(["sfdisk", "--json", str(copy)]).output)["partitiontable"]["partitions"]
    offset = max(table, key=lambda partition: int(partition["size"]))["start"] * 512
    script = list(commands)
    for number, (path, text) in enumerate((files or {}).items()):
        source = copy.with_name(f"file{number}")
        source.write_text(text)
        script += [f"rm {path}", f"write {source} {path}"]
    run(["debugfs", "-w", "-f", "-", f"{copy}?offset={offset}"], stdin="\n".join([*script, ""]).encode())
    return copy


def _prove(disk: Path, workdir: Path, *, seconds: float = 0) -> BootProof:
    return prove_clones(
        disk,
        accelerator=probe_accelerator(workdir / "cache"),
        firmware=find_firmware(),
        workdir=workdir,
        timeout_seconds=seconds,
    )


def test_twins_that_do_not_grow_are_found(template_disk: Path, tmp_path: Path) -> None:
    """A machine id left in the image and a disk that may not grow boot green; comparing and reading finds them."""
    disk = _dirty(
        template_disk,
        tmp_path / "dirty.raw",
        files={
            "/etc/machine-id": "0123456789abcdef0123456789abcdef\n",
            "/etc/cloud/cloud.cfg.d/99-dirt.cfg": "growpart: {mode: 'off'}\nresize_rootfs: false\n",
        },
    )
    proof = _prove(disk, tmp_path / "work")
    assert {finding.check for finding in proof.findings} == {"boot-machine-id-unique", "boot-root-grown"}
    (twin,) = [finding for finding in proof.findings if finding.check == "boot-machine-id-unique"]
    assert "0123456789abcdef0123456789abcdef" in twin.found
    assert (tmp_path / "work" / "boot-clone-a.log").stat().st_size > 0


def test_image_without_cloud_init_is_explained(template_disk: Path, tmp_path: Path) -> None:
    """Nobody can enter a clone whose cloud-init is off; the agent still tells why, and the log is kept."""
    disk = _dirty(template_disk, tmp_path / "dirty.raw", files={"/etc/cloud/cloud-init.disabled": ""})
    proof = _prove(disk, tmp_path / "work", seconds=240)
    by_check = {finding.check: finding for finding in proof.findings}
    assert "stopped in stage" in by_check["boot-ssh"].found
    assert "cloud-init is disabled" in by_check["boot-ssh"].fix
    assert Path(by_check["boot-ssh"].path).stat().st_size > 0
    assert "boot-machine-fault" in proof.passed
    assert not proof.proven
