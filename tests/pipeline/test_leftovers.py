"""What is left of builds: dead ones told from living ones, ours from others', and each removed or left as it must."""

from pathlib import Path
from typing import Any

import pytest

from imagekit.build.packer.processes import MARK, find_processes
from imagekit.build.packer.remains import open_build
from imagekit.build.workspace import open_workspace
from imagekit.definition import Builder, PackerSource, Project, read_project
from imagekit.errors import DefinitionInvalid, Refused
from imagekit.host import start
from imagekit.host.local import end
from imagekit.pipeline import BuildOptions
from imagekit.pipeline.leftovers import STRANGE, find_left, find_left_for, remove_dead_builds, remove_left
from imagekit.progress import Event
from imagekit.settings import Settings, read_settings
from tests.cluster.conftest import CANARY, TOKEN_ID, pve
from tests.pipeline.leave import DEAD, OTHER, leave_build, seed_volume, tag

__all__ = ["pve"]


@pytest.fixture
def settings() -> Settings:
    """Return the settings of an operator who has set nothing."""
    return read_settings({})


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return the built-in project, without a cluster."""
    return read_project(tmp_path_factory.mktemp("alone"))


@pytest.fixture
def project(tmp_path: Path, pve: Any, fakepve_cafile: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project with the stand-in for its cluster."""
    monkeypatch.setenv("PROXMOX_VE_API_TOKEN", f"{TOKEN_ID}={CANARY}")
    (tmp_path / "imagekit.toml").write_text(
        '[images.template]\nbuilder = "packer"\npacker = {clone = 9001}\n'
        f'[cluster]\nurl = "{pve.url}"\nnode = "pve1"\nca_file = "{fakepve_cafile}"\n'
    )
    return read_project(tmp_path)


def test_living_builds_are_left_out(tmp_path: Path, alone: Project, settings: Settings) -> None:
    """Dead and kept builds are found, the oldest first; one that goes on is not."""
    leave_build(settings.state, tmp_path / "dead")
    leave_build(settings.state, tmp_path / "kept", OTHER, kept="provisioning failed")
    (tmp_path / "alive").mkdir()
    with open_build(settings.state, "abcdefabcdef", workspace=tmp_path / "alive"):
        left = find_left(settings, alone)
    assert [build.build_id for build in left.builds] == [DEAD, OTHER]
    assert (left.untouchable, left.cluster, left.problem) == ((), None, None)


def test_machine_of_a_living_build_is_no_leftover(
    tmp_path: Path, project: Project, settings: Settings, pve: Any
) -> None:
    """The VM of a build that goes on is left out, also when Packer has ended and the template is being judged."""
    pve.add_vm(9101, "build", config=tag())
    pve.store_file("local", seed_volume().partition("/")[2], 1000)
    with open_workspace(settings.cache, "template") as workspace:
        with open_build(settings.state, DEAD, workspace=workspace, vm_id=9101) as build:
            assert find_left(settings, project, others=True).builds == ()
            build.note(vm_id=0)
        assert find_left(settings, project, others=True).builds == ()
    assert [build.build_id for build in find_left(settings, project, others=True).builds] == [DEAD]


def test_everything_of_a_dead_build_goes(tmp_path: Path, project: Project, settings: Settings, pve: Any) -> None:
    """A dead build's process, directory, VM and seed are one; they are removed together, and then its record."""
    record = leave_build(settings.state, tmp_path / "dead", vm_id=9101, node="pve1", seed_volume=seed_volume())
    running = start(["sleep", "60"], environment={MARK: DEAD})
    pve.add_vm(9101, "build", status="running", config={**tag(), "ide2": f"{seed_volume()},media=cdrom"})
    pve.store_file("local", seed_volume().partition("/")[2], 1000)
    try:
        left = find_left(settings, project)
        (build,) = left.builds
        assert build.remains is not None
        assert build.remains.processes == (running.pid,)
        assert [one.vm_id or one.volume for one in build.leftovers] == [9101, seed_volume()]
        remove_left(build, left.cluster)
    finally:
        end(running, grace=0)
    assert find_processes(DEAD) == ()
    assert (pve.vms, pve.storages["local"]["files"]) == ([], set())
    assert not (tmp_path / "dead").exists()
    assert not record.exists()
    assert find_left(settings, project).builds == ()


def test_build_of_another_machine_is_not_taken_for_ours(project: Project, settings: Settings, pve: Any) -> None:
    """Marks of a build that this machine has neither record nor log of may be of one that runs elsewhere."""
    pve.add_vm(9101, "build", config=tag())
    left = find_left(settings, project)
    assert (left.builds, [one.note for one in left.untouchable]) == ((), [STRANGE])
    assert [build.build_id for build in find_left(settings, project, others=True).builds] == [DEAD]
    (settings.state / "packer-logs").mkdir(parents=True)
    (settings.state / "packer-logs" / f"my-image-{DEAD}.log").touch()
    assert [build.build_id for build in find_left(settings, project).builds] == [DEAD]


def test_what_is_not_proven_is_only_shown(project: Project, settings: Settings, pve: Any) -> None:
    """A VM with half of the marks is shown with the reason, whatever is asked for."""
    pve.add_vm(9101, "build-debian")
    left = find_left(settings, project, others=True)
    assert left.builds == ()
    assert "not tagged" in left.untouchable[0].note


