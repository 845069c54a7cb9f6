"""The life of a clone, on a blank disk: everything but a guest that boots."""

import hashlib
import json
import os
import shlex
import stat
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.deliver.clone import Clone, CloneState
from imagekit.deliver.local import (
    create_clone,
    find_status,
    list_clones,
    open_clone,
    remove_clone,
    start_clone,
    stop_clone,
    wait_until_up,
)
from imagekit.errors import DefinitionInvalid, HostFailed, Refused
from imagekit.host import run
from imagekit.machine.accelerator import Accelerator
from imagekit.machine.firmware import find_firmware
from imagekit.machine.wait import BootStopped

DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """Return a blank raw disk of 16 MiB."""
    path = tmp_path / "blank.raw"
    path.write_bytes(b"")
    os.truncate(path, 16 << 20)
    return path


@pytest.fixture
def clones_dir(tmp_path: Path) -> Iterator[Path]:
    """Return an empty place for clones; whatever still runs there is ended."""
    yield tmp_path / "clones"
    for status in list_clones(tmp_path / "clones"):
        remove_clone(status.clone)


def _create(disk: Path, clones_dir: Path, name: str = "web", **more: object) -> Clone:
    return create_clone(
        disk,
        name,
        reference="template@20261121-1",
        digest=DIGEST,
        clones_dir=clones_dir,
        accelerator=Accelerator.TCG,
        firmware=find_firmware(),
        memory_mib=128,
        cpus=1,
        **more,  # type: ignore[arg-type] # whatever a test wants to set
    )


def test_clone_is_complete_and_private(disk: Path, clones_dir: Path) -> None:
    """A new clone has all its files, its secrets are the owner's alone, and it is stopped."""
    clone = _create(disk, clones_dir)
    names = {path.name for path in clone.directory.iterdir()}
    assert names == {"clone.json", "disk.qcow2", "vars.fd", "seed.iso", "id_ed25519"}
    assert stat.S_IMODE((clone.directory / "id_ed25519").stat().st_mode) == 0o600
    assert stat.S_IMODE((clone.directory / "seed.iso").stat().st_mode) == 0o600
    assert [path.name for path in clones_dir.iterdir()] == ["web"]
    assert open_clone(clones_dir, "web") == clone
    (status,) = list_clones(clones_dir)
    assert status.state is CloneState.STOPPED
    assert json.loads(json.dumps(status.describe()))["reference"] == "template@20261121-1"


def test_creating_takes_a_moment_whatever_the_size(clones_dir: Path, tmp_path: Path) -> None:
    """Nothing is copied: a disk of 20 GiB is cloned as fast as a small one."""
    large = tmp_path / "large.raw"
    large.write_bytes(b"")
    os.truncate(large, 20 << 30)
    begun = time.perf_counter()
    clone = _create(large, clones_dir, disk_bytes=40 << 30)
    assert time.perf_counter() - begun < 3  # a third of a second on an idle machine; tests share theirs
    assert (clone.directory / "disk.qcow2").stat().st_size < 4 << 20


def test_key_of_the_operator_replaces_ours(disk: Path, clones_dir: Path) -> None:
    """Given a public key no private one is made, and the ssh command leaves the choice to the agent."""
    clone = _create(disk, clones_dir, ssh_keys=("ssh-ed25519 AAAA me",))
    assert not (clone.directory / "id_ed25519").exists()
    assert "-i" not in clone.ssh_command()


def test_ssh_command_is_one_that_openssh_understands(disk: Path, clones_dir: Path) -> None:
    """ssh itself reads key file, port, user and known hosts as we mean them, spaces in the path included."""
    clone = _create(disk, clones_dir.parent / "my clones", name="web")
    _, *arguments = clone.ssh_command()
    said = run(["ssh", "-G", *arguments]).output.decode().splitlines()
    assert f"port {clone.port}" in said
    assert "user debian" in said
    assert "hostname 127.0.0.1" in said
    assert f"identityfile {clone.directory / 'id_ed25519'}" in said
    assert any(line.startswith("userknownhostsfile") and "my clones" in line for line in said)
    assert shlex.split(shlex.join(clone.ssh_command())) == list(clone.ssh_command())


@pytest.mark.parametrize("name", ["../evil", "", "Web", "a/b", ".making-x", "-x", "x" * 64])
def test_name_that_cannot_be_one_is_refused(disk: Path, clones_dir: Path, name: str) -> None:
    """A clone's name is a directory and a host name; nothing outside the clones is ever touched."""
    with pytest.raises(DefinitionInvalid):
        _create(disk, clones_dir, name=name)


def test_taken_name_is_refused_and_leaves_nothing(disk: Path, clones_dir: Path) -> None:
    """A second clone of one name is refused; the first stays as it was."""
    first = _create(disk, clones_dir)
    with pytest.raises(Refused, match="already a clone web"):
        _create(disk, clones_dir)
    assert open_clone(clones_dir, "web") == first
    assert [path.name for path in clones_dir.iterdir()] == ["web"]


def test_failure_leaves_nothing(disk: Path, clones_dir: Path) -> None:
    """A disk that would shrink ends in an error and no half-made clone."""
    with pytest.raises(HostFailed):
        _create(disk, clones_dir, disk_bytes=1 << 20)
    assert list(clones_dir.iterdir()) == []


