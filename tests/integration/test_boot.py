"""The proof on the built template: it passes as it is, and fails for the right reason once it was dirtied."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.deliver.clone import CloneState
from imagekit.deliver.local import create_clone, find_status, list_clones, remove_clone, start_clone, wait_until_up
from imagekit.host import run
from imagekit.machine.accelerator import probe_accelerator
from imagekit.machine.firmware import find_firmware
from imagekit.progress import Event, Progress, silent
from imagekit.verify.boot import BootProof, prove_clones
from imagekit.verify.boot_checks import CHECKS

pytestmark = pytest.mark.integration

GIB = 1 << 30


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def _prove(disk: Path, workdir: Path, *, seconds: float = 0, progress: Progress = silent) -> BootProof:
    return prove_clones(
        disk,
        accelerator=probe_accelerator(workdir / "cache"),
        firmware=find_firmware(),
        workdir=workdir,
        timeout_seconds=seconds,
        progress=progress,
    )


def test_built_template_is_proven(template_disk: Path, tmp_path: Path) -> None:
    """Two clones of the template pass every check, the disk keeps its bytes, and nothing is left behind."""
    before = _digest(template_disk)
    events: list[Event] = []
    proof = _prove(template_disk, tmp_path / "work", progress=events.append)
    assert proof.findings == ()
    assert proof.not_observed == ()
    assert set(proof.passed) == set(CHECKS)
    assert set(proof.facts) == {"clone-a", "clone-b"}
    assert _digest(template_disk) == before
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["cache"]
    assert "clone-a: firmware" in events[0].detail
    assert any("cloud-init" in event.detail for event in events)


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


@pytest.fixture
def clones_dir(tmp_path: Path) -> Iterator[Path]:
    """Return an empty place for clones; whatever still runs there is ended."""
    yield tmp_path / "clones"
    for status in list_clones(tmp_path / "clones"):
        remove_clone(status.clone)


def test_local_clone_comes_up_and_openssh_enters_it(template_disk: Path, tmp_path: Path, clones_dir: Path) -> None:
    """A clone with user-data of the operator is proven up; its ssh command works without a question."""
    before = _digest(template_disk)
    clone = create_clone(
        template_disk,
        "web",
        reference="template@20261121-1",
        digest=f"sha256:{before}",
        clones_dir=clones_dir,
        accelerator=probe_accelerator(tmp_path / "cache"),
        firmware=find_firmware(),
        disk_bytes=template_disk.stat().st_size + GIB,
        user_data=b"#cloud-config\nwrite_files: [{path: /etc/made-by-operator, content: operator}]\n",
    )
    facts = wait_until_up(start_clone(clone))
    assert facts.hostname == "web"
    assert facts.failed_units == ()
    said = run([*clone.ssh_command()[:1], "-o", "BatchMode=yes", *clone.ssh_command()[1:], "cat /etc/made-by-operator"])
    assert said.output == b"operator"
    assert find_status(clone).state is CloneState.RUNNING
    remove_clone(clone)
    assert list_clones(clones_dir) == []
    assert _digest(template_disk) == before
    shutil.rmtree(clones_dir)
