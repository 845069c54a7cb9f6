"""The VM for one build: started when it must be, halted in every case, and nobody else's meanwhile."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from imagekit.build.vagrant import BuildVm, VmSettings, open_vm
from imagekit.build.vagrant.failure import VmFailed
from imagekit.errors import HostFailed
from imagekit.progress import Event
from tests.build.vagrant.stand_in import StandInVagrant


@pytest.fixture(autouse=True)
def entered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Return which machines were entered, by which file; nobody answers at the recorded address."""
    calls: list[tuple[str, Path]] = []

    @contextlib.contextmanager
    def enter(alias: str, *, config: Path) -> Iterator[str]:
        calls.append((alias, config))
        yield alias

    monkeypatch.setattr("imagekit.host.openssh.open_openssh", enter)
    return calls


def _list_verbs(vagrant: StandInVagrant) -> list[str]:
    return [call.split()[0] for call in vagrant.list_calls() if call.split()[0] in ("up", "halt")]


def test_vm_is_started_and_halted(
    vagrant: StandInVagrant, settings: VmSettings, entered: list[tuple[str, Path]]
) -> None:
    """A stopped VM comes up for the build and is halted after it."""
    with open_vm(settings, command="build") as host:
        assert host is not None
        assert vagrant.state == "running"
    assert entered == [("imagekit-vm", settings.directory / "ssh_config")]
    assert vagrant.state == "shutoff"
    assert not BuildVm(settings).is_ours


@pytest.mark.parametrize("problem", [RuntimeError, KeyboardInterrupt, HostFailed])
def test_vm_is_halted_after_a_failure(
    problem: type[BaseException], vagrant: StandInVagrant, settings: VmSettings
) -> None:
    """However the build ends."""
    with pytest.raises(problem), open_vm(settings, command="build"):
        raise problem("x")
    assert _list_verbs(vagrant) == ["up", "halt"]
    assert vagrant.state == "shutoff"


def test_running_vm_stays_up(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """What the operator started by hand is used as it is and left alone."""
    BuildVm(settings).up()
    with open_vm(settings, command="build"):
        pass
    assert _list_verbs(vagrant) == ["up"]
    assert vagrant.state == "running"


def test_half_made_vm_is_started_again(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """A running VM whose start did not go through is brought to its end first, and stays up: somebody started it."""
    BuildVm(settings).up()
    (settings.directory / "ready").unlink()
    with open_vm(settings, command="build"):
        assert BuildVm(settings).is_ready
    assert _list_verbs(vagrant) == ["up", "up"]
    assert vagrant.state == "running"


def test_keep_up(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """With keep_up it stays, the note says how to stop it, and the next build leaves it up."""
    events: list[Event] = []
    with open_vm(settings, command="build", keep_up=True, progress=events.append):
        pass
    assert events[-1].note == "the VM stays up; imagekit vm halt stops it"
    with open_vm(settings, command="build"):
        pass
    assert vagrant.state == "running"
    assert _list_verbs(vagrant) == ["up"]


def test_vm_of_a_dead_build_is_halted_by_the_next(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """After kill -9 the VM runs on and nobody wanted that: the next build uses and then halts it."""
    vm = BuildVm(settings)
    settings.directory.mkdir(parents=True)
    vm.mark_ours(True)
    vm.up()
    with open_vm(settings, command="build"):
        assert vagrant.state == "running"
    assert _list_verbs(vagrant) == ["up", "halt"]
    assert vagrant.state == "shutoff"


def test_start_that_fails_leaves_nothing_up(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """The error is the start's, and the VM is halted."""
    vagrant.plan("up", "up-provision-failed", status=1, left="running")
    with pytest.raises(VmFailed, match="could not be made ready"), open_vm(settings, command="build"):
        raise AssertionError
    assert _list_verbs(vagrant) == ["up", "halt"]
    assert vagrant.state == "shutoff"


def test_vm_that_cannot_be_halted_is_a_note(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """What was built is good; the next build tries again, since the VM is still marked."""
    events: list[Event] = []
    vagrant.plan("halt", "halt", status=1)
    with open_vm(settings, command="build", progress=events.append):
        pass
    assert events[-1].note.startswith("warning: the VM could not be halted")
    assert BuildVm(settings).is_ours


def test_second_build_is_told(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """Two builds do not share the VM: the first would halt it under the second."""
    with (
        open_vm(settings, command="imagekit build pihole"),
        pytest.raises(HostFailed, match=r"in use by PID \d+ \(imagekit build pihole\)"),
        open_vm(settings, command="imagekit build other"),
    ):
        raise AssertionError
    assert vagrant.state == "shutoff"