def test_left_over_of_a_crash_is_removed_later(disk: Path, clones_dir: Path) -> None:
    """A directory that a crash left is no clone, and goes once it is an hour old; a younger one stays."""
    for name, age in ((".making-old", 7200), (".making-new", 10)):
        (clones_dir / name).mkdir(parents=True)
        os.utime(clones_dir / name, (time.time() - age, time.time() - age))
    _create(disk, clones_dir)
    assert {path.name for path in clones_dir.iterdir()} == {"web", ".making-new"}
    assert [status.clone.name for status in list_clones(clones_dir)] == ["web"]


def test_clones_get_their_own_identity_and_port(disk: Path, clones_dir: Path) -> None:
    """No two clones share a port, a MAC address or a UUID, started or not."""
    clones = [_create(disk, clones_dir, name=f"web{number}") for number in range(3)]
    for field in ("port", "mac", "uuid"):
        assert len({getattr(clone, field) for clone in clones}) == 3


def test_clone_lives_and_dies(disk: Path, clones_dir: Path) -> None:
    """Started it runs on its own, is listed as running, stops when its guest ignores the button, and can be removed."""
    before = hashlib.sha256(disk.read_bytes()).hexdigest()
    clone = start_clone(_create(disk, clones_dir))
    status = find_status(open_clone(clones_dir, "web"))
    assert status.state is CloneState.RUNNING
    assert status.pid is not None
    assert start_clone(clone) == clone  # a running clone is left alone
    stop_clone(clone, patience=0.2)
    assert find_status(clone).state is CloneState.STOPPED
    clone = start_clone(clone)
    remove_clone(clone)
    assert list_clones(clones_dir) == []
    assert find_status(clone).state is CloneState.STOPPED
    assert hashlib.sha256(disk.read_bytes()).hexdigest() == before


def test_clone_is_stopped_after_a_reboot_of_the_host(disk: Path, clones_dir: Path) -> None:
    """A pid file that outlived its process, or names another one, means stopped; and the clone starts again."""
    clone = _create(disk, clones_dir)
    clone.sockets.mkdir()
    clone.machine().pidfile.write_text(f"{os.getpid()}\n")
    (status,) = list_clones(clones_dir)
    assert status.state is CloneState.STOPPED
    started = start_clone(clone)
    assert find_status(started).state is CloneState.RUNNING


def test_clone_that_does_not_boot_says_where_it_stopped(disk: Path, clones_dir: Path) -> None:
    """A blank disk stops in the firmware; the error names stage, cause and console, in time."""
    clone = start_clone(_create(disk, clones_dir))
    stages: list[str] = []
    begun = time.monotonic()
    with pytest.raises(BootStopped) as caught:
        wait_until_up(clone, timeout_seconds=2, progress=lambda event: stages.append(event.detail))
    assert caught.value.stage in ("firmware", "bootloader")
    assert str(clone.directory / "serial.log") in (caught.value.hint or "")
    assert time.monotonic() - begun < 30
    assert stages[0] == "firmware"


def test_clone_without_its_image_is_a_sentence(disk: Path, clones_dir: Path) -> None:
    """When the backing disk was deleted the error names it and the version to bring back."""
    clone = _create(disk, clones_dir)
    disk.unlink()
    with pytest.raises(HostFailed, match="is gone") as caught:
        start_clone(clone)
    assert "template@20261121-1" in (caught.value.hint or "")


@pytest.mark.parametrize("damage", ["", "[]", '{"format": 2}', '{"format": 1}', '{"format": 1, "name": 5}'])
def test_damaged_record_is_a_sentence(disk: Path, clones_dir: Path, damage: str) -> None:
    """A record that cannot be read names its file instead of raising something odd."""
    clone = _create(disk, clones_dir)
    record = clone.directory / "clone.json"
    good = record.read_bytes()
    record.write_text(damage)
    with pytest.raises(HostFailed, match=r"clone\.json cannot be used"):
        open_clone(clones_dir, "web")
    record.write_bytes(good)
    assert open_clone(clones_dir, "web") == clone


def test_unknown_clone_is_a_sentence(clones_dir: Path) -> None:
    """A name that no clone has is told as such; no clones at all is an empty list."""
    with pytest.raises(HostFailed, match="there is no clone web"):
        open_clone(clones_dir, "web")
    assert list_clones(clones_dir) == []


def test_port_taken_by_a_stranger_is_exchanged(disk: Path, clones_dir: Path) -> None:
    """When somebody listens on a stopped clone's port it starts on another one, and the record says so."""
    import socket

    clone = _create(disk, clones_dir)
    with socket.create_server(("127.0.0.1", clone.port)):
        started = start_clone(clone)
    assert started.port != clone.port
    assert open_clone(clones_dir, "web") == started


def test_recorded_accelerator_can_be_replaced(disk: Path, clones_dir: Path) -> None:
    """A clone made where KVM worked still starts where it does not."""
    clone = _create(disk, clones_dir)
    kvm = replace(clone, accelerator=Accelerator.KVM, cpu_model="host")
    assert start_clone(kvm, accelerator=Accelerator.TCG).cpu_model == clone.cpu_model
