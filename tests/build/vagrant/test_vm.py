"""The VM through a Vagrant that replays what a real one said: started, looked at, halted, removed, and failing."""

import signal
import threading
import time
from dataclasses import replace

import pytest

from imagekit.build.vagrant import BuildVm, VmProvider, VmSettings, VmState, VmStatus
from imagekit.build.vagrant.failure import VmFailed
from imagekit.build.vagrant.steps import BOOTING, HALTING, MAKING, PREPARING, STARTING
from imagekit.progress import Event
from tests.build.vagrant.stand_in import StandInVagrant


def test_absent_vm_asks_nobody(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """Without a VM, status, halt and destroy need no Vagrant at all."""
    vm = BuildVm(settings)
    assert vm.read_status() == VmStatus(VmState.ABSENT, None)
    vm.halt()
    vm.destroy()
    assert vagrant.list_calls() == []


def test_first_start(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """The VM is made with the provider that is there, told with the reason, step by step."""
    vagrant.plan("up", "up-first", left="running")
    events: list[Event] = []
    vm = BuildVm(settings)
    vm.up(events.append)
    assert events[0].note == "a VM is made with libvirt: libvirt is installed"
    assert list(dict.fromkeys(event.stage for event in events)) == [STARTING, MAKING, BOOTING, PREPARING]
    assert vm.is_ready
    assert vm.read_status() == VmStatus(VmState.RUNNING, VmProvider.LIBVIRT, "running")
    assert vagrant.list_calls() == ["up --provider=libvirt --machine-readable", "status --machine-readable"]
    environment = (vagrant.play / "environment").read_text()
    assert f"VAGRANT_CWD={settings.directory}\n" in environment
    assert f"VAGRANT_DOTFILE_PATH={settings.directory}/.vagrant\n" in environment


def test_answers_are_remembered(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """Each question costs a second or two, so it is asked once until something changes."""
    vm = BuildVm(settings)
    vm.up()
    for _ in range(3):
        assert vm.read_status().state is VmState.RUNNING
        config = vm.write_ssh_config()
    assert config.stat().st_mode & 0o777 == 0o600
    vm.halt()
    assert vm.read_status() == VmStatus(VmState.STOPPED, VmProvider.LIBVIRT, "shutoff")
    assert not vm.is_ready
    assert [call.split()[0] for call in vagrant.list_calls()] == ["up", "status", "ssh-config", "halt", "status"]


def test_destroyed_vm_is_absent(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """Nothing is known of it afterwards, so the next may be another provider's."""
    vm = BuildVm(settings)
    vm.up()
    vm.destroy()
    assert vm.read_status().state is VmState.ABSENT
    assert vagrant.state == "not_created"


def test_stopped_vm_cannot_be_entered(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """The sentence says what to do."""
    vm = BuildVm(settings)
    with pytest.raises(VmFailed, match="is not running") as failed:
        vm.write_ssh_config()
    assert failed.value.hint == "imagekit vm up starts it"
    assert failed.value.exit_code == 8
    assert vagrant.list_calls() == []


@pytest.mark.parametrize(
    ("recording", "sentence", "hint", "detail"),
    [
        ("up-no-box", "the VM's box could not be fetched", "reaches the internet", "Could not resolve host"),
        ("up-no-network", "libvirt could not start the VM's network", "dnsmasq", "Unable to find 'dnsmasq'"),
        ("up-no-pool", "libvirt has no storage pool", "virsh pool-define-as", "No usable storage pool"),
        ("up-no-plugin", "Vagrant has no plugin for the VM's provider", "imagekit doctor", "could not be found"),
        ("up-not-usable", "the VM's provider cannot be used", "imagekit doctor", "could not detect VirtualBox"),
    ],
)
def test_start_that_fails(
    recording: str, sentence: str, hint: str, detail: str, vagrant: StandInVagrant, settings: VmSettings
) -> None:
    """What a real Vagrant said of it becomes a sentence, a hint, and the end of what it said."""
    vagrant.plan("up", recording, status=1)
    vm = BuildVm(settings)
    with pytest.raises(VmFailed, match=sentence) as failed:
        vm.up()
    assert hint in (failed.value.hint or "")
    assert detail in failed.value.detail
    assert not vm.is_ready


def test_provisioning_that_fails_halts(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """A VM that came up and could not be made ready does not stay up; the script's own words are in the detail."""
    vagrant.plan("up", "up-provision-failed", status=1, left="running")
    events: list[Event] = []
    with pytest.raises(VmFailed, match="came up, but could not be made ready to build") as failed:
        BuildVm(settings).up(events.append)
    assert "No such file or directory" in failed.value.detail
    assert "SSH command responded" not in failed.value.detail
    assert vagrant.state == "shutoff"
    assert events[-1].stage == HALTING


def test_reason_of_the_script_is_in_the_sentence(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """What provision.sh gave up for is the operator's sentence."""
    vagrant.plan("up", "up-provision-failed", status=1, left="running")
    said = (vagrant.play / "up.out").read_text()
    told = "1795309321,builder,ui,detail,    builder: provision.sh: cannot fetch Nix: has the VM a network?\n"
    vagrant.write("up.out", said.replace("1795309321,,ui,error", told + "1795309321,,ui,error"))
    with pytest.raises(VmFailed, match=r"could not be made ready to build: cannot fetch Nix: has the VM a network\?"):
        BuildVm(settings).up()


def test_early_failure_is_told(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """What Vagrant says before it can speak by machine is shown too."""
    vagrant.plan("up", "halt", status=1, errors="Vagrant failed to initialize at a very early stage:\nMessage: x\n")
    vagrant.write("up.out", "")
    with pytest.raises(VmFailed, match="the VM did not start") as failed:
        BuildVm(settings).up()
    assert "very early stage" in failed.value.detail


def test_halt_by_force(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """A VM that does not shut down in order is forced."""
    vm = BuildVm(settings)
    vm.up()
    vagrant.plan("halt", "halt", status=1)
    vagrant.plan("halt-force", "halt", left="shutoff")
    vm.halt()
    assert vagrant.state == "shutoff"
    assert vagrant.list_calls()[-1] == "halt --force --machine-readable"


def test_vm_that_cannot_be_halted(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """Not even by force: a sentence."""
    vm = BuildVm(settings)
    vm.up()
    vagrant.plan("halt", "halt", status=1)
    with pytest.raises(VmFailed, match="could not be halted"):
        vm.halt()


def test_start_that_hangs(vagrant: StandInVagrant, settings: VmSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its time Vagrant is interrupted, the VM halted, and the sentence says so."""
    monkeypatch.setattr("imagekit.build.vagrant.vm._UP_SECONDS", 0.5)
    vagrant.plan("up", "up-first", left="running", waits=True)
    with pytest.raises(VmFailed, match="did not end in time"):
        BuildVm(settings).up()
    assert "interrupted" in vagrant.list_calls()
    assert vagrant.state == "shutoff"


def test_interrupted_start(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """Ctrl-C is handed to Vagrant, and what it left is halted before the interrupt goes on."""
    vagrant.plan("up", "up-first", left="running", waits=True)

    def press() -> None:
        while not (vagrant.play / "calls").exists() or not any(c.startswith("up") for c in vagrant.list_calls()):
            time.sleep(0.02)
        time.sleep(0.3)
        signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        BuildVm(settings).up()
    thread.join()
    assert [call.split()[0] for call in vagrant.list_calls()] == ["up", "interrupted", "halt"]
    assert vagrant.state == "shutoff"


_NO_ROUTE = "1795309395,,error-exit,Vagrant::Errors::SSHNoRoute,While attempting to connect with SSH\\, a no route\n"


def test_start_goes_on_with_a_vm_that_boots(
    vagrant: StandInVagrant, settings: VmSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that was killed left the VM booting: Vagrant enters it too early, so it is asked again."""
    monkeypatch.setattr("imagekit.build.vagrant.vm._PAUSE_SECONDS", 0.5)
    BuildVm(settings).up()
    (settings.directory / "ready").unlink()
    vagrant.plan("up", "up-running", status=1)
    vagrant.write("up.out", _NO_ROUTE)
    booted = threading.Timer(0.9, lambda: vagrant.plan("up", "up-running"))
    booted.start()
    vm = BuildVm(settings)
    vm.up()
    booted.join()
    assert vm.is_ready
    assert [call.split()[0] for call in vagrant.list_calls()].count("up") >= 3
    assert "halt" not in " ".join(vagrant.list_calls())


def test_vm_that_never_answers_is_given_up(
    vagrant: StandInVagrant, settings: VmSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time that a boot may take it is a failure, and the VM is halted."""
    monkeypatch.setattr("imagekit.build.vagrant.vm._PAUSE_SECONDS", 0.3)
    vm = BuildVm(replace(settings, boot_timeout=1))
    vm.up()
    (settings.directory / "ready").unlink()
    vagrant.plan("up", "up-running", status=1)
    vagrant.write("up.out", _NO_ROUTE)
    with pytest.raises(VmFailed):
        vm.up()
    assert vagrant.state == "shutoff"


def test_question_that_fails(vagrant: StandInVagrant, settings: VmSettings) -> None:
    """A VM that stopped behind our back cannot be entered: Vagrant's words as the detail."""
    vm = BuildVm(settings)
    vm.up()
    assert vm.read_status().state is VmState.RUNNING
    vagrant.write("state", "shutoff")
    with pytest.raises(VmFailed, match="vagrant ssh-config failed") as failed:
        vm.write_ssh_config()
    assert "not yet ready for SSH" in failed.value.detail


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("running", VmState.RUNNING),
        ("started", VmState.RUNNING),
        ("poweroff", VmState.STOPPED),
        ("not_created", VmState.ABSENT),
        ("paused", VmState.STOPPED),
    ],
)
def test_words_of_other_providers(said: str, state: VmState, vagrant: StandInVagrant, settings: VmSettings) -> None:
    """UTM says started, VirtualBox poweroff; what is neither up nor absent is stopped."""
    vm = BuildVm(settings)
    vm.up()
    vagrant.write("status.out", f"1795309349,builder,state,{said}\n")
    assert BuildVm(settings).read_status().state is state