def test_record_of_what_is_gone_is_dropped(tmp_path: Path, project: Project, settings: Settings, pve: Any) -> None:
    """When the VM of a record is gone, or its id is another build's by now, only the record is left, and goes."""
    record = leave_build(settings.state, tmp_path / "dead", vm_id=9101, node="pve1")
    (tmp_path / "dead" / ".imagekit-packer").unlink()  # the directory is somebody else's now
    for config in (None, tag(OTHER)):
        if config is not None:
            pve.add_vm(9101, "build", config=config)
        left = find_left(settings, project)
        assert [build.empty for build in left.builds] == [True]
    remove_left(left.builds[0], left.cluster)
    assert not record.exists()
    assert pve.vm(9101) is not None


@pytest.mark.parametrize("hidden", [False, True], ids=["unmarked", "not to be seen"])
def test_record_of_what_may_be_there_stays(
    tmp_path: Path, project: Project, settings: Settings, pve: Any, hidden: bool
) -> None:
    """A VM with the id and no mark, or one that the token may not see, is not touched, and not forgotten."""
    record = leave_build(settings.state, tmp_path / "dead", vm_id=9101, node="pve1")
    pve.add_vm(9101, "web", config=tag() if hidden else {})
    if hidden:
        pve.grant(TOKEN_ID.partition("!")[0], "/vms/100", "VM.Audit")
    left = find_left(settings, project)
    (build,) = left.builds
    assert (build.gone, build.leftovers) == (False, ())
    remove_left(build, left.cluster)
    assert pve.vm(9101) is not None
    assert record.exists()
    assert not (tmp_path / "dead").exists()


def test_record_of_another_cluster_stays(tmp_path: Path, project: Project, settings: Settings) -> None:
    """That a VM is not on this cluster says nothing about the one that the build was on."""
    leave_build(settings.state, tmp_path / "dead", vm_id=9101, node="a", cluster="https://other.example:8006")
    assert [build.gone for build in find_left(settings, project).builds] == [False]


def test_unreachable_cluster_hides_nothing_here(
    tmp_path: Path, project: Project, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the cluster does not answer, what is here can go; the record that names a VM stays."""
    record = leave_build(settings.state, tmp_path / "dead", vm_id=9101, node="pve1")
    plain = leave_build(settings.state, tmp_path / "plain", OTHER)
    monkeypatch.setenv("PROXMOX_VE_ENDPOINT", "https://127.0.0.1:1")
    left = find_left(settings, project)
    assert left.problem is not None
    assert left.problem.exit_code == 8
    for build in left.builds:
        remove_left(build, left.cluster)
    assert not (tmp_path / "dead").exists()
    assert (record.exists(), plain.exists()) == (True, False)


def test_refusal_of_the_cluster_stops_nothing_here(
    tmp_path: Path, project: Project, settings: Settings, pve: Any
) -> None:
    """A protected VM is refused; what is on this machine goes, and the record stays with the VM."""
    record = leave_build(settings.state, tmp_path / "dead", vm_id=9101, node="pve1")
    pve.add_vm(9101, "build", config={**tag(), "protection": "1"})
    left = find_left(settings, project)
    with pytest.raises(Refused, match="protected"):
        remove_left(left.builds[0], left.cluster)
    assert pve.vm(9101) is not None
    assert record.exists()
    assert not (tmp_path / "dead").exists()


def test_next_build_clears_up_after_dead_ones(tmp_path: Path, settings: Settings) -> None:
    """What dead builds left here goes and is told; kept ones stay, and so do records of what is on the cluster."""
    dead = leave_build(settings.state, tmp_path / "dead")
    kept = leave_build(settings.state, tmp_path / "kept", OTHER, kept="provisioning failed")
    there = leave_build(settings.state, tmp_path / "there", "abcdefabcdef", vm_id=9101)
    events: list[Event] = []
    remove_dead_builds(settings, events.append)
    assert [dead.exists(), kept.exists(), there.exists()] == [False, True, True]
    assert [path.exists() for path in (tmp_path / "dead", tmp_path / "kept", tmp_path / "there")] == [
        False,
        True,
        False,
    ]
    assert sorted(event.note for event in events) == [
        f"removed what build {DEAD} left: {tmp_path / 'dead'}",
        f"removed what build abcdefabcdef left: {tmp_path / 'there'}",
    ]
    remove_dead_builds(settings, events.append)
    assert len(events) == 2


def test_dead_build_that_stays_stops_no_build(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be removed is a warning."""
    leave_build(settings.state, tmp_path / "dead")
    monkeypatch.setattr("imagekit.build.packer.remains.remove_workspace", lambda directory: None)
    events: list[Event] = []
    remove_dead_builds(settings, events.append)
    assert [event.note for event in events] == [f"warning: {tmp_path / 'dead'} of build {DEAD} cannot be removed"]


def test_only_builds_for_the_cluster_look_there(project: Project, alone: Project, settings: Settings, pve: Any) -> None:
    """The cluster is looked at before a build that goes there, and before no other."""
    pve.add_vm(9101, "build", config=tag())
    found = find_left_for("template", project, settings, BuildOptions())
    assert found is not None
    assert len(found.untouchable) == 1
    pve.requests.clear()
    assert find_left_for("template", alone, settings, BuildOptions()) is None
    assert find_left_for("template", alone, settings, BuildOptions(builder=Builder.PACKER)) is None
    assert find_left_for("template", alone, settings, BuildOptions(source=PackerSource.QEMU)) is None
    with pytest.raises(DefinitionInvalid):
        find_left_for("template", alone, settings, BuildOptions(source=PackerSource.PROXMOX_ISO))
    assert pve.requests == []
