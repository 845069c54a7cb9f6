"""The directory that Vagrant works in: our files, the VM's values, and what real Vagrant and Ruby think of them."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from imagekit.build.vagrant.machine_readable import parse_output
from imagekit.build.vagrant.model import GIB, VmProvider, VmSettings
from imagekit.build.vagrant.own_project import find_own_project
from imagekit.build.vagrant.project import describe_vm, find_made_provider, name_state, name_vm, write_project
from imagekit.build.vagrant.tool import make_vagrant_environment
from imagekit.errors import DefinitionInvalid, HostFailed, ToolMissing
from imagekit.host import run
from tests.build.vagrant.stand_in import RECORDED


def _ask_real_vagrant(settings: VmSettings, *arguments: str) -> str:
    environment = make_vagrant_environment(
        {
            "VAGRANT_CWD": os.fspath(settings.directory),
            "VAGRANT_DOTFILE_PATH": os.fspath(name_state(settings.directory)),
            "VAGRANT_DEFAULT_PROVIDER": "libvirt",
        }
    )
    return run(["vagrant", *arguments], environment=environment, timeout=60).output.decode()


def test_project_is_private_and_whole(settings: VmSettings) -> None:
    """All parts and the values are there, readable by their owner alone; a second time nothing is written."""
    write_project(settings, VmProvider.LIBVIRT)
    files = sorted(path.name for path in settings.directory.iterdir())
    assert files == ["Vagrantfile", "boxes.json", "provision.sh", "settings.json"]
    assert settings.directory.stat().st_mode & 0o777 == 0o700
    assert (settings.directory / "settings.json").stat().st_mode & 0o777 == 0o600
    before = (settings.directory / "Vagrantfile").stat().st_ino
    write_project(settings, VmProvider.LIBVIRT)
    assert (settings.directory / "Vagrantfile").stat().st_ino == before


def test_values_of_the_vm(settings: VmSettings) -> None:
    """Sizes are in the units that the Vagrantfile reads; what is not set is a share of this machine."""
    values = describe_vm(replace(settings, cpus=3, memory=5 * GIB, disk=80 * GIB, box_version="1.2"))
    assert (values["cpus"], values["memory_mib"], values["disk_gib"]) == (3, 5120, 80)
    assert (values["box"], values["box_version"]) == ("imagekit-test", "1.2")
    shared = describe_vm(replace(settings, box=""))
    assert 1 <= int(shared["cpus"]) <= 8
    assert 4096 <= int(shared["memory_mib"]) <= 8192
    assert "box" not in shared


def test_two_directories_two_names(tmp_path: Path) -> None:
    """Two operators of one machine get VMs of two names."""
    assert name_vm(tmp_path / "a") != name_vm(tmp_path / "b")


def test_made_provider_is_read_from_vagrants_record(settings: VmSettings) -> None:
    """An id that Vagrant keeps means a VM; an empty one does not."""
    assert find_made_provider(settings.directory) is None
    place = settings.directory / ".vagrant/machines/builder/virtualbox"
    place.mkdir(parents=True)
    (place / "id").write_text("")
    assert find_made_provider(settings.directory) is None
    (place / "id").write_text("5f1f2a52")
    assert find_made_provider(settings.directory) is VmProvider.VIRTUALBOX


def test_unknown_box_is_told(settings: VmSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no box is known for the processor, the operator has to name one; nothing is written."""
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(ToolMissing, match="no box is known for provider libvirt on arm64") as missing:
        write_project(replace(settings, box=""), VmProvider.LIBVIRT)
    assert "vagrant_box" in (missing.value.hint or "")
    assert not settings.directory.exists()


def test_version_needs_a_box(settings: VmSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version alone would be of a box that nobody named."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    with pytest.raises(DefinitionInvalid, match="but no box"):
        write_project(replace(settings, box="", box_version="1"), VmProvider.LIBVIRT)


def test_directory_that_cannot_be_written(settings: VmSettings) -> None:
    """A file in its place is a sentence."""
    settings.directory.parent.mkdir()
    settings.directory.write_text("")
    with pytest.raises(HostFailed, match="cannot write the build VM's directory"):
        write_project(settings, VmProvider.LIBVIRT)


def test_boxes_are_for_known_providers() -> None:
    """The list names only providers and processors that exist; every provider has a box for one processor at least."""
    boxes = json.loads((find_own_project() / "boxes.json").read_text())
    assert set(boxes) == set(VmProvider)
    assert {architecture for known in boxes.values() for architecture in known} == {"amd64", "arm64"}


def test_ruby_and_shell_accept_our_files() -> None:
    """ruby, sh and shellcheck find no mistake."""
    own = find_own_project()
    assert run(["ruby", "-c", os.fspath(own / "Vagrantfile")]).output == b"Syntax OK\n"
    run(["sh", "-n", os.fspath(own / "provision.sh")])
    run(["shellcheck", os.fspath(own / "provision.sh")])


def test_real_vagrant_accepts_our_vagrantfile(settings: VmSettings) -> None:
    """Every provider's block is valid to a real Vagrant with the values that we write."""
    write_project(settings, VmProvider.LIBVIRT)
    assert "validated successfully" in _ask_real_vagrant(settings, "validate")


def test_recording_is_what_real_vagrant_says(settings: VmSettings) -> None:
    """The stand-in's status of a VM that is not there is, but for the time, what a real Vagrant says."""
    write_project(settings, VmProvider.LIBVIRT)
    said = parse_output(_ask_real_vagrant(settings, "status", "--machine-readable").encode())
    assert said == parse_output((RECORDED / "status-not_created.txt").read_bytes())
